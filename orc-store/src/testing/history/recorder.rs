//! Records what callers ask of a backend and are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use orc_core::Revision;
use parking_lot::Mutex;

use super::{Answer, Call, History, Operation};
use crate::backend::{Backend, BackendError, Bounds, KeyRange, Page, RawChange, RawFeed, RawPage};

/// Calls a backend and keeps a history. Clones share it.
#[derive(Clone)]
pub struct Recorder {
    backend: Arc<dyn Backend>,
    time: Arc<AtomicU64>,
    operations: Arc<Mutex<Vec<Operation>>>,
}

/// A call that has begun. Dropped before the answer, it stays in the history as one without.
struct Begun<'a> {
    recorder: &'a Recorder,
    operation: Option<Operation>,
}

impl Recorder {
    /// No calls yet.
    pub fn over(backend: Arc<dyn Backend>) -> Self {
        Self { backend, time: Arc::default(), operations: Arc::default() }
    }

    /// The history so far.
    pub fn history(&self) -> History {
        History { operations: self.operations.lock().clone() }
    }

    /// Makes a change.
    ///
    /// # Errors
    /// The backend's.
    pub async fn commit(&self, client: usize, change: RawChange) -> Result<Revision, BackendError> {
        let begun = self.begin(client, Call::Commit(change.clone()));
        let told = self.backend.commit(change).await;
        begun.end(match &told {
            Ok(revision) => Answer::Committed(*revision),
            Err(BackendError::Unmet { now }) => Answer::Unmet(*now),
            Err(error) => Answer::Unknown(error.to_string()),
        });
        told
    }

    /// Reads a page of the present state.
    ///
    /// # Errors
    /// The backend's.
    pub async fn scan(&self, client: usize, range: KeyRange, page: Page) -> Result<RawPage, BackendError> {
        let begun = self.begin(client, Call::Scan(range.clone(), page));
        let told = self.backend.scan(range, None, page).await;
        begun.end(match &told {
            Ok(page) => Answer::Page(page.clone()),
            Err(error) => Answer::Unknown(error.to_string()),
        });
        told
    }

    /// Reads the bounds.
    ///
    /// # Errors
    /// The backend's.
    pub async fn bounds(&self, client: usize) -> Result<Bounds, BackendError> {
        let begun = self.begin(client, Call::Bounds);
        let told = self.backend.bounds().await;
        begun.end(match &told {
            Ok(bounds) => Answer::Bounds(*bounds),
            Err(error) => Answer::Unknown(error.to_string()),
        });
        told
    }

    fn begin(&self, client: usize, call: Call) -> Begun<'_> {
        let answer = Answer::Unknown("given up".to_owned());
        let operation = Operation { client, called: self.tick(), returned: u64::MAX, call, answer };
        Begun { recorder: self, operation: Some(operation) }
    }

    fn tick(&self) -> u64 {
        self.time.fetch_add(1, Ordering::SeqCst)
    }
}

impl Begun<'_> {
    fn end(mut self, answer: Answer) {
        let returned = self.recorder.tick();
        if let Some(operation) = &mut self.operation {
            (operation.answer, operation.returned) = (answer, returned);
        }
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.recorder.operations.lock().extend(self.operation.take());
    }
}

/// A recorder is a backend whose callers are all taken for one. Feeds, and scans of earlier revisions, are passed on and not
/// recorded.
#[async_trait]
impl Backend for Recorder {
    async fn commit(&self, change: RawChange) -> Result<Revision, BackendError> {
        Recorder::commit(self, 0, change).await
    }

    async fn scan(&self, range: KeyRange, at: Option<Revision>, page: Page) -> Result<RawPage, BackendError> {
        match at {
            Some(_) => self.backend.scan(range, at, page).await,
            None => Recorder::scan(self, 0, range, page).await,
        }
    }

    async fn feed(&self, after: Revision) -> Result<RawFeed, BackendError> {
        self.backend.feed(after).await
    }

    async fn bounds(&self) -> Result<Bounds, BackendError> {
        Recorder::bounds(self, 0).await
    }

    fn expires(&self) -> bool {
        self.backend.expires()
    }
}
