//! A backend that fails when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::StreamExt;
use futures::future::{self, Either};
use orc_core::Revision;
use tokio::sync::watch;

use crate::backend::{Backend, BackendError, Bounds, KeyRange, Page, RawChange, RawFeed, RawPage};

/// Passes everything on to another backend, apart from the faults that are switched on.
pub struct FaultyBackend {
    inner: Arc<dyn Backend>,
    refuse: AtomicBool,
    forget: AtomicBool,
    cut: watch::Sender<u64>,
}

impl FaultyBackend {
    /// No faults yet.
    pub fn over(inner: Arc<dyn Backend>) -> Arc<Self> {
        let (refuse, forget) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { inner, refuse, forget, cut: watch::Sender::new(0) })
    }

    /// Whether commits are refused, as by a full disk.
    pub fn refuse_commits(&self, refuse: bool) {
        self.refuse.store(refuse, Ordering::SeqCst);
    }

    /// Ends every open feed with `Unavailable`.
    pub fn cut_feeds(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Ends every open feed, and answers the next one that is asked for with `Compacted`.
    pub fn forget_history(&self) {
        self.forget.store(true, Ordering::SeqCst);
        self.cut_feeds();
    }
}

#[async_trait]
impl Backend for FaultyBackend {
    async fn commit(&self, change: RawChange) -> Result<Revision, BackendError> {
        if self.refuse.load(Ordering::SeqCst) {
            return Err(BackendError::ReadOnly("a fault was asked for".to_owned()));
        }
        self.inner.commit(change).await
    }

    async fn scan(&self, range: KeyRange, at: Option<Revision>, page: Page) -> Result<RawPage, BackendError> {
        self.inner.scan(range, at, page).await
    }

    async fn feed(&self, after: Revision) -> Result<RawFeed, BackendError> {
        if self.forget.swap(false, Ordering::SeqCst) {
            let floor = self.inner.bounds().await?.current;
            return Err(BackendError::Compacted { asked: after, floor });
        }
        let mut cut = self.cut.subscribe();
        let feed = self.inner.feed(after).await?;
        let cut = Box::pin(async move {
            // The sender ending is a cut as well.
            let _ = cut.changed().await;
        });
        Ok(Box::pin(futures::stream::unfold(Some((feed, cut)), |state| async move {
            let (mut feed, cut) = state?;
            match future::select(cut, feed.next()).await {
                Either::Left(_) => Some((Err(BackendError::Unavailable("a fault was asked for".to_owned())), None)),
                Either::Right((None, _)) => None,
                Either::Right((Some(item), cut)) => Some((item, Some((feed, cut)))),
            }
        })))
    }

    async fn bounds(&self) -> Result<Bounds, BackendError> {
        self.inner.bounds().await
    }
}
