//! What a cache tells its subscribers.

use std::sync::Arc;

use orc_core::ObjectKey;
use tokio::sync::broadcast;

use crate::stored::Stored;

/// Changes kept for a subscriber that is behind; beyond that it is told to read everything again. A controller maps a change
/// to keys in microseconds, so being behind by so many means it was stopped, or that the cache was filled anew.
pub(super) const KEPT: usize = 2048;

/// One change of a cache.
#[derive(Clone, Debug)]
pub struct CacheChange {
    /// The state before, `None` when the object is new.
    pub before: Option<Arc<Stored>>,
    /// The state now, `None` when the object is gone.
    pub after: Option<Arc<Stored>>,
}

impl CacheChange {
    /// The object that changed.
    pub fn key(&self) -> &ObjectKey {
        &self.latest().key
    }

    /// The state now, or the last one when the object is gone.
    pub fn latest(&self) -> &Arc<Stored> {
        self.after.as_ref().or(self.before.as_ref()).expect("a change has a state before or after it")
    }
}

/// What a subscriber receives.
#[derive(Clone, Debug)]
pub enum CacheEvent {
    /// One object changed.
    Changed(CacheChange),
    /// Changes were dropped: look at every object again (and at those you remember, for they may be gone).
    Lagged,
}

/// The changes of a cache after the snapshot that came with it. Bounded: see [`CacheEvent::Lagged`].
pub struct Changes(pub(super) broadcast::Receiver<CacheChange>);

impl Changes {
    /// The next change; `None` once the cache is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<CacheEvent> {
        match self.0.recv().await {
            Ok(change) => Some(CacheEvent::Changed(change)),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(CacheEvent::Lagged),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
