//! The etcd backend over a real etcd process.

mod cluster;
mod conformance;
mod expiry;
mod faults;
mod laws;
mod refusals;
mod shared;
mod written;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use orc_core::env::System;
use orc_core::{Doc, ObjectKey, ResourceId, Revision};
use orc_store::backend::{
    Backend, BackendError, Durability, EtcdBackend, EtcdConfig, Expect, RawChange, RawEvent, RawFeed,
};
use orc_store::client::{Freshness, ListOptions, Scope, WatchOptions, WatchStart};
use orc_store::store::StoreConfig;
use orc_store::testing::EtcdServer;
use orc_store::{Store, WatchEvent, WatchStream};
use serde_json::json;

/// How long something may take on a busy machine before it counts as missing.
const PATIENCE: Duration = Duration::from_secs(60);

async fn server() -> EtcdServer {
    EtcdServer::start().await.unwrap()
}

/// Without compaction: the tests that want it ask for it.
fn config(server: &EtcdServer) -> EtcdConfig {
    EtcdConfig { compact_every: None, ..server.config() }
}

async fn connect(config: EtcdConfig) -> Result<Arc<EtcdBackend>, BackendError> {
    EtcdBackend::connect(config, &System::real()).await.map(Arc::new)
}

async fn backend(server: &EtcdServer) -> Arc<EtcdBackend> {
    connect(config(server)).await.unwrap()
}

async fn open(backend: Arc<dyn Backend>) -> Arc<Store> {
    open_with(backend, StoreConfig { future_wait: Duration::from_secs(30), ..StoreConfig::default() }).await
}

async fn open_with(backend: Arc<dyn Backend>, config: StoreConfig) -> Arc<Store> {
    Store::open_with(backend, Arc::new(|_| Arc::from([])), System::real(), config).await.unwrap()
}

fn maps() -> Scope {
    Scope::all(ResourceId::new("", "configmaps"))
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::namespaced(ResourceId::new("", "configmaps"), "d", name)
}

fn body(key: &ObjectKey, text: &str) -> Bytes {
    let metadata = json!({"name": key.name.as_str(), "namespace": key.namespace_str()});
    let doc = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"text": text}});
    Doc::from_value(doc).unwrap().to_body()
}

/// Creates an object.
async fn create(store: &Store, name: &str) -> Revision {
    let key = key(name);
    store.commit(&key, Some(body(&key, "new")), Expect::Absent, None).await.unwrap().revision
}

/// The names that a fresh list shows.
async fn names(store: &Store) -> Vec<String> {
    let list =
        store.list(&maps(), &ListOptions { freshness: Freshness::Latest, ..ListOptions::default() }).await.unwrap();
    list.items.iter().map(|one| one.key.name.to_string()).collect()
}

async fn watch(store: &Store, after: Revision) -> WatchStream {
    let options = WatchOptions { start: WatchStart::After(after), ..WatchOptions::default() };
    store.watch(&maps(), &options).await.unwrap()
}

/// The next event that is no bookmark.
async fn next(stream: &mut WatchStream) -> WatchEvent {
    loop {
        let item = tokio::time::timeout(PATIENCE, stream.next()).await.expect("an event comes");
        match item.expect("a watch goes on").expect("a watch does not fail") {
            WatchEvent::Bookmark { .. } => {}
            event => return event,
        }
    }
}

fn put(key: &str, value: impl Into<Bytes>, expect: Expect) -> RawChange {
    let key = Bytes::from(key.to_owned());
    RawChange { key, value: Some(value.into()), expect, durability: Durability::Durable, ttl: None }
}

/// The next change of a feed.
async fn change(feed: &mut RawFeed) -> Result<RawEvent, BackendError> {
    loop {
        let item = tokio::time::timeout(PATIENCE, feed.next()).await.expect("a change comes");
        match item.expect("a feed does not end without an error") {
            Ok(RawEvent::Progress(_)) => {}
            other => return other,
        }
    }
}

/// Waits until something holds.
async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}
