//! An embedded durable backend: one file, one writer, grouped syncs.
//!
//! An acknowledged durable change survives `kill -9` and power loss. Changes that wait at the same time share one sync.
//! Values are kept in memory as well (the store above shares them), so that reads go on when the disk fails. Revisions are
//! reserved in blocks in the file, and a start goes on above the reserved mark: no revision is ever used twice, not even one
//! of a relaxed change that a crash lost. Format and argument: `docs/design/store.md`.

mod config;
#[cfg(test)]
mod crash;
mod dry;
mod folder;
mod format;
mod load;
mod queue;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use orc_core::Revision;
use parking_lot::{Mutex, RwLock};
use redb::Database;

pub use self::config::DurableConfig;
use self::folder::Folder;
use self::load::Loaded;
use self::queue::Queue;
use self::writer::{Unsynced, Writer};
use super::memory::current_only;
use super::ring::{self, Ring};
use super::{Backend, BackendError, Bounds, KeyRange, Page, RawChange, RawEvent, RawFeed, RawKey, RawPage};

/// A backend in a data folder.
pub struct DurableBackend {
    view: Arc<View>,
    queue: Arc<Queue>,
    writer: Mutex<Option<JoinHandle<()>>>,
    folder: Mutex<Option<Folder>>,
}

/// What is visible.
struct View {
    records: RwLock<Records>,
    ring: Arc<Ring>,
    failure: OnceLock<String>,
}

struct Records {
    map: BTreeMap<RawKey, (Bytes, Revision)>,
    last: Revision,
}

impl DurableBackend {
    /// Opens a data folder, making it when it is missing, and reads all of it. Blocks; call it off the async threads when
    /// the data is large.
    ///
    /// # Errors
    /// [`BackendError::Open`] when the folder is in use, not writable or of a newer format; [`BackendError::Corrupt`] when
    /// something does not read as it was written. The messages say what to do; nothing is changed then.
    pub fn open(config: DurableConfig) -> Result<Self, BackendError> {
        let folder = Folder::take(&config.path)?;
        let file = folder.data_file()?;
        let loaded = load::read_dry(&config.path, &file)?;
        let database = load::guarded(&config.path, || {
            let mut builder = Database::builder();
            builder.set_cache_size(config.cache_bytes);
            builder.create(&file).map_err(|e| load::open_error(&config.path, e))
        })?;
        let opened = Self::over(database, loaded, &config)?;
        folder.mark_used()?;
        *opened.folder.lock() = Some(folder);
        Ok(opened)
    }

    fn over(database: Database, loaded: Loaded, config: &DurableConfig) -> Result<Self, BackendError> {
        // Revisions 0 and 1 mean "any" and "before everything" on the wire.
        let start = loaded.reserved.max(Revision(1));
        let sums =
            loaded.records.iter().map(|(key, (value, at))| (key.clone(), format::crc(key, *at, value))).collect();
        let records = RwLock::new(Records { map: loaded.records, last: start });
        let view = Arc::new(View { records, ring: Ring::new(start), failure: OnceLock::new() });
        let queue = Arc::new(Queue::new(config.queue));
        let mut writer = Writer {
            database,
            queue: queue.clone(),
            view: view.clone(),
            flush_every: config.flush_every,
            last: start,
            reserved: start,
            sum: loaded.sum,
            sums,
            unsynced: Unsynced::default(),
        };
        writer.begin().map_err(BackendError::Open)?;
        let end = Abandon(queue.clone());
        let thread = std::thread::Builder::new().name("orc-store".to_owned());
        let thread = thread.spawn(move || {
            let _end = end;
            writer.run();
        });
        let thread = thread.map_err(|e| BackendError::Open(format!("the store's writer did not start: {e}")))?;
        Ok(Self { view, queue, writer: Mutex::new(Some(thread)), folder: Mutex::new(None) })
    }

    /// Writes everything to the disk, refuses further changes and gives the folder back. Blocks until it is done. Reads go
    /// on. Dropping does the same.
    pub fn close(&self) {
        self.queue.close();
        if let Some(writer) = self.writer.lock().take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
        // After the writer, which had the file.
        drop(self.folder.lock().take());
    }

    /// Why writes are refused since the disk failed; `None` while all is well.
    pub fn failure(&self) -> Option<&str> {
        self.view.failure.get().map(String::as_str)
    }
}

impl Drop for DurableBackend {
    fn drop(&mut self) {
        self.close();
    }
}

/// Refuses all waiting changes when the writer ends, however it ends.
struct Abandon(Arc<Queue>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl View {
    fn revision(&self, key: &RawKey) -> Option<Revision> {
        self.records.read().map.get(key).map(|(_, revision)| *revision)
    }

    fn publish(&self, events: Vec<RawEvent>) {
        let mut records = self.records.write();
        for event in &events {
            records.last = ring::revision(event);
            match event {
                RawEvent::Put(record) => {
                    records.map.insert(record.key.clone(), (record.value.clone(), record.revision));
                }
                RawEvent::Delete { key, .. } => drop(records.map.remove(key)),
                RawEvent::Progress(_) => {}
            }
        }
        // Under the lock, so that a scan and a feed that starts at its revision fit.
        self.ring.publish(events);
    }
}

#[async_trait]
impl Backend for DurableBackend {
    async fn commit(&self, change: RawChange) -> Result<Revision, BackendError> {
        self.queue.submit(change).await
    }

    async fn scan(&self, range: KeyRange, at: Option<Revision>, page: Page) -> Result<RawPage, BackendError> {
        let records = self.view.records.read();
        current_only(at, records.last)?;
        Ok(super::memory::scan(&records.map, records.last, range, page))
    }

    async fn feed(&self, after: Revision) -> Result<RawFeed, BackendError> {
        self.view.ring.feed(after)
    }

    async fn bounds(&self) -> Result<Bounds, BackendError> {
        Ok(Bounds { current: self.view.ring.last(), compacted: self.view.ring.floor() })
    }
}
