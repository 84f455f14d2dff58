//! The typed face of a cache.

use std::marker::PhantomData;
use std::sync::Arc;

use orc_core::{Object, ObjectKey};

use super::{Cache, Snapshot};

/// Typed reads of a cache. Each object is decoded once, at its first typed read, and the view is kept while the object is
/// in the cache. An object that does not fit the type is told in the log and left out.
pub struct Typed<K: Object> {
    cache: Arc<Cache>,
    of: PhantomData<fn() -> K>,
}

impl<K: Object> Clone for Typed<K> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone(), of: PhantomData }
    }
}

impl<K: Object> Typed<K> {
    pub(super) fn new(cache: Arc<Cache>) -> Self {
        Self { cache, of: PhantomData }
    }

    /// The cache.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// An immutable picture with typed reads.
    pub fn snapshot(&self) -> TypedSnapshot<K> {
        TypedSnapshot { snapshot: self.cache.snapshot(), of: PhantomData }
    }

    /// An object by its key.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.snapshot().get(key)
    }

    /// All objects in key order.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.snapshot().list()
    }

    /// The objects of a namespace.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.snapshot().in_namespace(namespace)
    }

    /// The objects that name a uid as their owner.
    pub fn by_owner(&self, uid: &str) -> Vec<Arc<K>> {
        self.snapshot().by_owner(uid)
    }

    /// The objects that an index finds under a value.
    pub fn by_index(&self, index: &str, value: &str) -> Vec<Arc<K>> {
        self.snapshot().by_index(index, value)
    }
}

/// A typed picture of a cache.
#[derive(Clone)]
pub struct TypedSnapshot<K: Object> {
    snapshot: Snapshot,
    of: PhantomData<fn() -> K>,
}

impl<K: Object> TypedSnapshot<K> {
    /// The untyped picture.
    pub fn untyped(&self) -> &Snapshot {
        &self.snapshot
    }

    /// An object by its key.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.snapshot.entry(key)?.view()
    }

    /// All objects in key order, decoded as they are reached.
    pub fn iter(&self) -> impl Iterator<Item = Arc<K>> + '_ {
        self.snapshot.entries().filter_map(super::state::Entry::view)
    }

    /// All objects in key order.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.iter().collect()
    }

    /// The objects of a namespace.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.snapshot.entries_in(namespace).filter_map(super::state::Entry::view).collect()
    }

    /// The objects that name a uid as their owner.
    pub fn by_owner(&self, uid: &str) -> Vec<Arc<K>> {
        self.snapshot.entries_by_owner(uid).filter_map(super::state::Entry::view).collect()
    }

    /// The objects that an index finds under a value.
    pub fn by_index(&self, index: &str, value: &str) -> Vec<Arc<K>> {
        self.snapshot.entries_by_index(index, value).filter_map(super::state::Entry::view).collect()
    }
}
