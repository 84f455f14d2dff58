//! Raw keys, and the order of objects inside a resource.

use std::cmp::Ordering;
use std::ops::Bound;

use bytes::{BufMut, BytesMut};
use orc_core::{Name, ObjectKey, ResourceId};

use crate::backend::RawKey;
use crate::client::Scope;

/// The raw key of an object, `/<resource>/<namespace or empty>/<name>`.
pub fn raw_key(key: &ObjectKey) -> RawKey {
    let (resource, namespace, name) = (key.resource.as_str(), key.namespace_str(), key.name.as_str());
    let mut out = BytesMut::with_capacity(resource.len() + namespace.len() + name.len() + 3);
    for part in [resource, namespace, name] {
        out.put_u8(b'/');
        out.put_slice(part.as_bytes());
    }
    out.freeze()
}

/// Reads a raw key back; `None` when it has another shape.
pub fn parse_key(raw: &[u8]) -> Option<ObjectKey> {
    let mut parts = std::str::from_utf8(raw).ok()?.strip_prefix('/')?.splitn(3, '/');
    let (resource, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
    let namespace = (!namespace.is_empty()).then(|| Name::shared(namespace));
    Some(ObjectKey { resource: ResourceId::parse(resource), namespace, name: Name::new(name) })
}

/// Where an object stands inside its resource. Ordered as the raw keys are, so that a list, a continue token and a scan of
/// the backend agree (`a-b` comes before `a` as a namespace, because `-` comes before `/`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) namespace: Option<Name>,
    pub(crate) name: Name,
}

impl Place {
    pub(crate) fn of(key: &ObjectKey) -> Self {
        Self { namespace: key.namespace.clone(), name: key.name.clone() }
    }

    fn namespace_str(&self) -> &str {
        self.namespace.as_ref().map_or("", Name::as_str)
    }

    /// Where the objects of a scope begin.
    pub(crate) fn start_of(scope: &Scope) -> Bound<Self> {
        match &scope.namespace {
            Some(namespace) => Bound::Included(Self { namespace: Some(namespace.clone()), name: Name::default() }),
            None => Bound::Unbounded,
        }
    }

    /// Whether the object is in the scope's namespace.
    pub(crate) fn is_in(&self, scope: &Scope) -> bool {
        scope.namespace.is_none() || scope.namespace == self.namespace
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        segment(self.namespace_str(), other.namespace_str()).then_with(|| self.name.cmp(&other.name))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Compares two texts as if a `/` stood behind each.
fn segment(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let common = a.len().min(b.len());
    a[..common].cmp(&b[..common]).then_with(|| match (a.get(common), b.get(common)) {
        (Some(next), None) => next.cmp(&b'/').then(Ordering::Greater),
        (None, Some(next)) => b'/'.cmp(next).then(Ordering::Less),
        _ => Ordering::Equal,
    })
}

/// The place behind a raw key, where the next page of a list starts; `None` when the text is no raw key.
pub(crate) fn behind(raw: &str) -> Option<Bound<Place>> {
    let key = parse_key(raw.as_bytes())?;
    Some(Bound::Excluded(Place::of(&key)))
}

/// The raw key as text, for continue tokens.
pub(crate) fn raw_text(key: &ObjectKey) -> String {
    format!("/{}/{}/{}", key.resource, key.namespace_str(), key.name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_sort_as_raw_keys(a in "[a-b.-]{1,4}", b in "[a-b.-]{1,4}", m in "[a-b.-]{1,3}", n in "[a-b.-]{1,3}") {
            let key = |ns: &str, name: &str| ObjectKey::namespaced(ResourceId::new("", "pods"), ns, name);
            let (one, two) = (key(&a, &m), key(&b, &n));
            prop_assert_eq!(Place::of(&one).cmp(&Place::of(&two)), raw_key(&one).cmp(&raw_key(&two)));
            prop_assert_eq!(parse_key(&raw_key(&one)), Some(one));
        }
    }

    #[test]
    fn cluster_scoped_keys_read_back() {
        let key = ObjectKey::cluster(ResourceId::new("rbac.authorization.k8s.io", "clusterroles"), "system:a");
        assert_eq!(&raw_key(&key)[..], b"/clusterroles.rbac.authorization.k8s.io//system:a");
        assert_eq!(parse_key(&raw_key(&key)), Some(key));
        assert_eq!(parse_key(b"no key"), None);
    }
}
