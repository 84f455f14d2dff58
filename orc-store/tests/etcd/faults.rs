//! etcd dies, halts, and forgets.

use async_trait::async_trait;
use orc_store::WatchEnd;
use orc_store::backend::{Bounds, KeyRange, Page, RawPage};
use tokio::sync::watch as flag;

use super::written::Written;
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_etcd_loses_and_doubles_nothing() {
    let mut server = server().await;
    let backend = backend(&server).await;
    let (store, other) = (open(backend.clone()).await, open(self::backend(&server).await).await);
    let (start, mut written) = (store.current(), Written::default());
    for round in 0..3 {
        for n in 0..60 {
            match n {
                30 => server.kill(),
                40 => server.restart().await.unwrap(),
                _ => {}
            }
            written.create(&*backend, &format!("r{round}n{n:02}")).await;
        }
    }
    assert!(written.failed() >= 20, "commits answer Unavailable while etcd is down");
    written.check(&[&store, &other], start).await;
}

#[tokio::test]
async fn an_etcd_that_halts_leaves_the_outcome_open() {
    let server = server().await;
    let config = EtcdConfig { request_timeout: Duration::from_secs(1), ..config(&server) };
    let backend = connect(config).await.unwrap();
    let store = open(backend.clone()).await;
    server.freeze().await.unwrap();
    let error = backend.commit(put("/x//a", "v", Expect::Absent)).await.unwrap_err();
    assert!(matches!(&error, BackendError::Unavailable(text) if text.contains("may or may not")), "{error}");
    assert!(matches!(backend.bounds().await, Err(BackendError::Unavailable(_))));
    server.thaw().unwrap();
    until("etcd answers again", || async { backend.bounds().await.is_ok() }).await;
    create(&store, "a").await;
    assert_eq!(names(&store).await, ["a"]);
}

/// Passes calls on; feeds only while it is open.
struct Gate(Arc<EtcdBackend>, flag::Sender<bool>);

#[async_trait]
impl Backend for Gate {
    async fn commit(&self, change: RawChange) -> Result<Revision, BackendError> {
        self.0.commit(change).await
    }

    async fn scan(&self, range: KeyRange, at: Option<Revision>, page: Page) -> Result<RawPage, BackendError> {
        self.0.scan(range, at, page).await
    }

    async fn feed(&self, after: Revision) -> Result<RawFeed, BackendError> {
        let mut open = self.1.subscribe();
        open.wait_for(|open| *open).await.unwrap();
        let feed = self.0.feed(after).await?;
        let shut = async move {
            open.wait_for(|open| !open).await.unwrap();
        };
        let end = futures::stream::iter([Err(BackendError::Unavailable("shut".to_owned()))]);
        Ok(Box::pin(feed.take_until(Box::pin(shut)).chain(end)))
    }

    async fn bounds(&self) -> Result<Bounds, BackendError> {
        self.0.bounds().await
    }
}

#[tokio::test]
async fn a_store_that_falls_behind_a_compaction_reads_everything_again() {
    let server = server().await;
    let gate = Arc::new(Gate(backend(&server).await, flag::Sender::new(true)));
    let (behind, ahead) = (open(gate.clone()).await, open(backend(&server).await).await);
    let old = create(&ahead, "old").await;
    assert_eq!(names(&behind).await, ["old"]);
    let mut stream = watch(&behind, old).await;
    gate.1.send_replace(false);
    ahead.commit(&key("old"), None, Expect::At(old), None).await.unwrap();
    let last = create(&ahead, "new").await;
    server.ctl(&["compact", &last.to_string()]).unwrap();
    gate.1.send_replace(true);
    assert_eq!(names(&behind).await, ["new"]);
    let end = stream.next().await.expect("the watch is told");
    assert!(matches!(end, Err(WatchEnd::Expired { .. })), "{end:?}");
    create(&ahead, "newer").await;
    assert_eq!(names(&behind).await, ["new", "newer"]);
}

#[tokio::test]
async fn an_etcd_that_went_back_is_not_believed() {
    let mut server = server().await;
    let backend = backend(&server).await;
    let last = backend.commit(put("/x//a", "v", Expect::Absent)).await.unwrap();
    backend.bounds().await.unwrap();
    server.wipe().await.unwrap();
    let error = backend.bounds().await.unwrap_err();
    assert!(matches!(&error, BackendError::Corrupt(text) if text.contains("restored")), "{error:?}");
    let error = backend.feed(last).await.err().unwrap();
    assert!(matches!(&error, BackendError::Corrupt(_)), "{error:?}");
}
