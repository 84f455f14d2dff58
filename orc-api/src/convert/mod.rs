//! Between the versions of kinds that share storage.
//!
//! Events are stored as `v1` and HorizontalPodAutoscalers as `autoscaling/v2`; their other versions are converted on the way
//! in and out.

mod events;

use orc_core::labels::FieldSelector;
use orc_core::{ApiError, Doc, Reason, ResourceId};

/// Brings a document of another version into the stored one.
///
/// # Errors
/// 501 for a pair of versions that is not built yet.
pub fn to_storage(id: &ResourceId, doc: Doc) -> Result<Doc, ApiError> {
    match (id.as_str(), doc.api_version()) {
        ("events", "events.k8s.io/v1") => Ok(events::to_core(doc)),
        (_, version) => Err(not_built(id, version)),
    }
}

/// Brings a stored document into another version.
///
/// # Errors
/// 501 for a pair of versions that is not built yet.
pub fn from_storage(id: &ResourceId, api_version: &str, doc: Doc) -> Result<Doc, ApiError> {
    match (id.as_str(), api_version) {
        ("events", "events.k8s.io/v1") => Ok(events::from_core(doc)),
        (_, version) => Err(not_built(id, version)),
    }
}

/// Renames the fields of a selector to those of the stored version.
pub fn fields_to_storage(id: &ResourceId, fields: &FieldSelector) -> FieldSelector {
    match id.as_str() {
        "events" => fields.requirements().iter().cloned().map(events::field_to_core).collect(),
        _ => fields.clone(),
    }
}

fn not_built(id: &ResourceId, version: &str) -> ApiError {
    let message = format!("orc does not convert {id} to and from {version} yet; use the version they are stored in");
    ApiError::new(Reason::NotAcceptable, message).with_code(501)
}
