//! Opening the file and reading all of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use bytes::Bytes;
use orc_core::Revision;
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata, StorageBackend, StorageError,
    TableError,
};

use super::dry::DryFile;
use super::folder::{corrupt, newer, refused};
use super::format::{FORMAT, META, OBJECTS, decode};
use crate::backend::{BackendError, RawKey};

/// The content of a file.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) records: BTreeMap<RawKey, (Bytes, Revision)>,
    /// XOR of the records' sums.
    pub(super) sum: u32,
    /// The highest revision that may have been given out.
    pub(super) reserved: Revision,
}

/// Runs what reads the file. The library is written to fail with errors, but damaged pages have been seen to make such code
/// panic; then the data is as corrupt.
pub(super) fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, BackendError>) -> Result<T, BackendError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(corrupt(path, "the data file is damaged")))
}

/// Reads a file in full without changing it. A file that is missing or empty is a new one.
pub(super) fn read_dry(path: &Path, file: &Path) -> Result<Loaded, BackendError> {
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Loaded::default()),
        Err(error) => return Err(refused(path, &error)),
    };
    let dry = DryFile::new(opened).map_err(|e| refused(path, &e))?;
    if dry.len().map_err(|e| refused(path, &e))? == 0 {
        return Ok(Loaded::default());
    }
    guarded(path, || {
        let database = Database::builder().create_with_backend(dry).map_err(|e| open_error(path, e))?;
        load(path, &database)
    })
}

/// Reads everything, checking every sum. A file without tables is a new one.
pub(super) fn load(path: &Path, database: &Database) -> Result<Loaded, BackendError> {
    let damaged = |error: &dyn std::fmt::Display| corrupt(path, format!("the data file does not read: {error}"));
    let read = database.begin_read().map_err(|e| damaged(&e))?;
    let meta = match read.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => {
            let tables = read.list_tables().map_err(|e| damaged(&e))?.count();
            return if tables == 0 { Ok(Loaded::default()) } else { Err(corrupt(path, "the data file is not orc's")) };
        }
        Err(error) => return Err(damaged(&error)),
    };
    let number = |name: &str| -> Result<u64, BackendError> {
        let found = meta.get(name).map_err(|e| damaged(&e))?;
        found.map(|n| n.value()).ok_or_else(|| corrupt(path, format!("the data file has no {name:?} entry")))
    };
    let format = number("format")?;
    if format > FORMAT {
        return Err(newer(path, format));
    }
    let mut loaded = Loaded { reserved: Revision(number("reserved")?), ..Loaded::default() };
    let objects = read.open_table(OBJECTS).map_err(|e| damaged(&e))?;
    for item in objects.iter().map_err(|e| damaged(&e))? {
        let (key, record) = item.map_err(|e| damaged(&e))?;
        let named = || String::from_utf8_lossy(key.value()).into_owned();
        let (revision, sum, value) = decode(key.value(), record.value())
            .ok_or_else(|| corrupt(path, format!("the record of {} is not as it was written", named())))?;
        if revision > loaded.reserved {
            return Err(corrupt(path, format!("the record of {} has a revision that was never given out", named())));
        }
        loaded.sum ^= sum;
        loaded.records.insert(Bytes::copy_from_slice(key.value()), (value, revision));
    }
    let (count, sum) = (number("count")?, number("sum")?);
    let held = (loaded.records.len() as u64, objects.len().map_err(|e| damaged(&e))?);
    if held != (count, count) || u64::from(loaded.sum) != sum {
        return Err(corrupt(path, format!("the data file has {} records and should have {count}", held.0)));
    }
    Ok(loaded)
}

/// What went wrong in opening, in words that say what to do.
pub(super) fn open_error(path: &Path, error: DatabaseError) -> BackendError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => BackendError::Open(format!(
            "the data folder {0} is in use by another process; stop it or choose another --data-dir",
            path.display()
        )),
        DatabaseError::UpgradeRequired(version) => {
            corrupt(path, format!("the data file has the file version {version}"))
        }
        DatabaseError::Storage(StorageError::Io(error))
            if error.kind() != std::io::ErrorKind::InvalidData && error.kind() != std::io::ErrorKind::UnexpectedEof =>
        {
            refused(path, &error)
        }
        other => corrupt(path, format!("the data file does not open: {other}")),
    }
}
