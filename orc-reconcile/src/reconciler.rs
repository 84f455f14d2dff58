//! The one function of a loop: from a key to an outcome.
//!
//! A reconciler gets a key and never an event, so that a signal, a watch and a timer run the same body. It must be
//! idempotent: it runs again after a crash, a stale read, a lost or a repeated event.

use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use orc_core::{ApiError, ObjectKey};
use tower::util::BoxCloneSyncService;

/// What a loop works on; [`ObjectKey`] in most.
pub trait Key: Clone + Eq + Ord + Hash + Debug + Display + Send + Sync + 'static {}
impl<K: Clone + Eq + Ord + Hash + Debug + Display + Send + Sync + 'static> Key for K {}

/// When to look at a key again, short of something happening to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Nothing is left to do.
    Done,
    /// Again after a while.
    After(Duration),
}

/// Brings what a key names from the state it has to the state it should have.
#[async_trait]
pub trait Reconciler<K: Key = ObjectKey>: Send + Sync + 'static {
    /// Why a pass failed.
    type Error: Classify;

    /// Makes one pass. May be dropped at any await point (shutdown) and is then run again later.
    ///
    /// # Errors
    /// A retriable error runs the key again with backoff; a terminal one waits for the next event.
    async fn reconcile(&self, key: K) -> Result<Next, Self::Error>;
}

/// Tells failures that may pass from those that need a change first.
pub trait Classify: Display + Send + 'static {
    /// Whether trying again without a change is useless.
    fn is_terminal(&self) -> bool;
}

impl Classify for ApiError {
    fn is_terminal(&self) -> bool {
        // Everything else may pass: a namespace appears, a quota is raised, a webhook comes back.
        matches!(self.code(), 405 | 415 | 422)
    }
}

/// A failed pass, classed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// Try again with backoff.
    #[error("{0}")]
    Retry(String),
    /// Wait for a change.
    #[error("{0}")]
    Terminal(String),
    /// The pass panicked; tried again with backoff.
    #[error("panic: {0}")]
    Panic(String),
}

impl Failure {
    /// Classes an error.
    pub fn of(error: &impl Classify) -> Self {
        let text = error.to_string();
        if error.is_terminal() { Self::Terminal(text) } else { Self::Retry(text) }
    }
}

/// A reconcile as a `tower::Service`, so that timeout, rate limit and metrics are layers.
pub type ReconcileService<K> = BoxCloneSyncService<K, Next, Failure>;

/// Makes the service of a reconciler; wrap it in layers before giving it to a controller.
pub fn service<K: Key, R: Reconciler<K>>(reconciler: R) -> ReconcileService<K> {
    let reconciler = Arc::new(reconciler);
    BoxCloneSyncService::new(tower::service_fn(move |key: K| {
        let reconciler = reconciler.clone();
        async move { reconciler.reconcile(key).await.map_err(|e| Failure::of(&e)) }
    }))
}
