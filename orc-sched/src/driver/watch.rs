//! Changes of pods and nodes, made of caches; tells what is gone even when changes were lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use orc_core::{Name, Object, ObjectKey, Revision};
use orc_store::cache::{CacheEvent, Changes, Interest};
use orc_store::{Cache, Caches, Stored};

/// What happened to an object.
pub(super) enum Seen {
    /// It came or changed.
    Now(Arc<Stored>),
    /// The object of this key and uid is gone.
    Gone(ObjectKey, Name),
}

/// A cache with a cursor into its changes.
pub(super) struct Watched {
    cache: Arc<Cache>,
    changes: Option<Changes>,
    known: BTreeMap<ObjectKey, (Name, Revision)>,
}

impl Watched {
    pub(super) fn of<K: Object>(caches: &Caches) -> Self
    where
        K::DynamicType: Default,
    {
        Self { cache: caches.cache(Interest::of::<K>()).start(), changes: None, known: BTreeMap::new() }
    }

    /// Waits for the first fill and returns everything.
    pub(super) async fn begin(&mut self) -> Vec<Seen> {
        self.cache.synced().await;
        self.compare()
    }

    /// What has happened, once something has; `None` when the cache is gone. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Vec<Seen>> {
        let event = match &mut self.changes {
            Some(changes) => changes.next().await?,
            None => CacheEvent::Lagged,
        };
        Some(self.take(event))
    }

    /// What has happened until now, at most so many changes.
    pub(super) fn ready(&mut self, most: usize) -> Vec<Seen> {
        let mut seen = Vec::new();
        for _ in 0..most {
            let Some(changes) = &mut self.changes else { break };
            let Some(Some(event)) = changes.next().now_or_never() else { break };
            seen.extend(self.take(event));
        }
        seen
    }

    fn take(&mut self, event: CacheEvent) -> Vec<Seen> {
        let CacheEvent::Changed(change) = event else { return self.compare() };
        match change.after {
            Some(now) => self.put(now),
            None => self.drop_key(change.before.as_deref().map(|before| before.key.clone())),
        }
    }

    fn put(&mut self, now: Arc<Stored>) -> Vec<Seen> {
        let before = self.known.insert(now.key.clone(), (now.head.uid.clone(), now.revision));
        let replaced = before.filter(|(uid, _)| *uid != now.head.uid).map(|(uid, _)| Seen::Gone(now.key.clone(), uid));
        replaced.into_iter().chain([Seen::Now(now)]).collect()
    }

    fn drop_key(&mut self, key: Option<ObjectKey>) -> Vec<Seen> {
        let gone = key.and_then(|key| self.known.remove_entry(&key));
        gone.map(|(key, (uid, _))| Seen::Gone(key, uid)).into_iter().collect()
    }

    /// Subscribes anew and compares what there is with what was told.
    fn compare(&mut self) -> Vec<Seen> {
        let (snapshot, changes) = self.cache.subscribe();
        self.changes = Some(changes);
        let gone: Vec<ObjectKey> = self.known.keys().filter(|key| snapshot.get(key).is_none()).cloned().collect();
        let mut seen: Vec<Seen> = gone.into_iter().flat_map(|key| self.drop_key(Some(key))).collect();
        for now in snapshot.iter() {
            let same = self.known.get(&now.key).is_some_and(|(uid, at)| *uid == now.head.uid && *at == now.revision);
            if !same {
                seen.extend(self.put(now.clone()));
            }
        }
        seen
    }
}
