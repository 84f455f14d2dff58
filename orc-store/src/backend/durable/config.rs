//! What the durable backend is told at its start.

use std::path::PathBuf;
use std::time::Duration;

/// Where the data lives, and how much may wait.
#[derive(Clone, Debug)]
pub struct DurableConfig {
    /// The data folder; made when it is missing. One process at a time.
    pub path: PathBuf,
    /// How long a relaxed change may wait for a sync when no durable change takes it along.
    pub flush_every: Duration,
    /// Changes that may wait for the writer; further commits wait for room.
    pub queue: usize,
    /// Memory for pages of the file. Values are kept in memory anyway; this is for the tree around them.
    pub cache_bytes: usize,
}

impl DurableConfig {
    /// The defaults for a data folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            // A node's lease is renewed every ten seconds and counts for forty.
            flush_every: Duration::from_millis(100),
            // As many as one sync should carry: at 1 ms a sync, 1,000,000 changes a second.
            queue: 1024,
            cache_bytes: 64 << 20,
        }
    }
}
