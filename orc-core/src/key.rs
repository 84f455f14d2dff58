//! Names, storage resources, object keys and revisions.
//!
//! A key names an object in *storage*: group and plural, never a version. Resources that share storage (events of the
//! core group and of `events.k8s.io`) share one [`ResourceId`].

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::intern::intern;

/// A name of an object or a namespace: cheap to clone, compared by text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(Arc<str>);

impl Name {
    /// Wraps a text. No rule is checked: what a valid name is depends on the kind (see [`crate::validation`]).
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(Arc::from(text.as_ref()))
    }

    /// Wraps a text that many objects are likely to have in common (a namespace, a label's key, a node's name): equal texts
    /// are held once.
    pub fn shared(text: impl AsRef<str>) -> Self {
        Self(intern(text.as_ref()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Self(Arc::from(text))
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

/// A storage resource, written `plural` or `plural.group` (`pods`, `deployments.apps`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceId(Arc<str>);

impl ResourceId {
    /// The resource `plural` of `group` (the core group is `""`).
    pub fn new(group: &str, plural: &str) -> Self {
        match group {
            "" => Self(intern(plural)),
            _ => Self(intern(&format!("{plural}.{group}"))),
        }
    }

    /// The resource of a type whose `DynamicType` has a default (built-in and derived kinds).
    pub fn of<K>() -> Self
    where
        K: kube_core::Resource,
        K::DynamicType: Default,
    {
        Self::of_type::<K>(&K::DynamicType::default())
    }

    /// The resource of a type whose `DynamicType` is a value (dynamic objects).
    pub fn of_type<K: kube_core::Resource>(dynamic: &K::DynamicType) -> Self {
        Self::new(&K::group(dynamic), &K::plural(dynamic))
    }

    /// Reads the written form back.
    pub fn parse(text: &str) -> Self {
        Self(intern(text))
    }

    /// The plural name, as in a URL path.
    pub fn plural(&self) -> &str {
        self.0.split_once('.').map_or(&*self.0, |(plural, _)| plural)
    }

    /// The API group, `""` for the core group.
    pub fn group(&self) -> &str {
        self.0.split_once('.').map_or("", |(_, group)| group)
    }

    /// The written form, `plural` or `plural.group`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl AsRef<str> for ResourceId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// The identity of one object in storage.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectKey {
    /// The storage resource.
    pub resource: ResourceId,
    /// The namespace, `None` for cluster-scoped resources.
    pub namespace: Option<Name>,
    /// The object's name.
    pub name: Name,
}

impl ObjectKey {
    /// A namespaced key.
    pub fn namespaced(resource: ResourceId, namespace: impl Into<Name>, name: impl Into<Name>) -> Self {
        Self { resource, namespace: Some(namespace.into()), name: name.into() }
    }

    /// A cluster-scoped key.
    pub fn cluster(resource: ResourceId, name: impl Into<Name>) -> Self {
        Self { resource, namespace: None, name: name.into() }
    }

    /// The key of a typed object that has a name.
    pub fn of<K>(object: &K) -> Self
    where
        K: kube_core::Resource,
        K::DynamicType: Default,
    {
        let meta = object.meta();
        Self {
            resource: ResourceId::of::<K>(),
            namespace: meta.namespace.as_deref().map(Name::new),
            name: Name::new(meta.name.as_deref().unwrap_or_default()),
        }
    }

    /// The namespace as text, `""` for cluster-scoped keys.
    pub fn namespace_str(&self) -> &str {
        self.namespace.as_ref().map_or("", Name::as_str)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{}/{}", self.resource, namespace, self.name),
            None => write!(f, "{}/{}", self.resource, self.name),
        }
    }
}

/// A point in the one global order of changes; `resourceVersion` on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    /// Before every change.
    pub const ZERO: Self = Self(0);

    /// Reads a `resourceVersion`; `None` when it is not a decimal number.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    /// The revision that follows.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_ids_split_into_group_and_plural() {
        let deployments = ResourceId::new("apps", "deployments");
        assert_eq!((deployments.plural(), deployments.group()), ("deployments", "apps"));
        let leases = ResourceId::new("coordination.k8s.io", "leases");
        assert_eq!((leases.plural(), leases.group()), ("leases", "coordination.k8s.io"));
        assert_eq!(ResourceId::of::<k8s_openapi::api::core::v1::Pod>().as_str(), "pods");
    }

    #[test]
    fn keys_sort_by_resource_then_namespace_then_name() {
        let key = |ns: &str, name: &str| ObjectKey::namespaced(ResourceId::new("", "pods"), ns, name);
        assert!(key("a", "z") < key("b", "a"));
        assert!(key("a", "a") < key("a", "b"));
    }
}
