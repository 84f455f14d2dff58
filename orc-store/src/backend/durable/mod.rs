//! An embedded durable backend: a log that is synced, and a base that the log is folded into.
//!
//! An acknowledged durable change survives `kill -9` and power loss. Changes that wait at the same time share one sync.
//! Values are kept in memory as well (the store above shares them), so that reads go on when the disk fails. Revisions of
//! relaxed changes are reserved in the log, and a start goes on above the mark: no revision is ever used twice, not even one
//! of a relaxed change that a crash lost. Format and argument: `docs/design/store.md`.
//!
//! | module | holds |
//! |---|---|
//! | `disk` | the medium |
//! | `frame`, `log`, `replay` | the log: format, writing end, reading end |
//! | `format`, `load`, `base` | the base: format, reading it in full, folding into it |
//! | `queue`, `writer`, `fold` | the way of a change: waits, is synced, is folded |
//! | `start` | opening |
//! | `backup` | one file with everything, and the way back |

pub mod backup;
mod base;
mod config;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod damage;
pub mod disk;
mod dry;
mod fold;
mod folder;
mod format;
mod frame;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod load;
mod log;
mod medium;
mod queue;
mod replay;
mod start;
#[cfg(test)]
mod tests;
mod view;
mod words;
mod writer;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use orc_core::Revision;
use parking_lot::Mutex;

use self::backup::BackupInfo;
use self::base::Latest;
pub use self::config::{DurableConfig, OpenStage, Progress, ProgressHook};
use self::disk::{Disk, RealDisk};
use self::fold::{Fold, Tail};
use self::queue::Queue;
use self::start::Started;
use self::view::View;
use self::writer::{Unsynced, Writer};
use super::memory::current_only;
use super::{Backend, BackendError, Bounds, KeyRange, Page, RawChange, RawFeed, RawKey, RawPage};

/// A backend in a data folder.
pub struct DurableBackend {
    view: Arc<View>,
    queue: Arc<Queue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// A change that has its revision.
#[derive(Debug)]
struct Staged {
    key: RawKey,
    value: Option<Bytes>,
    revision: Revision,
}

impl Staged {
    /// The bytes of key and value.
    fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

impl DurableBackend {
    /// Opens a data folder, making it when it is missing, and reads all of it. Blocks; call it off the async threads when
    /// the data is large.
    ///
    /// # Errors
    /// [`BackendError::Open`] when the folder is in use, not writable, full or of a newer format; [`BackendError::Corrupt`]
    /// when something does not read as it was written. The messages say what to do; nothing is changed then.
    pub fn open(config: DurableConfig) -> Result<Self, BackendError> {
        let disk = RealDisk::take(&config.path)?;
        Self::open_on(Arc::new(disk), config)
    }

    /// Opens over any medium, which is this backend's alone until it is closed. `config.path` only names it in messages.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(disk: Arc<dyn Disk>, config: DurableConfig) -> Result<Self, BackendError> {
        let Started { records, base, log, shelf, mark } = start::start(&disk, &config)?;
        let view = Arc::new(View::new(records, mark.revision));
        let (queue, tail) = (Arc::new(Queue::new(config.queue)), Tail::new(&config));
        let fold = Fold { base, tail: tail.clone(), shelf, view: view.clone(), latest: Latest::new(), shown: mark };
        let mut writer = Writer {
            log,
            queue: queue.clone(),
            view: view.clone(),
            tail: tail.clone(),
            flush_every: config.flush_every,
            last: mark.revision,
            reserved: mark.revision,
            relaxing: false,
            unsynced: Unsynced::default(),
        };
        let end = Abandon { queue: queue.clone(), tail };
        let folding = spawn("orc-store-fold", move || fold.run())?;
        // When this thread does not start, its closure is dropped, and with it `end`, which ends the fold.
        let writing = spawn("orc-store", move || {
            let _end = end;
            writer.run();
        })?;
        Ok(Self { view, queue, threads: Mutex::new(vec![writing, folding]) })
    }

    /// Writes everything to the disk, refuses further changes and gives the folder back. Blocks until it is done. Reads go
    /// on. Dropping does the same.
    pub fn close(&self) {
        self.queue.close();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }

    /// Why writes are refused; `None` while all is well. A full disk may pass by itself, a failed one only by a restart.
    pub fn failure(&self) -> Option<String> {
        self.view.failure().map(|failure| failure.why)
    }

    /// Writes a backup of everything as it is at one revision, while changes go on. Works after the disk failed as well:
    /// it is taken from memory. Blocks until `out` has all of it.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] when `out` does not take it.
    pub fn backup(&self, out: &mut dyn io::Write) -> Result<BackupInfo, BackendError> {
        let records = self.view.records();
        backup::write_records(out, records.last, records.map.iter().map(|(key, (value, at))| (key, value, *at)))
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, BackendError> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map_err(|e| BackendError::Open(format!("the store's thread {name} did not start: {e}")))
}

impl Drop for DurableBackend {
    fn drop(&mut self) {
        self.close();
    }
}

/// Refuses all waiting changes when the writer ends, however it ends, and ends the fold.
struct Abandon {
    queue: Arc<Queue>,
    tail: Arc<Tail>,
}

impl Drop for Abandon {
    fn drop(&mut self) {
        self.queue.abandon();
        // No effect behind a clean end.
        self.tail.end(None);
    }
}

#[async_trait]
impl Backend for DurableBackend {
    async fn commit(&self, change: RawChange) -> Result<Revision, BackendError> {
        self.queue.submit(change).await
    }

    async fn scan(&self, range: KeyRange, at: Option<Revision>, page: Page) -> Result<RawPage, BackendError> {
        let records = self.view.records();
        current_only(at, records.last)?;
        Ok(records.page(range, page))
    }

    async fn feed(&self, after: Revision) -> Result<RawFeed, BackendError> {
        self.view.ring.feed(after)
    }

    async fn bounds(&self) -> Result<Bounds, BackendError> {
        Ok(Bounds { current: self.view.ring.last(), compacted: self.view.ring.floor() })
    }
}
