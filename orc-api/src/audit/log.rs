//! The log backend: a bounded queue and a thread that writes.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use orc_core::env::Clock;
use tokio::sync::oneshot;

use super::rotate::{Limits, Rotating};

/// What happens to a request while its event waits to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// It goes on; where the queue is full the event is lost, counted, and told in the server's log.
    Batch,
    /// It waits until the event is written.
    #[default]
    Blocking,
}

/// Where events are written (`--audit-log-*` of kube-apiserver).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// The file; `-` for standard output.
    pub path: PathBuf,
    /// Days that old files are kept; 0 for ever.
    pub max_age_days: u32,
    /// Old files that are kept; 0 for all.
    pub max_backups: usize,
    /// Megabytes of a file before it is put aside; 0 for 100, which is what kube-apiserver makes of it.
    pub max_size_mb: u64,
    /// Whether requests wait.
    pub mode: Mode,
    /// Events that may wait at a time.
    pub queue: usize,
}

impl LogConfig {
    /// The defaults of kube-apiserver for a file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), max_age_days: 0, max_backups: 0, max_size_mb: 0, mode: Mode::Blocking, queue: 10_000 }
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be opened.
    #[error("the audit log {path} cannot be opened")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The thread that writes cannot be started.
    #[error("the audit log's thread cannot be started")]
    Thread(#[source] io::Error),
}

/// An event on its way, and who waits for it.
struct Item {
    line: String,
    done: Option<oneshot::Sender<()>>,
}

/// A log that is being written. Ends, with all that is in its queue, when it is dropped.
pub struct Log {
    queue: Option<mpsc::SyncSender<Item>>,
    writer: Option<std::thread::JoinHandle<()>>,
    mode: Mode,
    lost: Arc<AtomicU64>,
}

enum Target {
    Out,
    File(Rotating),
}

impl Target {
    fn write(&mut self, text: &[u8], clock: &Clock) -> io::Result<()> {
        match self {
            Self::Out => io::stdout().write_all(text),
            Self::File(file) => file.write(text, clock.now()),
        }
    }
}

impl Log {
    /// Opens a log.
    ///
    /// # Errors
    /// When its file cannot be opened.
    pub fn open(config: &LogConfig, clock: Clock) -> Result<Self, LogError> {
        let limits = Limits {
            size: if config.max_size_mb == 0 { 100 } else { config.max_size_mb } * 1024 * 1024,
            backups: config.max_backups,
            age: Duration::from_secs(u64::from(config.max_age_days) * 86_400),
        };
        let mut target = if config.path.as_os_str() == "-" {
            Target::Out
        } else {
            let wrong = |source| LogError::Open { path: config.path.clone(), source };
            Target::File(Rotating::open(&config.path, limits).map_err(wrong)?)
        };
        let (queue, items) = mpsc::sync_channel::<Item>(config.queue.max(1));
        let lost = Arc::new(AtomicU64::new(0));
        let told = lost.clone();
        // A thread of its own: a disk that hangs must not hold a thread that serves requests.
        let write = move || {
            for Item { mut line, done } in items {
                line.push('\n');
                if let Err(error) = target.write(line.as_bytes(), &clock) {
                    told.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(%error, "an audit event was not written");
                }
                if let Some(done) = done {
                    let _ = done.send(());
                }
            }
        };
        let writer = std::thread::Builder::new().name("audit-log".to_owned()).spawn(write).map_err(LogError::Thread)?;
        Ok(Self { queue: Some(queue), writer: Some(writer), mode: config.mode, lost })
    }

    /// Events that were lost since the start.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Hands an event over; in blocking mode returns once it is written. A full queue loses it, in both modes: a request
    /// waits for the disk, but not behind ten thousand others.
    pub(crate) async fn write(&self, line: String) {
        let (done, written) = oneshot::channel();
        let waits = self.mode == Mode::Blocking;
        if self.put(Item { line, done: waits.then_some(done) }) && waits {
            let _ = written.await;
        }
    }

    /// Hands an event over without waiting, where nobody can wait: at the end of a stream.
    pub(crate) fn write_later(&self, line: String) {
        self.put(Item { line, done: None });
    }

    fn put(&self, item: Item) -> bool {
        let taken = self.queue.as_ref().is_some_and(|queue| queue.try_send(item).is_ok());
        if !taken {
            let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
            // Once for each power of two: the log must not be what a flood fills.
            if lost.is_power_of_two() {
                tracing::error!(lost, "audit events are lost: the log's disk does not keep up");
            }
        }
        taken
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.queue.take();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_blocking_log_has_written_when_it_returns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let log = Log::open(&LogConfig::new(&path), Clock::wall()).unwrap();
        log.write("one".to_owned()).await;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\n");
        log.write_later("two".to_owned());
        drop(log);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let refused = Log::open(&LogConfig::new("/nowhere/audit.log"), Clock::wall()).err().unwrap();
        assert!(refused.to_string().contains("/nowhere/audit.log"));
    }
}
