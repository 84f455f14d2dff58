//! What an embedder implements: a log of raw records with a scan and a feed.
//!
//! Everything that Kubernetes clients see (snapshots, history, paging, fan-out) is written once above, in
//! [`Store`](crate::Store). A backend only has to order changes, keep the latest value of each key, and replay changes.

mod memory;
mod ring;

#[cfg(feature = "durable")]
mod durable;
#[cfg(feature = "encryption")]
mod encrypted;
#[cfg(feature = "etcd")]
mod etcd;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use orc_core::Revision;

#[cfg(all(feature = "durable", feature = "fuzzing"))]
pub(crate) use durable::fuzzing as durable_fuzzing;
#[cfg(feature = "durable")]
pub use durable::{DurableBackend, DurableConfig, OpenStage, Progress, ProgressHook, backup, disk};
#[cfg(feature = "encryption")]
pub use encrypted::{EncryptedBackend, EncryptionConfig, EncryptionConfigError, RELOAD_EVERY};
#[cfg(feature = "etcd")]
pub use etcd::{EtcdBackend, EtcdConfig, Pem};
pub use memory::MemoryBackend;

/// A raw key: `/<resource>/<namespace or empty>/<name>`, so that the objects of a resource and of a namespace are ranges.
pub type RawKey = Bytes;

/// What a change expects of the key's present state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// There is no value.
    Absent,
    /// The value was written at exactly this revision.
    At(Revision),
}

/// How long an acknowledgement may stay volatile.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// Acknowledge once the change survives a crash.
    #[default]
    Durable,
    /// Acknowledge at once; the change rides the next durable one in the same log, so order is kept.
    Relaxed,
}

/// One change to one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawChange {
    /// The key.
    pub key: RawKey,
    /// The new value, `None` to delete.
    pub value: Option<Bytes>,
    /// What must hold for the change to happen.
    pub expect: Expect,
    /// When to acknowledge.
    pub durability: Durability,
    /// The backend may remove the key by itself after so long, counted from this change; a later change of the key sets it
    /// anew. Backends that cannot ignore it, and say so by [`Backend::expires`].
    pub ttl: Option<Duration>,
}

/// One record: a key's value at the revision that wrote it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawRecord {
    /// The key.
    pub key: RawKey,
    /// The value.
    pub value: Bytes,
    /// The revision that wrote it.
    pub revision: Revision,
}

/// A half-open range of keys; `end` of `None` is the end of the key space.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyRange {
    /// The first key inside.
    pub start: RawKey,
    /// The first key outside.
    pub end: Option<RawKey>,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> Self {
        Self { start: Bytes::new(), end: None }
    }
}

/// How much of a scan to return at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page {
    /// The most records to return.
    pub limit: usize,
}

/// A part of a scan: records in key order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RawPage {
    /// The records.
    pub records: Vec<RawRecord>,
    /// The revision that the whole scan shows.
    pub at: Revision,
    /// Where the next page starts, `None` at the end.
    pub next: Option<RawKey>,
}

/// An item of a feed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RawEvent {
    /// A key got a value.
    Put(RawRecord),
    /// A key lost its value at this revision.
    Delete {
        /// The key.
        key: RawKey,
        /// The revision of the deletion.
        revision: Revision,
    },
    /// Nothing at or below this revision is still to come.
    Progress(Revision),
}

/// The changes after a revision, in order. An item of `Err` ends the feed; the consumer feeds again from where it was.
pub type RawFeed = BoxStream<'static, Result<RawEvent, BackendError>>;

/// What a backend holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// The latest revision, committed and visible.
    pub current: Revision,
    /// Feeds after revisions below this one answer [`BackendError::Compacted`].
    pub compacted: Revision,
}

/// A log of raw records.
///
/// # Contract
/// - Revisions grow strictly; one change has one revision of its own, for ever, across restarts.
/// - `commit` returns once the change is visible to scans and feeds and, unless it is relaxed, survives a crash. Nothing is
///   visible before it is durable, relaxed changes excepted.
/// - Dropping the future of `commit`: the change happens whole or not at all, may still happen, and holds nothing.
/// - A feed gives every change after its start exactly once, in revision order.
/// - Only deletions that a backend makes by itself, of keys whose `ttl` has passed, may share one revision. A feed has all of
///   them ready at once (it neither waits nor fails between them), so that the consumer can apply them as one change.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Makes one change and returns its revision.
    ///
    /// # Errors
    /// [`BackendError::Unmet`] when `expect` does not hold (nothing is changed); others as they say.
    async fn commit(&self, change: RawChange) -> Result<Revision, BackendError>;

    /// Reads a range in key order, of the current state (`at: None`) or of an earlier revision where the backend keeps one.
    ///
    /// # Errors
    /// [`BackendError::Compacted`] when the revision is not kept.
    async fn scan(&self, range: KeyRange, at: Option<Revision>, page: Page) -> Result<RawPage, BackendError>;

    /// Follows the changes after a revision.
    ///
    /// # Errors
    /// [`BackendError::Compacted`] when they are no longer all there.
    async fn feed(&self, after: Revision) -> Result<RawFeed, BackendError>;

    /// The current revision and the compacted floor.
    async fn bounds(&self) -> Result<Bounds, BackendError>;

    /// Whether the backend removes keys by itself once their [`RawChange::ttl`] has passed. If not, somebody else has to.
    fn expires(&self) -> bool {
        false
    }
}

/// Why a backend refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackendError {
    /// The key's state is not what the change expected; nothing was changed.
    #[error("the key is not in the expected state (now {now:?})")]
    Unmet {
        /// The revision of the key's present value, `None` when it has none.
        now: Option<Revision>,
    },
    /// The revision is below the floor.
    #[error("revision {asked} is compacted; the oldest kept is {floor}")]
    Compacted {
        /// The revision asked for.
        asked: Revision,
        /// The floor.
        floor: Revision,
    },
    /// The backend is out of reach or shut down; the same call may succeed later.
    #[error("the store's backend is unavailable: {0}")]
    Unavailable(String),
    /// Writes are refused because the medium failed or is full; reads go on.
    #[error("the store refuses writes: {0}")]
    ReadOnly(String),
    /// The value is larger than the backend takes; nothing was changed.
    #[error("the object is too large for the store's backend: {0}")]
    TooLarge(String),
    /// The backend does not let this user do that; nothing was changed.
    #[error("the store's backend denies the request: {0}")]
    Denied(String),
    /// The data does not read back as it was written.
    #[error("the store's data is corrupt: {0}")]
    Corrupt(String),
    /// The data cannot be opened at all (in use, not writable, newer format).
    #[error("{0}")]
    Open(String),
}

impl fmt::Display for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}..{:?}", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn backends_are_object_safe() {
        fn takes(_: Option<&dyn super::Backend>) {}
        takes(None);
    }
}
