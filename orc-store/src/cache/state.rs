//! The objects of a cache and their indexes: persistent, so that a snapshot is a clone of pointers.

use std::any::Any;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use imbl::{OrdMap, OrdSet};
use orc_core::{Name, Object, ObjectKey, Revision};

use crate::stored::Stored;

/// Gives the values under which an index finds an object.
pub type IndexFn = Arc<dyn Fn(&Stored) -> Vec<String> + Send + Sync>;

/// One object, with the typed view pinned once somebody has asked for it.
#[derive(Clone)]
pub(super) struct Entry {
    stored: Arc<Stored>,
    view: Arc<OnceLock<Arc<dyn Any + Send + Sync>>>,
}

#[derive(Clone)]
struct Index {
    values_of: IndexFn,
    keys: OrdSet<(Name, ObjectKey)>,
}

/// An immutable picture of a cache.
#[derive(Clone, Default)]
pub struct Snapshot {
    objects: OrdMap<ObjectKey, Entry>,
    owners: OrdSet<(Name, ObjectKey)>,
    indexes: BTreeMap<Name, Index>,
    pub(super) revision: Revision,
}

impl Entry {
    fn new(stored: Arc<Stored>) -> Self {
        Self { stored, view: Arc::default() }
    }

    /// The typed view, kept as long as the object is in the cache. An object that does not fit the type is told in the log
    /// and counts as absent.
    pub(super) fn view<K: Object>(&self) -> Option<Arc<K>> {
        if let Some(view) = self.view.get().and_then(|view| view.clone().downcast::<K>().ok()) {
            return Some(view);
        }
        match self.stored.view::<K>() {
            Ok(view) => {
                // Another type may be pinned already; then this one is decoded while somebody holds it.
                let _ = self.view.set(view.clone());
                Some(view)
            }
            Err(error) => {
                tracing::error!(key = %self.stored.key, %error, "a cached object does not fit the type it is read as");
                None
            }
        }
    }
}

impl Snapshot {
    /// The revision that the picture shows.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// An object by its key.
    pub fn get(&self, key: &ObjectKey) -> Option<&Arc<Stored>> {
        self.objects.get(key).map(|entry| &entry.stored)
    }

    /// All objects in key order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Stored>> {
        self.entries().map(|entry| &entry.stored)
    }

    /// The objects of a namespace in key order.
    pub fn in_namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Arc<Stored>> {
        self.entries_in(namespace).map(|entry| &entry.stored)
    }

    /// The objects that name a uid as their owner.
    pub fn by_owner<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = &'a Arc<Stored>> {
        self.found(&self.owners, uid).map(|entry| &entry.stored)
    }

    /// The objects that an index finds under a value; nothing when there is no such index.
    pub fn by_index<'a>(&'a self, index: &str, value: &'a str) -> impl Iterator<Item = &'a Arc<Stored>> {
        self.entries_by_index(index, value).map(|entry| &entry.stored)
    }

    pub(super) fn entry(&self, key: &ObjectKey) -> Option<&Entry> {
        self.objects.get(key)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.objects.values()
    }

    pub(super) fn entries_in<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Entry> {
        let first = self.objects.get_min().map(|(key, _)| ObjectKey {
            resource: key.resource.clone(),
            namespace: Some(Name::new(namespace)),
            name: Name::default(),
        });
        let from = first.map_or(Bound::Unbounded, Bound::Included);
        let range = self.objects.range((from, Bound::Unbounded));
        range.take_while(move |(key, _)| key.namespace_str() == namespace).map(|(_, entry)| entry)
    }

    pub(super) fn entries_by_owner<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.found(&self.owners, uid)
    }

    pub(super) fn entries_by_index<'a>(&'a self, index: &str, value: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.indexes.get(index).into_iter().flat_map(move |index| self.found(&index.keys, value))
    }

    fn found<'a>(&'a self, keys: &'a OrdSet<(Name, ObjectKey)>, value: &'a str) -> impl Iterator<Item = &'a Entry> {
        // No key sorts before one whose parts are all empty.
        let least = ObjectKey { resource: orc_core::ResourceId::parse(""), namespace: None, name: Name::default() };
        let range = keys.range((Bound::Included((Name::new(value), least)), Bound::Unbounded));
        range.take_while(move |(of, _)| *of == *value).filter_map(|(_, key)| self.objects.get(key))
    }

    /// Adds an index over the present and all later objects; a second one of the same name changes nothing.
    pub(super) fn add_index(&mut self, name: &str, values_of: IndexFn) {
        if self.indexes.contains_key(name) {
            return;
        }
        let mut keys = OrdSet::new();
        for entry in self.objects.values() {
            for value in values_of(&entry.stored) {
                keys.insert((Name::from(value), entry.stored.key.clone()));
            }
        }
        self.indexes.insert(Name::new(name), Index { values_of, keys });
    }

    /// Puts an object in and returns the one before.
    pub(super) fn put(&mut self, stored: Arc<Stored>) -> Option<Arc<Stored>> {
        let before = self.objects.insert(stored.key.clone(), Entry::new(stored.clone())).map(|entry| entry.stored);
        if let Some(before) = &before {
            self.unlist(before);
        }
        for owner in &stored.head.owners {
            self.owners.insert((Name::new(&owner.uid), stored.key.clone()));
        }
        for index in self.indexes.values_mut() {
            for value in (index.values_of)(&stored) {
                index.keys.insert((Name::from(value), stored.key.clone()));
            }
        }
        before
    }

    /// Takes an object out and returns it.
    pub(super) fn take(&mut self, key: &ObjectKey) -> Option<Arc<Stored>> {
        let before = self.objects.remove(key)?.stored;
        self.unlist(&before);
        Some(before)
    }

    fn unlist(&mut self, before: &Stored) {
        for owner in &before.head.owners {
            self.owners.remove(&(Name::new(&owner.uid), before.key.clone()));
        }
        for index in self.indexes.values_mut() {
            for value in (index.values_of)(before) {
                index.keys.remove(&(Name::from(value), before.key.clone()));
            }
        }
    }
}
