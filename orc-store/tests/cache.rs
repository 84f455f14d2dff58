//! Caches: filled once, kept up to date, right again after the watch lost its place.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use orc_core::env::System;
use orc_core::{Doc, ObjectKey, ResourceId, Revision};
use orc_store::backend::MemoryBackend;
use orc_store::cache::{CacheEvent, Changes, Interest};
use orc_store::client::{DeleteOptions, Intent, Scope, Selection, Target, WriteRequest};
use orc_store::store::StoreConfig;
use orc_store::testing::FaultyBackend;
use orc_store::{Cache, Env, LocalClient, Store, Stored};
use serde_json::{Value, json};

struct World {
    env: Env,
    store: Arc<Store>,
    backend: Arc<FaultyBackend>,
}

const WAIT: Duration = Duration::from_secs(60);

async fn world() -> World {
    let system = System::seeded(1, "2026-01-01T00:00:00Z".parse().unwrap());
    let backend = FaultyBackend::over(Arc::new(MemoryBackend::new()));
    let config = StoreConfig { history_changes: 8, ..StoreConfig::default() };
    let store = Store::open_with(backend.clone(), Arc::new(|_| Arc::from([])), system.clone(), config).await.unwrap();
    let env = Env::new(Arc::new(LocalClient::new(store.clone(), &system)), &system);
    World { env, store, backend }
}

fn pods() -> ResourceId {
    ResourceId::new("", "pods")
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::namespaced(pods(), "d", name)
}

impl World {
    async fn write(&self, name: &str, intent: Intent) -> Arc<Stored> {
        self.env.client.write(WriteRequest::new(Target::object(key(name)), intent)).await.unwrap().stored().unwrap()
    }

    async fn create(&self, name: &str, metadata: Value) -> Arc<Stored> {
        let mut doc = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata});
        doc["metadata"]["name"] = name.into();
        self.write(name, Intent::Create(Doc::from_value(doc).unwrap())).await
    }

    async fn label(&self, name: &str, value: u64) -> Revision {
        let set = move |doc: &mut Doc| {
            doc.set(&["metadata", "labels", "app"], value.to_string());
            Ok(())
        };
        self.write(name, Intent::Modify(Arc::new(set))).await.revision
    }

    async fn delete(&self, name: &str) {
        self.write(name, Intent::Delete(DeleteOptions::default())).await;
    }

    /// The cache shows exactly what the store has.
    fn agrees(&self, cache: &Cache) -> bool {
        let cached = cache.snapshot();
        cached.len() == self.store.count(&pods())
            && cached.iter().all(|one| self.store.peek(&one.key).as_ref() == Some(one))
    }

    async fn wait_until_it_agrees(&self, cache: &Cache) {
        let agree = async {
            while !self.agrees(cache) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(WAIT, agree).await.expect("the cache converges");
    }
}

async fn told(changes: &mut Changes) -> String {
    match tokio::time::timeout(WAIT, changes.next()).await.expect("something is told") {
        Some(CacheEvent::Changed(change)) => {
            let what = match (&change.before, &change.after) {
                (None, _) => "new",
                (_, None) => "gone",
                _ => "changed",
            };
            format!("{what} {}", change.key().name)
        }
        Some(CacheEvent::Lagged) => "lagged".to_owned(),
        None => "end".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn equal_interests_share_a_cache_and_reads_start_nothing() {
    let world = world().await;
    world.create("a", json!({})).await;
    let cache = world.env.caches.cache(Interest::all(pods()));
    tokio::time::sleep(WAIT).await;
    assert!(!cache.is_synced() && cache.snapshot().is_empty(), "nobody started it");
    let same = world.env.caches.cache(Interest::all(pods())).start();
    assert!(Arc::ptr_eq(&cache, &same));
    assert!(!Arc::ptr_eq(&cache, &world.env.caches.cache(Interest::within(Scope::within(pods(), "d")))));
    assert!(!Arc::ptr_eq(&cache, &world.env.caches.cache(Interest::all(pods()).heads())));
    cache.synced().await;
    assert!(world.agrees(&cache));
    drop((cache, same));
    assert!(world.env.caches.status().is_empty(), "a cache lives while somebody holds it");
}

#[tokio::test(start_paused = true)]
async fn writes_are_observed_and_found_by_every_index() {
    let world = world().await;
    let pods = world.env.caches.typed::<Pod>();
    let cache = pods.cache().clone();
    cache.synced().await;
    let owner = json!([{"apiVersion": "v1", "kind": "X", "name": "o", "uid": "u1", "controller": true}]);
    world.create("a", json!({"ownerReferences": owner, "labels": {"app": "1"}})).await;
    cache.add_index("app", Arc::new(|stored| stored.head.labels.get("app").map(str::to_owned).into_iter().collect()));
    let last = world.create("b", json!({"labels": {"app": "1"}})).await;
    cache.observed(last.revision, WAIT).await.unwrap();
    assert_eq!(pods.get(&key("a")).unwrap().metadata.name.as_deref(), Some("a"));
    assert!(Arc::ptr_eq(&pods.get(&key("a")).unwrap(), &pods.get(&key("a")).unwrap()), "views are kept");
    let snapshot = cache.snapshot();
    let count = |app: &str| cache.snapshot().by_index("app", app).count();
    assert_eq!((pods.by_owner("u1").len(), pods.in_namespace("d").len(), pods.in_namespace("e").len()), (1, 2, 0));
    assert_eq!((count("1"), count("2"), pods.by_index("none", "1").len()), (2, 0, 0));
    let last = world.label("a", 2).await;
    cache.observed(last, WAIT).await.unwrap();
    assert_eq!((count("1"), count("2"), snapshot.by_index("app", "1").count()), (1, 1, 2), "snapshots do not change");
    world.delete("a").await;
    world.wait_until_it_agrees(&cache).await;
    assert_eq!((count("2"), pods.by_owner("u1").len(), pods.list().len()), (0, 0, 1));
    let stale = cache.observed(Revision(9_999), Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(stale.asked, Revision(9_999));
}

#[tokio::test(start_paused = true)]
async fn subscribers_get_a_picture_and_everything_after_it() {
    let world = world().await;
    world.create("a", json!({})).await;
    let cache = world.env.caches.cache(Interest::all(pods())).start();
    cache.synced().await;
    let (snapshot, mut changes) = cache.subscribe();
    assert_eq!(snapshot.len(), 1);
    world.create("b", json!({})).await;
    world.label("a", 1).await;
    world.delete("b").await;
    for expected in ["new b", "changed a", "gone b"] {
        assert_eq!(told(&mut changes).await, expected);
    }
    for n in 0..4000 {
        world.label("a", n).await;
    }
    world.wait_until_it_agrees(&cache).await;
    assert_eq!(told(&mut changes).await, "lagged");
    assert_eq!(told(&mut changes).await, "changed a", "it goes on after the gap");
}

#[tokio::test(start_paused = true)]
async fn a_cache_converges_after_its_watch_expired() {
    let world = world().await;
    for name in ["a", "b", "c"] {
        world.create(name, json!({})).await;
    }
    let cache = world.env.caches.cache(Interest::all(pods())).start();
    cache.synced().await;
    let (_, mut changes) = cache.subscribe();
    world.backend.forget_history();
    world.delete("a").await;
    world.label("b", 1).await;
    world.create("e", json!({})).await;
    world.wait_until_it_agrees(&cache).await;
    let mut all = [told(&mut changes).await, told(&mut changes).await, told(&mut changes).await];
    all.sort();
    assert_eq!(all, ["changed b", "gone a", "new e"], "what vanished meanwhile is told as gone");
    assert!(cache.status().fills >= 2, "{:?}", cache.status());
    world.backend.cut_feeds();
    world.create("f", json!({})).await;
    world.wait_until_it_agrees(&cache).await;
}

#[tokio::test(start_paused = true)]
async fn selections_follow_labels() {
    let world = world().await;
    world.create("a", json!({"labels": {"app": "1"}})).await;
    let select = Selection { labels: "app=1".parse().unwrap(), ..Selection::default() };
    let cache = world.env.caches.cache(Interest::all(pods()).selecting(select)).start();
    cache.synced().await;
    let (snapshot, mut changes) = cache.subscribe();
    assert_eq!(snapshot.len(), 1);
    world.label("a", 2).await;
    assert_eq!(told(&mut changes).await, "gone a");
    world.label("a", 1).await;
    assert_eq!(told(&mut changes).await, "new a");
}
