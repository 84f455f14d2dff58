//! Between the versions of built-in kinds that share storage.
//!
//! Events are stored as `v1` and HorizontalPodAutoscalers as `autoscaling/v2`. Whoever speaks their other version writes and
//! reads in it (patches, field ownership, strict decoding and some rules are of the version), and only what is stored and what
//! the store looks at is of the stored one.

mod autoscaling;
mod events;
mod metrics;
mod rules;

use std::borrow::Cow;

use orc_core::labels::FieldSelector;
use orc_core::schema::{self, Schema};
use orc_core::{ApiError, Doc, Reason, ResourceId};
use serde_json::Value;

use crate::kinds::{Strategy, strategy};

/// A version of a built-in kind that is not the stored one.
pub struct Foreign {
    /// The group and version that callers speak.
    pub api_version: &'static str,
    /// The stored one.
    pub stored: &'static str,
    /// The storage resource.
    id: &'static str,
    rules: fn() -> &'static dyn Strategy,
    to_stored: fn(Value) -> Value,
    from_stored: fn(Value) -> Value,
}

static FOREIGN: [Foreign; 2] = [
    Foreign {
        api_version: "events.k8s.io/v1",
        stored: "v1",
        id: "events",
        rules: || strategy("events.events.k8s.io"),
        to_stored: events::to_core,
        from_stored: events::from_core,
    },
    Foreign {
        api_version: "autoscaling/v1",
        stored: "autoscaling/v2",
        id: "horizontalpodautoscalers.autoscaling",
        rules: || &rules::AUTOSCALER_V1,
        to_stored: autoscaling::to_v2,
        from_stored: autoscaling::from_v2,
    },
];

/// The version of a storage resource that is not the stored one, if that is what `api_version` is.
pub fn foreign(id: &ResourceId, api_version: &str) -> Option<&'static Foreign> {
    FOREIGN.iter().find(|foreign| foreign.id == id.as_str() && foreign.api_version == api_version)
}

impl Foreign {
    /// The rules of the kind, on objects of this version.
    pub fn rules(&self) -> &'static dyn Strategy {
        (self.rules)()
    }

    /// An object of this version in the stored one.
    ///
    /// # Errors
    /// When the value is no object.
    pub fn to_stored(&self, doc: Doc) -> Result<Doc, ApiError> {
        written((self.to_stored)(doc.into_value()), self.stored)
    }

    /// A stored object in this version.
    ///
    /// # Errors
    /// When the value is no object.
    pub fn from_stored(&self, doc: Doc) -> Result<Doc, ApiError> {
        written((self.from_stored)(doc.into_value()), self.api_version)
    }
}

/// A document as Go's encoder writes it in a version.
fn written(mut value: Value, api_version: &str) -> Result<Doc, ApiError> {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(message) = Schema::builtin().message_of_type(api_version, &kind) {
        schema::canonical(&mut value, message);
    }
    let mut doc = Doc::from_value(value)?;
    doc.set(&["apiVersion"], api_version);
    doc.set(&["kind"], kind);
    Ok(doc)
}

/// Brings a document of any served version into the stored one.
///
/// # Errors
/// 501 for a version that is not converted.
pub fn to_storage(id: &ResourceId, doc: Doc) -> Result<Doc, ApiError> {
    match foreign(id, doc.api_version()) {
        Some(foreign) => foreign.to_stored(doc),
        None if FOREIGN.iter().any(|foreign| foreign.id == id.as_str() && foreign.stored == doc.api_version()) => {
            Ok(doc)
        }
        None => Err(not_built(id, doc.api_version())),
    }
}

/// Brings a stored document into another version.
///
/// # Errors
/// 501 for a version that is not converted.
pub fn from_storage(id: &ResourceId, api_version: &str, doc: Doc) -> Result<Doc, ApiError> {
    match foreign(id, api_version) {
        Some(foreign) => foreign.from_stored(doc),
        None if doc.api_version() == api_version => Ok(doc),
        None => Err(not_built(id, api_version)),
    }
}

/// Metadata as Kubernetes' internal form of an object has it, which partial objects are made of: annotations that stand for
/// fields there are not in it.
pub fn internal_metadata<'a>(id: &ResourceId, metadata: &'a str) -> Cow<'a, str> {
    let fields: &[&str] = match id.as_str() {
        "daemonsets.apps" => &["deprecated.daemonset.template.generation"],
        "deployments.apps" => &["deprecated.deployment.rollback.to"],
        "horizontalpodautoscalers.autoscaling" => &autoscaling::ALL,
        _ => return Cow::Borrowed(metadata),
    };
    if !fields.iter().any(|name| metadata.contains(name)) {
        return Cow::Borrowed(metadata);
    }
    let Ok(mut value) = serde_json::from_str::<Value>(metadata) else { return Cow::Borrowed(metadata) };
    if let Some(annotations) = value.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.retain(|name, _| !fields.contains(&name.as_str()));
        if annotations.is_empty() {
            crate::kinds::tree::remove(&mut value, "annotations");
        }
    }
    Cow::Owned(value.to_string())
}

/// Renames the fields of a selector to those of the stored version.
pub fn fields_to_storage(id: &ResourceId, fields: &FieldSelector) -> FieldSelector {
    match id.as_str() {
        "events" => fields.requirements().iter().cloned().map(events::field_to_core).collect(),
        _ => fields.clone(),
    }
}

fn not_built(id: &ResourceId, version: &str) -> ApiError {
    let message = format!("orc does not convert {id} to and from {version}; use the version they are stored in");
    ApiError::new(Reason::NotAcceptable, message).with_code(501)
}
