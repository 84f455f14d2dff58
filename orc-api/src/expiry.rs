//! Events live for an hour after their last change, as with kube-apiserver's `--event-ttl`.
//!
//! One watch and one timer: the cost is that of the events that come and go, never of all events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use orc_core::env::Clock;
use orc_core::{ObjectKey, ResourceId, Revision};
use orc_store::backend::Expect;
use orc_store::client::{Scope, WatchOptions};
use orc_store::{Store, WatchEvent};

/// How long an event is kept after its last change.
pub const TTL: Duration = Duration::from_secs(3600);

/// Which events go next: pure.
#[derive(Default)]
struct Deadlines {
    by_time: BTreeSet<(Timestamp, ObjectKey)>,
    by_key: BTreeMap<ObjectKey, (Timestamp, Revision)>,
}

impl Deadlines {
    fn set(&mut self, key: &ObjectKey, at: Timestamp, revision: Revision) {
        self.forget(key);
        self.by_time.insert((at, key.clone()));
        self.by_key.insert(key.clone(), (at, revision));
    }

    fn forget(&mut self, key: &ObjectKey) {
        if let Some((at, _)) = self.by_key.remove(key) {
            self.by_time.remove(&(at, key.clone()));
        }
    }

    fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    fn take(&mut self, now: Timestamp) -> Option<(ObjectKey, Revision)> {
        let key = self.by_time.first().filter(|(at, _)| *at <= now).map(|(_, key)| key.clone())?;
        let (_, revision) = self.by_key.get(&key).copied()?;
        self.forget(&key);
        Some((key, revision))
    }
}

/// Deletes events when their time has come, until it is dropped. After a restart, events that are there get a full life.
/// Returns at once when the store's backend expires keys by itself (`StoreConfig::ttl`).
pub async fn run(store: Arc<Store>, clock: Clock, ttl: Duration) {
    if store.backend().expires() {
        return;
    }
    let scope = Scope::all(ResourceId::new("", "events"));
    loop {
        let mut deadlines = Deadlines::default();
        match store.watch(&scope, &WatchOptions::default()).await {
            Ok(mut events) => loop {
                let due = deadlines.next();
                tokio::select! {
                    biased;
                    event = events.next() => match event {
                        Some(Ok(event)) => note(&mut deadlines, &event, clock.now(), ttl),
                        _ => break,
                    },
                    () = until(&clock, due) => expire(&store, &mut deadlines, clock.now()).await,
                }
            },
            Err(error) => tracing::warn!(%error, "events cannot be watched; they are kept"),
        }
        clock.sleep(Duration::from_secs(1)).await;
    }
}

fn note(deadlines: &mut Deadlines, event: &WatchEvent, now: Timestamp, ttl: Duration) {
    match event {
        WatchEvent::Added(stored) | WatchEvent::Modified { now: stored, .. } => {
            deadlines.set(&stored.key, now.checked_add(ttl).unwrap_or(Timestamp::MAX), stored.revision);
        }
        WatchEvent::Removed { last, .. } => deadlines.forget(&last.key),
        WatchEvent::Bookmark { .. } => {}
    }
}

async fn expire(store: &Store, deadlines: &mut Deadlines, now: Timestamp) {
    while let Some((key, revision)) = deadlines.take(now) {
        // One that changed meanwhile comes again through the watch.
        if let Err(error) = store.commit(&key, None, Expect::At(revision), None).await {
            tracing::debug!(%key, %error, "an event was not expired");
        }
    }
}

async fn until(clock: &Clock, at: Option<Timestamp>) {
    match at {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orc_core::Doc;
    use orc_core::env::System;
    use orc_store::client::ListOptions;
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn events_go_after_their_time_and_others_stay() {
        let system = System::seeded(1, "2026-01-01T00:00:00Z".parse().unwrap());
        let store = Store::in_memory(&system).await;
        let _expiring = system.spawn.spawn(run(store.clone(), system.clock.clone(), TTL));
        for plural in ["events", "pods"] {
            let doc = json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a", "namespace": "d"}});
            let key = ObjectKey::namespaced(ResourceId::new("", plural), "d", "a");
            store.commit(&key, Some(Doc::from_value(doc).unwrap().to_body()), Expect::Absent, None).await.unwrap();
        }
        let count = |plural: &str| {
            let scope = Scope::all(ResourceId::new("", plural));
            let store = store.clone();
            async move { store.list(&scope, &ListOptions::default()).await.unwrap().items.len() }
        };
        system.clock.sleep(TTL - Duration::from_secs(5)).await;
        assert_eq!((count("events").await, count("pods").await), (1, 1));
        system.clock.sleep(Duration::from_secs(10)).await;
        assert_eq!((count("events").await, count("pods").await), (0, 1));
    }
}
