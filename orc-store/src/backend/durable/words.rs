//! What is told when something is wrong: what it is, and what can be done.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::format::FORMAT;
use crate::backend::BackendError;

/// The folder is another process's.
pub(super) fn in_use(path: &Path, lock: &mut File) -> BackendError {
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

/// There is no room now; writes are tried again.
pub(super) fn full(error: impl std::fmt::Display) -> String {
    format!("the disk is full ({error}); reads go on. Free some space: writes go on by themselves then")
}

/// The medium failed.
pub(super) fn failed(error: impl std::fmt::Display) -> String {
    format!("writing failed: {error}; reads go on. Free space or repair the disk, then restart orc")
}
