//! What a write knows of the resource it writes.

use std::ops::Deref;
use std::sync::Arc;

use orc_core::apply::Place;
use orc_core::catalogue::{Catalogue, ResourceInfo};
use orc_core::schema::{MessageRef, Schema};
use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use serde_json::Value;

use super::Registry;
use super::custom::{self, CustomRules, Definition, Spoken};
use crate::kinds::{Strategy, strategy};

/// A resource with its rules, in the version that is spoken.
pub(crate) struct Kind {
    pub(super) info: Arc<ResourceInfo>,
    pub(super) message: Option<MessageRef>,
    pub(super) rules: Rules,
    /// What defines the kind, where it is no built-in one.
    pub(super) custom: Option<Custom>,
}

/// The definition of a kind, and the version of it that is spoken.
pub(crate) struct Custom {
    pub(super) definition: Arc<Definition>,
    pub(super) spoken: Arc<Spoken>,
}

/// The rules of a kind.
pub(super) enum Rules {
    /// Of a built-in kind.
    BuiltIn(&'static dyn Strategy),
    /// Of a version of a custom kind.
    Custom(Arc<CustomRules>),
}

impl Deref for Rules {
    type Target = dyn Strategy;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::BuiltIn(rules) => *rules,
            Self::Custom(rules) => rules.as_ref(),
        }
    }
}

impl Registry {
    /// The rules of a stored resource, in the version that it is stored in.
    ///
    /// # Errors
    /// 404 for a resource that is not served.
    pub(super) fn kind(&self, id: &ResourceId) -> Result<Kind, ApiError> {
        self.kind_in(id, None)
    }

    /// The rules of a stored resource in a version; for built-in kinds, whose versions are one, always in the stored one.
    ///
    /// # Errors
    /// 404 for a resource or version that is not served, 500 for a definition that does not compile.
    pub(super) fn kind_in(&self, id: &ResourceId, version: Option<&str>) -> Result<Kind, ApiError> {
        if let Some(info) = Catalogue::builtin().by_id(id).cloned() {
            let message = Schema::builtin().message_of(&info.storage.group, &info.storage.version, &info.kind);
            return Ok(Kind { message, rules: Rules::BuiltIn(strategy(id.as_str())), info, custom: None });
        }
        let definition = self.definitions.current(id).ok_or_else(|| custom::not_served(id))?;
        let storage = definition.storage()?;
        let spoken = match version {
            None => Some(storage),
            Some(version) => definition.version(version).filter(|spoken| spoken.version.served),
        };
        let spoken = spoken.cloned().ok_or_else(|| custom::not_served(id))?;
        let info = self.catalogue().by_id(id).cloned().ok_or_else(|| custom::not_served(id))?;
        let rules = Rules::Custom(spoken.rules.clone());
        Ok(Kind { info, message: None, rules, custom: Some(Custom { definition, spoken }) })
    }
}

impl Kind {
    /// `apiVersion` of the documents that are spoken.
    pub(super) fn api_version(&self) -> String {
        self.custom.as_ref().map_or_else(|| self.info.storage.to_string(), |custom| custom.spoken.api_version.clone())
    }

    /// The version that is spoken.
    pub(super) fn version(&self) -> &str {
        self.custom.as_ref().map_or(&*self.info.storage.version, |custom| custom.spoken.version.name.as_str())
    }

    /// The type of an object, for server-side apply.
    pub(super) fn place(&self) -> Place<'_> {
        match (&self.custom, self.message) {
            (Some(custom), _) => Place::Node(&custom.spoken.types),
            (None, Some(message)) => Place::Message(message),
            (None, None) => Place::Free,
        }
    }

    /// 422 with these errors, or nothing when there are none.
    pub(super) fn check(&self, doc: &Doc, errors: &[orc_core::validation::FieldError]) -> Result<(), ApiError> {
        if errors.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid(&self.info.group, &self.info.kind, doc.name(), errors))
    }

    /// Whether objects may be made at all.
    ///
    /// # Errors
    /// 405 while the definition of the kind is being deleted.
    pub(super) fn may_create(&self) -> Result<(), ApiError> {
        match &self.custom {
            Some(custom) if custom.definition.is_deleting() => {
                let refused = ApiError::method_not_allowed(&self.info.group, &self.info.plural, "create");
                let why = "create not allowed while custom resource definition is terminating";
                let details = refused.details().cloned().unwrap_or_default();
                Err(ApiError::new(refused.reason(), why).with_details(details))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn not_found(&self, key: &ObjectKey) -> ApiError {
        ApiError::not_found(&self.info.group, &self.info.plural, &key.name)
    }

    /// Brings a document into the stored form: what Go's encoder would have written.
    pub(super) fn canonical(&self, doc: &mut Doc) {
        if self.custom.is_some() {
            if let Some(metadata) = doc.value_mut().get_mut("metadata") {
                orc_core::schema::canonical(metadata, Schema::builtin().object_meta());
            }
            return;
        }
        if let Some(message) = self.message {
            orc_core::schema::canonical(doc.value_mut(), message);
        }
        doc.set(&["apiVersion"], self.api_version());
        doc.set(&["kind"], Value::from(self.info.kind.as_str()));
    }
}
