//! Objects, selections and writers for the laws of a store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use orc_core::env::{Rng, System};
use orc_core::labels::{FieldSelector, Selector};
use orc_core::{Doc, ObjectKey, ResourceId, Revision};
use serde_json::json;

use crate::backend::{Backend, Expect};
use crate::client::{Freshness, Scope, Selection};
use crate::store::{FieldsOf, Store, StoreConfig};
use crate::testing::Violation;

/// The resource that is watched.
pub(crate) fn pods() -> ResourceId {
    ResourceId::new("", "pods")
}

/// A resource whose changes must not be seen by watchers of the other.
fn nodes() -> ResourceId {
    ResourceId::new("", "nodes")
}

/// The selectable fields.
pub(crate) fn fields() -> FieldsOf {
    Arc::new(|_| Arc::from(["spec.nodeName".to_owned()]))
}

pub(super) fn system(seed: u64) -> System {
    System::seeded(seed, jiff::Timestamp::from_second(1_767_225_600).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}

/// A store over a backend.
pub(super) async fn store(
    backend: Arc<dyn Backend>,
    system: &System,
    config: StoreConfig,
) -> Result<Arc<Store>, Violation> {
    let opened = Store::open_with(backend, fields(), system.clone(), config).await;
    opened.map_err(|error| Violation::new("a store opens over the backend", error.to_string()))
}

/// A config whose watches send bookmarks often.
pub(super) fn busy() -> StoreConfig {
    StoreConfig { bookmark_every: Duration::from_millis(5), ..StoreConfig::default() }
}

pub(super) fn key(rng: &Rng) -> ObjectKey {
    let name = format!("p{}", rng.below(9));
    if rng.below(10) == 0 {
        return ObjectKey::cluster(nodes(), name);
    }
    // `a-b` sorts before `a` as a raw key does.
    let namespace = ["a", "a-b", "b"][rng.below(3) as usize];
    ObjectKey::namespaced(pods(), namespace, name)
}

pub(super) fn body(rng: &Rng, key: &ObjectKey) -> Bytes {
    let labels = json!({"app": format!("a{}", rng.below(3))});
    let mut metadata = json!({"name": key.name.as_str(), "labels": labels});
    if let Some(namespace) = &key.namespace {
        metadata["namespace"] = json!(namespace.as_str());
    }
    let node = ["", "node1", "node2"][rng.below(3) as usize];
    // The number makes every value another one.
    let spec = json!({"nodeName": node, "number": rng.next()});
    let object = json!({"apiVersion": "v1", "kind": "Thing", "metadata": metadata, "spec": spec});
    Bytes::from(object.to_string())
}

/// Scopes and selections of every kind: all, by namespace, by label, by field, by name, and nothing.
pub(crate) fn selections() -> Vec<(Scope, Selection)> {
    let by_labels = |text: &str| Selection { labels: selector(text), ..Selection::default() };
    let by_field =
        |path: &str, value: &str| Selection { fields: FieldSelector::equal(path, value), ..Selection::default() };
    let both = Selection { labels: selector("app!=a1"), ..by_field("spec.nodeName", "node2") };
    vec![
        (Scope::all(pods()), Selection::default()),
        (Scope::within(pods(), "a"), Selection::default()),
        (Scope::all(pods()), by_labels("app=a1")),
        (Scope::within(pods(), "b"), by_labels("app in (a0,a2)")),
        (Scope::all(pods()), by_field("spec.nodeName", "node1")),
        (Scope::all(pods()), by_field("spec.nodeName", "")),
        (Scope::within(pods(), "a-b"), both),
        (Scope::all(pods()), by_field("metadata.name", "p1")),
        (Scope::within(pods(), "b"), by_field("metadata.name", "p2")),
        (Scope::all(nodes()), Selection::default()),
        (Scope::all(pods()), Selection { labels: Selector::nothing(), ..Selection::default() }),
    ]
}

fn selector(text: &str) -> Selector {
    Selector::parse(text).unwrap_or_else(|error| unreachable!("{text}: {error}"))
}

/// Makes random changes until there were so many, and gives the last revision that was acknowledged.
pub(super) async fn write(store: Arc<Store>, rng: Rng, changes: usize) -> Revision {
    let mut last = Revision::ZERO;
    for _ in 0..changes {
        let key = key(&rng);
        let fresh = if rng.below(2) == 0 { Freshness::Latest } else { Freshness::Any };
        let now = store.get(&key, fresh).await.ok().flatten();
        let expect = now.as_ref().map_or(Expect::Absent, |now| Expect::At(now.revision));
        let deletes = now.is_some() && rng.below(4) == 0;
        let body = (!deletes).then(|| body(&rng, &key));
        // Whoever loses a race, or is not told, goes on.
        if let Ok(committed) = store.commit(&key, body, expect, None).await {
            last = last.max(committed.revision);
        }
        if rng.below(4) == 0 {
            tokio::task::yield_now().await;
        }
    }
    last
}

/// A document for a client.
pub(super) fn doc(rng: &Rng, key: &ObjectKey) -> Doc {
    Doc::from_body(&body(rng, key)).unwrap_or_else(|error| unreachable!("a body reads: {error}"))
}
