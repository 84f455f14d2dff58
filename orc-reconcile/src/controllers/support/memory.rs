//! What a loop remembers of its own writes, so that a stale cache never makes it write twice.
//!
//! Three things a key: revisions that the caches must show before the next pass; objects whose deletion was accepted, until
//! the cache shows it; names of objects whose creation may or may not have happened. A name is chosen before the creation,
//! so a creation that is tried again after a timeout finds the object there instead of making another one.
//! All of it may be lost in a crash: then the caches are filled from the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use orc_core::{ObjectKey, Revision};
use orc_store::cache::{Cache, Stale};
use parking_lot::Mutex;

/// How long a pass waits for its caches. Beyond it the pass fails and is tried again, with nothing written.
const WAIT: Duration = Duration::from_secs(10);

/// The memory of one loop. Bounded by the objects that it works on: a key that is gone is forgotten.
#[derive(Default)]
pub(crate) struct Memory(Mutex<BTreeMap<ObjectKey, Entry>>);

#[derive(Default)]
struct Entry {
    barriers: Vec<(Arc<Cache>, Revision)>,
    leaving: BTreeSet<String>,
    names: BTreeSet<String>,
}

impl Memory {
    /// Waits until the caches show what earlier passes of the key wrote.
    pub(crate) async fn settle(&self, key: &ObjectKey) -> Result<(), Stale> {
        let barriers = self.with(key, |entry| entry.barriers.clone());
        for (cache, revision) in &barriers {
            cache.observed(*revision, WAIT).await?;
        }
        self.with(key, |entry| entry.barriers.clear());
        Ok(())
    }

    /// Notes that an object of a cache was written.
    pub(crate) fn wrote(&self, key: &ObjectKey, cache: &Arc<Cache>, revision: Option<&str>) {
        let Some(revision) = revision.and_then(Revision::parse) else { return };
        self.with(key, |entry| match entry.barriers.iter_mut().find(|(of, _)| Arc::ptr_eq(of, cache)) {
            Some((_, latest)) => *latest = (*latest).max(revision),
            None => entry.barriers.push((cache.clone(), revision)),
        });
    }

    /// Notes that an object's deletion was accepted.
    pub(crate) fn deleted(&self, key: &ObjectKey, uid: &str) {
        self.with(key, |entry| entry.leaving.insert(uid.to_owned()));
    }

    /// The objects whose deletion the cache does not show yet, among those it shows as alive.
    pub(crate) fn leaving(&self, key: &ObjectKey, alive: &BTreeSet<&str>) -> BTreeSet<String> {
        self.with(key, |entry| {
            entry.leaving.retain(|uid| alive.contains(uid.as_str()));
            entry.leaving.clone()
        })
    }

    /// Names for `count` new objects: those of creations that may have happened come first.
    pub(crate) fn names(&self, key: &ObjectKey, count: usize, mut make: impl FnMut() -> String) -> Vec<String> {
        self.with(key, |entry| {
            let mut names: Vec<String> = entry.names.iter().take(count).cloned().collect();
            while names.len() < count {
                let name = make();
                if entry.names.insert(name.clone()) {
                    names.push(name);
                }
            }
            names
        })
    }

    /// A name with a prefix, apart from those `used`: one whose creation may have happened, or else a new one. Says whether it
    /// is new.
    pub(crate) fn name_like(
        &self,
        key: &ObjectKey,
        prefix: &str,
        used: &BTreeSet<String>,
        make: impl FnMut() -> String,
    ) -> (String, bool) {
        self.with(key, |entry| {
            let known = entry.names.iter().find(|name| name.starts_with(prefix) && !used.contains(*name));
            if let Some(name) = known {
                return (name.clone(), false);
            }
            let mut made = std::iter::repeat_with(make).filter(|name| !entry.names.contains(name));
            let name = made.next().unwrap_or_default();
            entry.names.insert(name.clone());
            (name, true)
        })
    }

    /// Notes that the creation under a name is known to have happened, or to have been refused.
    pub(crate) fn decided(&self, key: &ObjectKey, name: &str) {
        self.with(key, |entry| entry.names.remove(name));
    }

    /// Names whose creation may have happened: an object of that name that shows up is no longer in doubt.
    pub(crate) fn seen(&self, key: &ObjectKey, names: &BTreeSet<&str>) {
        self.with(key, |entry| entry.names.retain(|name| !names.contains(name.as_str())));
    }

    /// Forgets a key whose object is gone.
    pub(crate) fn forget(&self, key: &ObjectKey) {
        self.0.lock().remove(key);
    }

    fn with<R>(&self, key: &ObjectKey, change: impl FnOnce(&mut Entry) -> R) -> R {
        let mut entries = self.0.lock();
        match entries.get_mut(key) {
            Some(entry) => change(entry),
            None => change(entries.entry(key.clone()).or_default()),
        }
    }
}
