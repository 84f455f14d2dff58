//! What a write knows of the resource it writes.

use std::ops::Deref;
use std::sync::Arc;

use orc_core::apply::Place;
use orc_core::catalogue::{Catalogue, GroupVersion, ResourceInfo};
use orc_core::schema::{MessageRef, Schema};
use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use serde_json::Value;

use super::Registry;
use super::custom::{self, CustomRules, Definition, Spoken};
use super::own::OwnRules;
use crate::convert::{self, Foreign};
use crate::kinds::{Strategy, strategy};

/// A resource with its rules, in the version that is spoken.
pub(crate) struct Kind {
    pub(super) info: Arc<ResourceInfo>,
    pub(super) message: Option<MessageRef>,
    pub(super) rules: Rules,
    /// What defines the kind, where it is no built-in one.
    pub(super) custom: Option<Custom>,
    /// The version that is spoken, where it is a built-in one and not the stored one.
    pub(super) foreign: Option<&'static Foreign>,
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
    /// The same, with an embedder's own rule.
    Own(OwnRules),
}

impl Deref for Rules {
    type Target = dyn Strategy;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::BuiltIn(rules) => *rules,
            Self::Custom(rules) => rules.as_ref(),
            Self::Own(rules) => rules,
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

    /// The rules of a stored resource in a version (`v1`, or with its group `events.k8s.io/v1`).
    ///
    /// # Errors
    /// 404 for a resource or version that is not served, 500 for a definition that does not compile.
    pub(super) fn kind_in(&self, id: &ResourceId, version: Option<&str>) -> Result<Kind, ApiError> {
        if let Some(info) = Catalogue::builtin().by_id(id).cloned() {
            let foreign = version.and_then(|version| convert::foreign(id, version));
            let (api_version, rules) = match foreign {
                Some(foreign) => (foreign.api_version.to_owned(), foreign.rules()),
                None => (info.storage.to_string(), strategy(id.as_str())),
            };
            let message = Schema::builtin().message_of_type(&api_version, &info.kind);
            return Ok(Kind { message, rules: Rules::BuiltIn(rules), info, custom: None, foreign });
        }
        let version = version.map(|version| version.rsplit('/').next().unwrap_or(version));
        let definition = self.definitions.current(id).ok_or_else(|| custom::not_served(id))?;
        let storage = definition.storage()?;
        let spoken = match version {
            None => Some(storage),
            Some(version) => definition.version(version).filter(|spoken| spoken.version.served),
        };
        let spoken = spoken.cloned().ok_or_else(|| custom::not_served(id))?;
        let info = self.catalogue().by_id(id).cloned().ok_or_else(|| custom::not_served(id))?;
        let rules = spoken.rules.clone();
        let rules = match self.definitions.check_of(id) {
            Some(check) => Rules::Own(OwnRules { rules, check }),
            None => Rules::Custom(rules),
        };
        Ok(Kind { info, message: None, rules, custom: Some(Custom { definition, spoken }), foreign: None })
    }
}

impl Kind {
    /// `apiVersion` of the documents that are spoken.
    pub(super) fn api_version(&self) -> String {
        match (&self.custom, self.foreign) {
            (Some(custom), _) => custom.spoken.api_version.clone(),
            (None, Some(foreign)) => foreign.api_version.to_owned(),
            (None, None) => self.info.storage.to_string(),
        }
    }

    /// The version that is spoken.
    pub(super) fn version(&self) -> &str {
        match (&self.custom, self.foreign) {
            (Some(custom), _) => custom.spoken.version.name.as_str(),
            (None, Some(foreign)) => foreign.api_version.rsplit('/').next().unwrap_or_default(),
            (None, None) => &self.info.storage.version,
        }
    }

    /// Group and version that a request to a built-in kind is made in; those that are stored for custom kinds.
    pub(super) fn spoken(&self) -> GroupVersion {
        let foreign = self.foreign.and_then(|foreign| foreign.api_version.split_once('/'));
        foreign.map_or_else(
            || self.info.storage.clone(),
            |(group, version)| GroupVersion { group: group.into(), version: version.into() },
        )
    }

    /// The type of an object, for server-side apply.
    pub(super) fn place(&self) -> Place<'_> {
        match (&self.custom, self.message) {
            (Some(custom), _) => Place::Node(&custom.spoken.types),
            (None, Some(message)) => Place::Message(message),
            (None, None) => Place::Free,
        }
    }

    /// The type of an object that is written through this kind: the kind's own, or that of a sub-resource such as `Binding`.
    pub(super) fn place_of(&self, doc: &Doc) -> Place<'_> {
        if doc.kind() == self.info.kind && doc.api_version() == self.api_version() {
            return self.place();
        }
        let message = Schema::builtin().message_of_type(doc.api_version(), doc.kind());
        message.map_or(Place::Free, Place::Message)
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

    /// Brings a document into the form that it has after decoding: what Go's encoder would have written, but for fractions
    /// of seconds, which are still to be checked.
    pub(super) fn canonical(&self, doc: &mut Doc) {
        self.shape(doc, orc_core::schema::canonical);
    }

    /// Brings a document that was checked into the stored form.
    pub(super) fn written(&self, doc: &mut Doc) {
        self.shape(doc, orc_core::schema::written);
    }

    fn shape(&self, doc: &mut Doc, to: fn(&mut Value, MessageRef)) {
        if self.custom.is_some() {
            if let Some(metadata) = doc.value_mut().get_mut("metadata") {
                to(metadata, Schema::builtin().object_meta());
            }
            return;
        }
        if let Some(message) = self.message {
            to(doc.value_mut(), message);
        }
        doc.set(&["apiVersion"], self.api_version());
        doc.set(&["kind"], Value::from(self.info.kind.as_str()));
    }
}
