//! redb over a file of the medium.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

use super::disk::{DiskFile, is_full};

/// A file of the medium as redb writes it. Clones are the same file.
///
/// It remembers why redb failed: redb answers every call after an error with "previous I/O error", and whether the error was
/// only that growing found no room decides whether the file may be used again.
#[derive(Clone, Debug)]
pub(super) struct Medium {
    file: Arc<dyn DiskFile>,
    trouble: Arc<Mutex<Trouble>>,
}

/// What failed since the file was opened.
#[derive(Clone, Debug, Default)]
pub(super) enum Trouble {
    #[default]
    None,
    /// Growing found no room; nothing was lost.
    Full(String),
    /// Anything else: what was written may be lost.
    Failed(String),
}

impl Medium {
    pub(super) fn new(file: Arc<dyn DiskFile>) -> Self {
        Self { file, trouble: Arc::default() }
    }

    pub(super) fn trouble(&self) -> Trouble {
        self.trouble.lock().clone()
    }

    fn note<T>(&self, grows: bool, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            let mut trouble = self.trouble.lock();
            match &*trouble {
                Trouble::Failed(_) => {}
                _ if grows && is_full(error) => *trouble = Trouble::Full(error.to_string()),
                _ => *trouble = Trouble::Failed(error.to_string()),
            }
        }
        result
    }
}

impl StorageBackend for Medium {
    fn len(&self) -> io::Result<u64> {
        self.note(false, self.file.size())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.note(false, self.file.read_at(offset, out))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.note(true, self.file.set_len(length))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.note(false, self.file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(false, self.file.write_at(offset, data))
    }
}
