//! Who owns whom: heads of every stored kind, found by the uids of their owners.
//!
//! The graph is the caches' own owner index; nothing else is kept. Kinds that are defined later join when they are seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use orc_core::catalogue::Catalogue;
use orc_core::{ObjectKey, OwnerRef, ResourceId};
use orc_store::cache::{Cache, Interest};
use orc_store::{Env, Stored};
use parking_lot::RwLock;

use super::plan::{FOREGROUND, ORPHAN, has};
use crate::controllers::{Kinds, support};

/// Kinds that own nothing and whose owners do not matter, as upstream ignores them; they are most of a cluster's writes.
const IGNORED: [&str; 2] = ["events", "events.events.k8s.io"];

/// The heads of all objects.
pub(crate) struct Graph {
    env: Env,
    kinds: Kinds,
    caches: RwLock<BTreeMap<ResourceId, Arc<Cache>>>,
}

/// Where an owner is to be found.
pub(crate) enum Place {
    At(ObjectKey),
    /// The kind is not served (any more, or yet).
    UnknownKind,
    /// A cluster-scoped object cannot be owned by a namespaced one.
    Nowhere,
}

impl Graph {
    pub(crate) fn new(env: Env, kinds: Kinds) -> Self {
        Self { env, kinds, caches: RwLock::default() }
    }

    /// Starts caches of kinds that came, drops those of kinds that went; returns the new ones.
    pub(crate) fn refresh(&self) -> Vec<Arc<Cache>> {
        let kinds = (self.kinds)();
        let served = support::stored(&kinds, |info| info.id.as_ref().is_some_and(|id| !IGNORED.contains(&id.as_str())));
        let mut caches = self.caches.write();
        caches.retain(|id, _| served.contains(id));
        let mut new = Vec::new();
        for id in served {
            caches.entry(id).or_insert_with_key(|id| {
                let cache = self.env.caches.cache(Interest::all(id.clone()).heads()).start();
                new.push(cache.clone());
                cache
            });
        }
        new
    }

    pub(crate) fn caches(&self) -> Vec<Arc<Cache>> {
        self.caches.read().values().cloned().collect()
    }

    pub(crate) fn get(&self, key: &ObjectKey) -> Option<Arc<Stored>> {
        self.caches.read().get(&key.resource)?.get(key)
    }

    /// All objects that name a uid as their owner.
    pub(crate) fn dependents(&self, uid: &str) -> Vec<Arc<Stored>> {
        let snapshots: Vec<_> = self.caches().iter().map(|cache| cache.snapshot()).collect();
        snapshots.iter().flat_map(|snapshot| snapshot.by_owner(uid).cloned().collect::<Vec<_>>()).collect()
    }

    /// Where the owner of an object is to be found.
    pub(crate) fn place(&self, dependent: &ObjectKey, owner: &OwnerRef) -> Place {
        let kinds: Arc<Catalogue> = (self.kinds)();
        let (group, version) = owner.api_version.split_once('/').unwrap_or(("", &owner.api_version));
        let Some(served) = kinds.by_kind(group, version, &owner.kind) else { return Place::UnknownKind };
        let Some(resource) = served.info.id.clone() else { return Place::UnknownKind };
        let namespace = match (served.info.is_namespaced(), &dependent.namespace) {
            (false, _) => None,
            (true, Some(namespace)) => Some(namespace.clone()),
            (true, None) => return Place::Nowhere,
        };
        Place::At(ObjectKey { resource, namespace, name: owner.name.as_str().into() })
    }

    /// Whether a pass over an object could have something to do: an owner is not to be seen or waits, or a finalizer asks.
    pub(crate) fn concerns(&self, stored: &Stored) -> bool {
        let head = &stored.head;
        if head.is_terminating() {
            return has(head, FOREGROUND) || has(head, ORPHAN);
        }
        head.owners.iter().any(|owner| match self.place(&stored.key, owner) {
            Place::At(key) => {
                let found = self.get(&key);
                found.is_none_or(|found| {
                    found.head.uid != *owner.uid || (found.head.is_terminating() && has(&found.head, FOREGROUND))
                })
            }
            Place::UnknownKind => true,
            Place::Nowhere => false,
        })
    }
}
