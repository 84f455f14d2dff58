//! The data folder: who uses it, and whether its file is there.
//!
//! `lock` is held while the folder is in use and names the process; `store.redb` is the data; `format` is written once the
//! data file is whole, so that a data file that vanished or was emptied is told from a folder that was never used.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::format::FORMAT;
use crate::backend::BackendError;

/// A data folder that this process has to itself while the value lives.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder when it is missing, and takes it.
    pub(super) fn take(path: &Path) -> Result<Self, BackendError> {
        fs::create_dir_all(path).map_err(|e| refused(path, &e))?;
        let mut options = OpenOptions::new();
        let mut lock = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join("lock"))
            .map_err(|e| refused(path, &e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, &mut lock)),
            Err(TryLockError::Error(error)) => return Err(refused(path, &error)),
        }
        let text = format!("{}\n", std::process::id());
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| lock.write_all(text.as_bytes()))
            .map_err(|e| refused(path, &e))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The data file. Whether the folder has been used before and the file is still there is checked first.
    pub(super) fn data_file(&self) -> Result<PathBuf, BackendError> {
        let file = self.path.join("store.redb");
        let used = self.used_format()?;
        if let Some(format) = used
            && format > FORMAT
        {
            return Err(newer(&self.path, format));
        }
        let length = match fs::metadata(&file) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            Err(error) => return Err(refused(&self.path, &error)),
        };
        if used.is_some() && length == 0 {
            return Err(corrupt(&self.path, "its file store.redb is missing or empty although the folder was in use"));
        }
        Ok(file)
    }

    /// Notes that the data file is whole.
    pub(super) fn mark_used(&self) -> Result<(), BackendError> {
        if self.used_format()?.is_some() {
            return Ok(());
        }
        let write = || -> std::io::Result<()> {
            let mut file = File::create(self.path.join("format.new"))?;
            file.write_all(format!("{FORMAT}\n").as_bytes())?;
            file.sync_all()?;
            fs::rename(self.path.join("format.new"), self.path.join("format"))?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|e| refused(&self.path, &e))
    }

    fn used_format(&self) -> Result<Option<u64>, BackendError> {
        match fs::read_to_string(self.path.join("format")) {
            Ok(text) => {
                let format = text.trim().parse();
                format.map(Some).map_err(|_| corrupt(&self.path, "its file `format` does not hold a number"))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(refused(&self.path, &error)),
        }
    }
}

fn in_use(path: &Path, lock: &mut File) -> BackendError {
    let mut pid = String::new();
    // A lock without a readable number is still a lock.
    let _ = lock.read_to_string(&mut pid);
    let pid = if pid.trim().is_empty() { "unknown" } else { pid.trim() };
    let path = path.display();
    BackendError::Open(format!(
        "the data folder {path} is in use by another orc (pid {pid}); stop it or choose another --data-dir"
    ))
}

/// The folder cannot be read or written.
pub(super) fn refused(path: &Path, error: &std::io::Error) -> BackendError {
    let path = path.display();
    BackendError::Open(match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => format!(
            "the data folder {path} is not writable ({error}); check its owner and mode, or choose another --data-dir"
        ),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            format!("the disk of the data folder {path} is full ({error}); free some space and start again")
        }
        _ => format!("the data folder {path} cannot be opened: {error}"),
    })
}

/// The data was written by a newer version.
pub(super) fn newer(path: &Path, format: u64) -> BackendError {
    let path = path.display();
    BackendError::Open(format!(
        "the data folder {path} was written by a newer orc (format {format}, this one reads up to {FORMAT}); \
         start that version, or choose another --data-dir. Nothing was changed"
    ))
}

/// The data is damaged.
pub(super) fn corrupt(path: &Path, what: impl std::fmt::Display) -> BackendError {
    let path = path.display();
    BackendError::Corrupt(format!(
        "{what}. Restore the folder {path} from a backup, or start with an empty one by --data-dir. Nothing was changed"
    ))
}
