//! What admission is asked.

use orc_core::catalogue::{GroupVersion, ResourceInfo};
use orc_core::{ApiError, Doc, ObjectKey};
use serde_json::{Value, json};

use crate::identity::Identity;

/// What is done to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// It is deleted.
    Delete,
    /// A stream to it is opened (`exec`, `proxy`, ...).
    Connect,
}

impl Operation {
    /// The name in rules and reviews.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// One request, as every plugin, policy and webhook sees it.
///
/// Objects are in the version that the client speaks where the versions of a built-in kind differ, which is also what
/// `requestResource` and `requestKind` say; else in the resource's storage version.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    /// What is done.
    pub operation: Operation,
    /// The object. Its name is empty where the server makes one later.
    pub key: &'a ObjectKey,
    /// The resource.
    pub info: &'a ResourceInfo,
    /// The sub-resource, or empty.
    pub subresource: &'a str,
    /// Version of the kind of `object` and `old`.
    pub version: GroupVersion,
    /// The kind of `object` and `old`: for `pods/eviction` it is `Eviction`.
    pub kind: String,
    /// The new state; none for deletions.
    pub object: Option<Doc>,
    /// The state before; none for creations.
    pub old: Option<&'a Doc>,
    /// Who asks.
    pub who: &'a Identity,
    /// `CreateOptions`, `UpdateOptions`, ... in their JSON form.
    pub options: Value,
    /// Nothing will be stored.
    pub dry_run: bool,
    /// Warnings for the client, so far.
    pub warnings: Vec<String>,
    /// Annotations of the audit event, so far.
    pub audit: Vec<(String, String)>,
}

impl Attributes<'_> {
    /// 403 for this request, as plugins word it.
    pub fn forbid(&self, why: impl std::fmt::Display) -> ApiError {
        ApiError::forbidden(&self.info.group, &self.info.plural, self.name(), why)
    }

    /// The object's name, or `Unknown`, which is what upstream calls an object without one.
    pub fn name(&self) -> &str {
        match self.key.name.as_str() {
            "" => self.object.as_ref().map(Doc::name).filter(|name| !name.is_empty()).unwrap_or("Unknown"),
            name => name,
        }
    }

    /// Whether it is about the object itself.
    pub fn is_main(&self) -> bool {
        self.subresource.is_empty()
    }

    /// The storage name of the resource, such as `pods`.
    pub fn resource(&self) -> &str {
        self.key.resource.as_str()
    }

    /// The new state's tree; null where there is none.
    pub fn new_value(&self) -> &Value {
        self.object.as_ref().map_or(&Value::Null, Doc::value)
    }

    /// The old state's tree; null where there is none.
    pub fn old_value(&self) -> &Value {
        self.old.map_or(&Value::Null, Doc::value)
    }

    /// `{group, version, kind}` of the object.
    pub fn kind_json(&self) -> Value {
        json!({"group": &*self.version.group, "version": &*self.version.version, "kind": self.kind})
    }

    /// The group and version that the resource is asked for in.
    pub fn asked(&self) -> &GroupVersion {
        if self.kind == self.info.kind { &self.version } else { &self.info.storage }
    }

    /// `{group, version, resource}`.
    pub fn resource_json(&self) -> Value {
        let asked = self.asked();
        json!({"group": &*asked.group, "version": &*asked.version, "resource": self.info.plural})
    }

    /// `{username, uid, groups, extra}`.
    pub fn user_json(&self) -> Value {
        let mut user = json!({"username": self.who.user, "groups": self.who.groups});
        if !self.who.uid.is_empty() {
            user["uid"] = Value::from(self.who.uid.as_str());
        }
        if !self.who.extra.is_empty() {
            user["extra"] = json!(self.who.extra);
        }
        user
    }
}
