//! From what is asked for in a URL to what is stored, and back.

use std::sync::Arc;

use bytes::Bytes;
use orc_core::catalogue::{Catalogue, ResourceInfo};
use orc_core::labels::FieldSelector;
use orc_core::{ApiError, Doc, Reason, ResourceId, Revision};
use orc_store::Stored;
use serde_json::Value;

use super::request::Resolved;
use super::service::ApiService;
use crate::registry::custom::{Definition, Spoken};
use crate::{convert, table};

/// A resource in the version that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) info: Arc<ResourceInfo>,
    pub(super) id: ResourceId,
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    pub(super) list_kind: String,
    pub(super) resource: String,
    pub(super) namespaced: bool,
    /// Whether objects are kept; reviews and bindings are not.
    pub(super) stored: bool,
    /// Kind and version of the body that the request may send; those of the sub-resource where there is one.
    body: (String, String),
    /// Whether the stored form is of another version of a built-in kind. The registry converts objects.
    converts: bool,
    /// What defines the kind, where it is no built-in one.
    custom: Option<Arc<Spoken>>,
}

impl ApiService {
    /// Finds the resource and sub-resource of a request.
    ///
    /// # Errors
    /// 404 as kube-apiserver answers for paths it does not serve, 405 for verbs the resource does not have. `None` for a path
    /// that nobody serves at all.
    pub(super) async fn served(&self, info: &Resolved) -> Result<Option<Served>, ApiError> {
        if Catalogue::builtin().resource(&info.group, &info.resource).is_some() {
            return self.built_in(info).map(Some);
        }
        match self.config().registry.custom(&info.group, &info.version, &info.resource).await? {
            Some((definition, spoken)) => custom(info, &definition, spoken),
            None if Catalogue::builtin().group(&info.group).is_some() => self.built_in(info).map(Some),
            None => Ok(None),
        }
    }

    /// What is to be said with every answer about a resource, whatever it is.
    pub(super) async fn warning(&self, info: &Resolved) -> Result<Option<String>, ApiError> {
        if Catalogue::builtin().group(&info.group).is_some() {
            return Ok(None);
        }
        let custom = self.config().registry.custom(&info.group, &info.version, &info.resource).await?;
        Ok(custom.and_then(|(_, spoken)| spoken.version.warning.clone()))
    }

    fn built_in(&self, info: &Resolved) -> Result<Served, ApiError> {
        let catalogue = Catalogue::builtin();
        let missing = || {
            ApiError::new(Reason::NotFound, "the server could not find the requested resource")
                .with_details(Default::default())
        };
        let served = catalogue.served(&info.group, &info.version, &info.resource).ok_or_else(missing)?;
        let api_version = |group: &str, version: &str| {
            if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
        };
        let (resource, version) = (&served.info, served.version());
        let mut body = (api_version(&info.group, &info.version), resource.kind.clone());
        let mut verbs = &version.verbs;
        if !info.subresource.is_empty() {
            let sub = version.subresource(&info.subresource).ok_or_else(missing)?;
            let at = sub.foreign.as_ref().map_or_else(|| api_version(&info.group, &info.version), ToString::to_string);
            body = (at, sub.kind.clone());
            verbs = &sub.verbs;
        }
        if info.subresource.is_empty() && !info.name.is_empty() && !has_objects(verbs) {
            return Err(missing());
        }
        if !verbs.iter().any(|verb| verb == info.verb) {
            return Err(super::respond::method_not_allowed());
        }
        if resource.id.is_none() && info.verb != "create" {
            return Err(not_built(&info.resource));
        }
        Ok(Served {
            id: resource.id.clone().unwrap_or_else(|| ResourceId::new(&info.group, &info.resource)),
            stored: resource.id.is_some(),
            group: info.group.clone(),
            version: info.version.clone(),
            kind: resource.kind.clone(),
            resource: info.resource.clone(),
            namespaced: resource.is_namespaced(),
            converts: resource.storage.to_string() != api_version(&info.group, &info.version),
            body,
            info: resource.clone(),
            list_kind: resource.list_kind.clone(),
            custom: None,
        })
    }
}

/// Whether a resource with these verbs has paths of single objects; reviews and bindings have none.
fn has_objects(verbs: &[String]) -> bool {
    verbs.iter().any(|verb| matches!(verb.as_str(), "get" | "update" | "patch" | "delete"))
}

/// A custom resource; `None` where its scope and the path do not go together.
fn custom(info: &Resolved, definition: &Definition, spoken: Arc<Spoken>) -> Result<Option<Served>, ApiError> {
    let inside = !info.namespace.is_empty();
    let anywhere = matches!(info.verb, "list" | "watch");
    if definition.namespaced != inside && !(definition.namespaced && anywhere) {
        return Ok(None);
    }
    let missing = || ApiError::not_found(&info.group, &info.resource, &info.name);
    let mut body = (spoken.api_version.clone(), definition.kind.clone());
    if !info.subresource.is_empty() {
        match info.subresource.as_str() {
            "status" if spoken.version.status => {}
            "scale" if spoken.version.scale.is_some() => body = ("autoscaling/v1".to_owned(), "Scale".to_owned()),
            _ => return Err(missing()),
        }
        if !matches!(info.verb, "get" | "update" | "patch") {
            return Err(ApiError::method_not_allowed(&info.group, &info.resource, info.verb));
        }
    }
    Ok(Some(Served {
        id: definition.id(),
        stored: true,
        group: info.group.clone(),
        version: info.version.clone(),
        kind: definition.kind.clone(),
        list_kind: definition.list_kind.clone(),
        resource: info.resource.clone(),
        namespaced: definition.namespaced,
        converts: false,
        body,
        info: Arc::new(definition.info().ok_or_else(missing)?),
        custom: Some(spoken),
    }))
}

/// Reviews and bindings are answered without being stored; they come with the whole API.
pub(super) fn not_built(resource: &str) -> ApiError {
    ApiError::new(Reason::MethodNotAllowed, format!("orc does not serve {resource} yet")).with_code(501)
}

/// Whether a body of the given version may stand for one of the expected version. An Eviction has the same fields in both of its
/// versions, and pods/eviction takes both, as kube-apiserver does: kubectl before 1.22 sends the older one.
fn is_taken_for(given: &str, expected: &str, kind: &str) -> bool {
    given == expected || (kind == "Eviction" && expected == "policy/v1" && given == "policy/v1beta1")
}

impl Served {
    /// Group and version as objects carry them.
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The built-in message of the body that may be sent here.
    pub(super) fn body_message(&self) -> Option<orc_core::schema::MessageRef> {
        let (api_version, kind) = &self.body;
        if self.info.custom && kind == &self.kind {
            return None;
        }
        orc_core::schema::Schema::builtin().message_of_type(api_version, kind)
    }

    /// Checks a body's type against what may be sent here.
    ///
    /// # Errors
    /// 400 when the body is of another type.
    pub(super) fn accept(&self, mut doc: Doc) -> Result<Doc, ApiError> {
        let (api_version, kind) = &self.body;
        let (given, given_kind) = (doc.api_version().to_owned(), doc.kind().to_owned());
        let own = self.custom.as_ref().filter(|_| *kind == self.kind);
        if own.is_some() && given_kind.is_empty() {
            let shown = doc.value();
            return Err(ApiError::bad_request(format!("Object 'Kind' is missing in '{shown}'")));
        }
        if (!given.is_empty() || own.is_some()) && !is_taken_for(&given, api_version, kind) {
            let message = format!(
                "the API version in the data ({given}) does not match the expected API version ({api_version})"
            );
            return Err(ApiError::bad_request(message));
        }
        if let Some(custom) = own {
            let errors = custom.rules.check_type(doc.value());
            if !errors.is_empty() {
                return Err(ApiError::invalid(&self.group, &given_kind, doc.name(), &errors));
            }
            return Ok(doc);
        }
        if !given_kind.is_empty() && given_kind != *kind {
            let message = format!(
                "{given_kind} in version {:?} cannot be handled as a {kind}: no kind {given_kind:?} is registered for version {api_version:?}",
                api_version.rsplit('/').next().unwrap_or_default(),
            );
            return Err(ApiError::bad_request(message));
        }
        doc.set(&["apiVersion"], api_version.as_str());
        doc.set(&["kind"], kind.as_str());
        Ok(doc)
    }

    /// The slices of an object in the version that was asked for.
    ///
    /// # Errors
    /// When the conversion fails.
    pub(super) fn present(
        &self,
        stored: &Stored,
        at: Option<Revision>,
        with_gvk: bool,
    ) -> Result<Vec<Bytes>, ApiError> {
        Ok(stored.frame(at, with_gvk).into())
    }

    /// Whether the kind is a custom one.
    pub(super) fn is_custom(&self) -> bool {
        self.custom.is_some()
    }

    /// `columnDefinitions` of a Table.
    pub(super) fn columns(&self) -> Value {
        match &self.custom {
            Some(custom) => custom.version.columns.definitions().into(),
            None => table::columns(&self.info, &self.version),
        }
    }

    /// `conditions` of an object's row in a Table, for the few kinds that have them.
    pub(super) fn row_conditions(&self, object: &Value) -> Option<Value> {
        if self.is_custom() { None } else { table::conditions(&self.info, object) }
    }

    /// The cells of an object's row in a Table.
    pub(super) fn cells(&self, object: &Value, now: jiff::Timestamp) -> Vec<Value> {
        match &self.custom {
            Some(custom) => custom.version.columns.cells(object, now),
            // Kubernetes prints the internal form, which the stored one is nearest to.
            None if self.converts => {
                let stored = Doc::from_value(object.clone()).and_then(|doc| convert::to_storage(&self.id, doc));
                let object = stored.map_or_else(|_| object.clone(), Doc::into_value);
                table::cells(&self.info, &self.version, &object, now)
            }
            None => table::cells(&self.info, &self.version, object, now),
        }
    }

    /// Checks that every field of a selector is selectable here, and renames it to the stored version's name.
    ///
    /// # Errors
    /// 400 for a field that cannot be selected on.
    pub(super) fn accept_fields(&self, fields: &mut FieldSelector) -> Result<(), ApiError> {
        for requirement in fields.requirements() {
            let name = requirement.field.as_str();
            let known = name == "metadata.name"
                || (name == "metadata.namespace" && self.namespaced)
                || self.info.version(&self.version).is_some_and(|version| version.fields.iter().any(|f| f == name));
            if !known {
                // Kinds with selectable fields of their own word it themselves.
                let own = self
                    .info
                    .version(&self.version)
                    .is_some_and(|version| version.fields.iter().any(|f| !f.starts_with("metadata.")));
                let message = if own || self.is_custom() || (self.group.is_empty() && self.resource == "namespaces") {
                    format!("field label not supported: {name}")
                } else {
                    format!("{name:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
                };
                return Err(ApiError::bad_request(message));
            }
        }
        if self.converts {
            *fields = convert::fields_to_storage(&self.id, fields);
        }
        Ok(())
    }
}
