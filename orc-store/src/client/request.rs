//! What is read and written.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use orc_core::schema::MessageRef;
use orc_core::{ApiError, Doc, Name, ObjectKey, ResourceId, Revision};

use super::options::{Continue, DeleteOptions, ListOptions, Preconditions};
use crate::stored::Stored;

/// The objects of a resource, everywhere or in one namespace.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Scope {
    /// The storage resource.
    pub resource: ResourceId,
    /// The namespace, `None` for all namespaces and for cluster-scoped resources.
    pub namespace: Option<Name>,
}

impl Scope {
    /// All objects of a resource.
    pub fn all(resource: ResourceId) -> Self {
        Self { resource, namespace: None }
    }

    /// The objects of a resource in one namespace.
    pub fn within(resource: ResourceId, namespace: impl Into<Name>) -> Self {
        Self { resource, namespace: Some(namespace.into()) }
    }

    /// Whether a key lies inside.
    pub fn contains(&self, key: &ObjectKey) -> bool {
        self.resource == key.resource && (self.namespace.is_none() || self.namespace == key.namespace)
    }
}

/// A sub-resource by its name in the URL.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Subresource(pub Cow<'static, str>);

impl Subresource {
    /// `status`
    pub const STATUS: Self = Self(Cow::Borrowed("status"));
    /// `scale`
    pub const SCALE: Self = Self(Cow::Borrowed("scale"));
    /// `binding`
    pub const BINDING: Self = Self(Cow::Borrowed("binding"));
    /// `eviction`
    pub const EVICTION: Self = Self(Cow::Borrowed("eviction"));
    /// `finalize`
    pub const FINALIZE: Self = Self(Cow::Borrowed("finalize"));
    /// `token`
    pub const TOKEN: Self = Self(Cow::Borrowed("token"));

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subresource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a request is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// An object, or one of its sub-resources.
    Named(ObjectKey, Option<Subresource>),
    /// An object whose name the server makes from a prefix.
    Generated {
        /// Where.
        scope: Scope,
        /// `metadata.generateName`.
        prefix: String,
    },
    /// All objects of a scope (deletion of a collection).
    Collection(Scope),
}

impl Target {
    /// An object itself.
    pub fn object(key: ObjectKey) -> Self {
        Self::Named(key, None)
    }

    /// The status of an object.
    pub fn status(key: ObjectKey) -> Self {
        Self::Named(key, Some(Subresource::STATUS))
    }

    /// The resource.
    pub fn resource(&self) -> &ResourceId {
        match self {
            Self::Named(key, _) => &key.resource,
            Self::Generated { scope, .. } | Self::Collection(scope) => &scope.resource,
        }
    }

    /// The namespace.
    pub fn namespace(&self) -> Option<&Name> {
        match self {
            Self::Named(key, _) => key.namespace.as_ref(),
            Self::Generated { scope, .. } | Self::Collection(scope) => scope.namespace.as_ref(),
        }
    }
}

/// The format of a patch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PatchKind {
    /// RFC 6902, `application/json-patch+json`
    Json,
    /// RFC 7386, `application/merge-patch+json`
    Merge,
    /// `application/strategic-merge-patch+json`
    Strategic,
    /// Server-side apply, `application/apply-patch+yaml`
    Apply,
}

/// A change that can be tried again on a newer state.
pub type Modify = Arc<dyn Fn(&mut Doc) -> Result<(), ApiError> + Send + Sync>;

/// What a write wants. An intent is replayable: the server reads the current state, applies the intent, and commits if
/// nothing changed meanwhile.
#[derive(Clone)]
pub enum Intent {
    /// Make a new object.
    Create(Doc),
    /// Put this in the place of the object; a `resourceVersion` in it must match.
    Replace(Doc),
    /// Change parts of the object.
    Patch(PatchKind, Bytes),
    /// Change the object by a function of its current state.
    Modify(Modify),
    /// Delete the object, or every selected object of a collection.
    Delete(DeleteOptions),
    /// Delete the selected objects of a collection.
    DeleteCollection(DeleteOptions, Box<ListOptions>),
}

impl fmt::Debug for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create(_) => "Create",
            Self::Replace(_) => "Replace",
            Self::Patch(..) => "Patch",
            Self::Modify(_) => "Modify",
            Self::Delete(_) => "Delete",
            Self::DeleteCollection(..) => "DeleteCollection",
        })
    }
}

/// What to do with fields a type does not know, and with fields given twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FieldValidation {
    /// Drop them silently.
    Ignore,
    /// Drop them and warn.
    #[default]
    Warn,
    /// Refuse the request.
    Strict,
}

/// How to write.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Do everything but the commit.
    pub dry_run: bool,
    /// Who manages the fields, for `managedFields`; `None` is the handle's own.
    pub field_manager: Option<String>,
    /// Unknown and duplicate fields.
    pub field_validation: FieldValidation,
    /// Server-side apply: take over fields of other managers.
    pub force: bool,
    /// What a strict decoder found in the request body (`unknown field "spec.x"`, `duplicate field "spec.y"`).
    pub strict: Vec<String>,
    /// The message by which a new object was decoded from the request body: it need not be checked by it again.
    pub decoded: Option<MessageRef>,
    /// What must hold.
    pub preconditions: Preconditions,
    /// The version that the caller speaks, such as `v1beta1`, for kinds whose versions differ in more than their names;
    /// `None` is the version that objects are stored in.
    pub version: Option<Name>,
}

/// A write.
#[derive(Clone, Debug)]
pub struct WriteRequest {
    /// What is written.
    pub target: Target,
    /// What is wanted.
    pub intent: Intent,
    /// How.
    pub options: WriteOptions,
}

impl WriteRequest {
    /// A write with default options.
    pub fn new(target: Target, intent: Intent) -> Self {
        Self { target, intent, options: WriteOptions::default() }
    }
}

/// What a write did.
#[derive(Clone, Debug)]
pub struct Written {
    /// The result.
    pub outcome: Outcome,
    /// The HTTP status code: 200, 201 or 202.
    pub code: u16,
    /// Warnings for the client.
    pub warnings: Vec<String>,
}

/// The result of a write.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The object as it is stored now; after a deletion, as it was last.
    Persisted(Arc<Stored>),
    /// A document that is not stored: dry run, token, scale, review.
    Unsaved(Doc),
    /// The objects that a deletion of a collection took.
    Collection(Vec<Arc<Stored>>),
    /// Success with nothing to show; the details name the object.
    Status(serde_json::Value),
}

impl Written {
    /// The stored object.
    ///
    /// # Errors
    /// `InternalError` when the write did not store one.
    pub fn stored(self) -> Result<Arc<Stored>, ApiError> {
        match self.outcome {
            Outcome::Persisted(stored) => Ok(stored),
            _ => Err(ApiError::internal("the write did not store an object")),
        }
    }
}

/// What a read found.
#[derive(Clone, Debug)]
pub enum Gotten {
    /// A stored object.
    Stored(Arc<Stored>),
    /// A document made for the answer, such as a scale.
    Made(Doc),
}

impl Gotten {
    /// The stored object.
    ///
    /// # Errors
    /// `InternalError` when the answer was made up.
    pub fn stored(self) -> Result<Arc<Stored>, ApiError> {
        match self {
            Self::Stored(stored) => Ok(stored),
            Self::Made(_) => Err(ApiError::internal("the answer is not a stored object")),
        }
    }
}

/// The objects of a scope at one revision.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The objects in key order.
    pub items: Vec<Arc<Stored>>,
    /// The revision that the list shows.
    pub revision: Revision,
    /// Where the next page starts, `None` at the end.
    pub next: Option<Continue>,
    /// How many follow, where it is known without selectors.
    pub remaining: Option<u64>,
}
