//! A store over the durable backend across restarts.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use orc_core::env::System;
use orc_core::{ResourceId, Revision};
use orc_store::backend::{DurableBackend, DurableConfig};
use orc_store::client::{Continue, DeleteOptions, ListOptions, Scope, WatchOptions, WatchStart};
use orc_store::{Api, LocalClient, Store, WatchEnd, WatchEvent};

struct Run {
    backend: Arc<DurableBackend>,
    store: Arc<Store>,
    maps: Api<ConfigMap>,
}

async fn start(folder: &std::path::Path) -> Run {
    let system = System::real();
    let backend = Arc::new(DurableBackend::open(DurableConfig::new(folder)).unwrap());
    let store = Store::open(backend.clone(), Arc::new(|_| Arc::from([])), system.clone()).await.unwrap();
    let maps = Api::namespaced(Arc::new(LocalClient::new(store.clone(), &system)), "d");
    Run { backend, store, maps }
}

async fn create(run: &Run, name: &str) -> Arc<ConfigMap> {
    let mut map = ConfigMap::default();
    map.metadata.name = Some(name.to_owned());
    run.maps.create(&map).await.unwrap()
}

#[tokio::test]
async fn objects_and_places_in_the_log_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let scope = Scope::all(ResourceId::of::<ConfigMap>());
    let run = start(folder.path()).await;
    for name in ["a", "b", "c"] {
        create(&run, name).await;
    }
    run.maps.delete("b", DeleteOptions::default()).await.unwrap();
    let page = ListOptions { limit: Some(1), ..ListOptions::default() };
    let first = run.store.list(&scope, &page).await.unwrap();
    let (before, at) = (run.maps.get("c").await.unwrap(), run.store.current());
    run.backend.close();

    let run = start(folder.path()).await;
    assert_eq!(run.store.current(), at, "a clean stop skips no revision");
    let after = run.maps.get("c").await.unwrap();
    assert_eq!(after, before);
    assert!(run.maps.get_opt("b").await.unwrap().is_none());
    let rest = ListOptions { next: first.next.clone(), ..ListOptions::default() };
    assert_eq!(
        run.store.list(&scope, &rest).await.unwrap().items.len(),
        1,
        "a continue token of the last revision goes on"
    );
    let resume = |after| WatchOptions { start: WatchStart::After(after), ..WatchOptions::default() };
    let mut stream = run.store.watch(&scope, &resume(at)).await.unwrap();
    create(&run, "d").await;
    let event = stream.next().await.unwrap().unwrap();
    assert!(matches!(&event, WatchEvent::Added(now) if now.key.name == *"d"));
    let mut old = run.store.watch(&scope, &resume(Revision(at.0 - 1))).await.unwrap();
    assert!(matches!(old.next().await, Some(Err(WatchEnd::Expired { .. }))));
    let token = Continue { at: Revision(at.0 - 1), ..first.next.unwrap() };
    let error = run.store.list(&scope, &ListOptions { next: Some(token), ..ListOptions::default() }).await.unwrap_err();
    assert_eq!(error.code(), 410);
}
