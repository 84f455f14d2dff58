//! The conformance kit over etcd: every group, each backend below a prefix of its own in one etcd.

use std::sync::atomic::{AtomicUsize, Ordering};

use orc_store::backend::{KeyRange, Page};
use orc_store::testing::Conformance;
use orc_store::testing::conformance::Group;

use super::*;

async fn hold(group: Group, seed: u64) {
    let server = Arc::new(server().await);
    let (made, compacted) = (Arc::new(AtomicUsize::new(0)), server.clone());
    let base = config(&server);
    let make = move || {
        let prefix = format!("/conformance{}", made.fetch_add(1, Ordering::SeqCst));
        let config = EtcdConfig { prefix, ..base.clone() };
        async move { connect(config).await.unwrap() as Arc<dyn Backend> }
    };
    let compact = move |backend: Arc<dyn Backend>| {
        let server = compacted.clone();
        async move {
            let now = backend.bounds().await.unwrap().current;
            server.ctl(&["compact", &now.to_string()]).unwrap();
            // Compaction by others is learnt when it is met.
            let old = backend.scan(KeyRange::all(), Some(Revision(1)), Page { limit: 1 }).await;
            assert!(matches!(old, Err(BackendError::Compacted { .. })), "{old:?}");
        }
    };
    let kit = Conformance::of(make).compacting(compact).seed(seed);
    if let Err(broken) = kit.check(group).await {
        panic!("{broken}");
    }
}

#[tokio::test]
async fn crud() {
    hold(Group::Crud, 1).await;
}

#[tokio::test]
async fn keys() {
    hold(Group::Keys, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn linear() {
    hold(Group::Linear, 3).await;
    hold(Group::Linear, 4).await;
}

#[tokio::test]
async fn watches() {
    hold(Group::Watches, 5).await;
}

#[tokio::test]
async fn pages() {
    hold(Group::Pages, 6).await;
}

#[tokio::test]
async fn compaction() {
    hold(Group::Compaction, 7).await;
}

#[tokio::test]
async fn trouble() {
    hold(Group::Trouble, 8).await;
}
