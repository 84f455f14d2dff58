//! What a write knows of the resource it writes.

use std::sync::Arc;

use orc_core::catalogue::ResourceInfo;
use orc_core::schema::{MessageRef, Schema};
use orc_core::{ApiError, Doc, ObjectKey, Reason, ResourceId};
use serde_json::Value;

use super::Registry;
use crate::kinds::{Strategy, strategy};

/// A resource with its rules.
pub(super) struct Kind {
    pub(super) info: Arc<ResourceInfo>,
    pub(super) message: Option<MessageRef>,
    pub(super) rules: &'static dyn Strategy,
}

impl Registry {
    /// The rules of a stored resource.
    ///
    /// # Errors
    /// 404 for a resource that is not served.
    pub(super) fn kind(&self, id: &ResourceId) -> Result<Kind, ApiError> {
        let info = self.catalogue().by_id(id).cloned();
        let missing = || ApiError::new(Reason::NotFound, format!("the server does not serve the resource {id}"));
        let info = info.ok_or_else(missing)?;
        let message = Schema::builtin().message_of(&info.storage.group, &info.storage.version, &info.kind);
        Ok(Kind { message, rules: strategy(id.as_str()), info })
    }
}

impl Kind {
    /// `apiVersion` of stored objects.
    pub(super) fn api_version(&self) -> String {
        self.info.storage.to_string()
    }

    /// 422 with these errors, or nothing when there are none.
    pub(super) fn check(&self, doc: &Doc, errors: &[orc_core::validation::FieldError]) -> Result<(), ApiError> {
        if errors.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid(&self.info.group, &self.info.kind, doc.name(), errors))
    }

    pub(super) fn not_found(&self, key: &ObjectKey) -> ApiError {
        ApiError::not_found(&self.info.group, &self.info.plural, &key.name)
    }

    /// Brings a document into the stored form: what Go's encoder would have written.
    pub(super) fn canonical(&self, doc: &mut Doc) {
        if let Some(message) = self.message {
            orc_core::schema::canonical(doc.value_mut(), message);
        }
        doc.set(&["apiVersion"], self.api_version());
        doc.set(&["kind"], Value::from(self.info.kind.as_str()));
    }
}
