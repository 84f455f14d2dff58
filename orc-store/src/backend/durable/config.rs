//! What the durable backend is told at its start.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Is told how far opening has come. Called on the thread that opens.
pub type ProgressHook = Arc<dyn Fn(Progress) + Send + Sync>;

/// How far opening has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// What is being done.
    pub stage: OpenStage,
    /// Records (of the base) or changes (of the log) read so far.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Size of the files to read, in bytes; their content may be less.
    pub total_bytes: u64,
}

/// The stages of opening.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenStage {
    /// Every record of the base is read and checked.
    Base,
    /// The changes of the log are read and checked.
    Log,
}

/// Where the data lives, and how much may wait.
#[derive(Clone)]
pub struct DurableConfig {
    /// The data folder; made when it is missing. One process at a time.
    pub path: PathBuf,
    /// How long a relaxed change may wait for a sync when no durable change takes it along.
    pub flush_every: Duration,
    /// Changes that may wait for the writer; further commits wait for room.
    pub queue: usize,
    /// Memory for pages of the base. Values are kept in memory anyway; this is for the tree around them.
    pub cache_bytes: usize,
    /// Size of a segment of the log. A group of changes that is larger gets a segment of its own.
    pub segment_bytes: u64,
    /// Bytes of changes in the log after which they are folded into the base.
    pub fold_bytes: u64,
    /// Changes in the log after which they are folded into the base.
    pub fold_changes: u64,
    /// Bytes of changes that the log may hold beside the base. At this, commits wait for the fold; so it bounds the time of
    /// recovery, and the memory for values that are no longer current.
    pub log_bytes: u64,
    /// Told while the folder is read, every [`PROGRESS_EVERY`](Self::PROGRESS_EVERY) records.
    pub progress: Option<ProgressHook>,
}

impl DurableConfig {
    /// Records between two calls of the progress hook: some ten calls a second.
    pub const PROGRESS_EVERY: u64 = 50_000;

    /// The defaults for a data folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            // A node's lease is renewed every ten seconds and counts for forty.
            flush_every: Duration::from_millis(100),
            // As many as one sync should carry: at 1 ms a sync, 4,000,000 changes a second.
            queue: 4096,
            cache_bytes: 64 << 20,
            // A turn-over costs three syncs; at 16 MB that is one in a thousand of the smallest frames.
            segment_bytes: 16 << 20,
            // Folding more at once writes fewer pages: neighbours share them, and a key that changed often is written once.
            fold_bytes: 32 << 20,
            fold_changes: 100_000,
            // Read back in about a second.
            log_bytes: 128 << 20,
            progress: None,
        }
    }
}

impl fmt::Debug for DurableConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableConfig")
            .field("path", &self.path)
            .field("flush_every", &self.flush_every)
            .field("queue", &self.queue)
            .field("cache_bytes", &self.cache_bytes)
            .field("segment_bytes", &self.segment_bytes)
            .field("fold_bytes", &self.fold_bytes)
            .field("fold_changes", &self.fold_changes)
            .field("log_bytes", &self.log_bytes)
            .finish_non_exhaustive()
    }
}

/// Counts what is read and tells the hook now and then.
pub(super) struct Reading<'a> {
    hook: Option<&'a ProgressHook>,
    now: Progress,
}

impl<'a> Reading<'a> {
    pub(super) fn new(config: &'a DurableConfig, stage: OpenStage, total_bytes: u64) -> Self {
        let reading =
            Self { hook: config.progress.as_ref(), now: Progress { stage, records: 0, bytes: 0, total_bytes } };
        reading.tell();
        reading
    }

    pub(super) fn read(&mut self, bytes: usize) {
        self.now.records += 1;
        self.now.bytes += bytes as u64;
        if self.now.records.is_multiple_of(DurableConfig::PROGRESS_EVERY) {
            self.tell();
        }
    }

    pub(super) fn tell(&self) {
        if let Some(hook) = self.hook {
            hook(self.now);
        }
    }
}
