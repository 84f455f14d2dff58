//! Reading all of the base at a start, without changing it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use bytes::Bytes;
use orc_core::Revision;
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata, StorageBackend, StorageError,
    TableError,
};

use super::config::{DurableConfig, OpenStage, Reading};
use super::disk::{Disk, OpenMode};
use super::dry::DryFile;
use super::folder::{self, BASE};
use super::format::{FORMAT, META, OBJECTS, decode};
use super::log::Position;
use super::view::RecordMap;
use super::words::{corrupt, newer, refused};
use crate::backend::BackendError;

/// The content of a base.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) records: RecordMap,
    /// The highest revision that may have been given out.
    pub(super) reserved: Revision,
    /// All changes up to this one are in the records.
    pub(super) revision: Revision,
    /// How far that is in the log; `None` when there was none yet.
    pub(super) log: Option<Position>,
}

/// Runs what reads the base. The library is written to fail with errors, but damaged pages have been seen to make such code
/// panic; then the data is as corrupt.
pub(super) fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, BackendError>) -> Result<T, BackendError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(corrupt(path, "the data file is damaged")))
}

/// Reads the base in full without changing it.
pub(super) fn read_dry(disk: &dyn Disk, config: &DurableConfig) -> Result<Loaded, BackendError> {
    let path = &config.path;
    let file = disk.open(BASE, OpenMode::Existing).map_err(|e| refused(path, &e))?;
    let dry = DryFile::new(file).map_err(|e| refused(path, &e))?;
    debug_assert!(dry.len().is_ok_and(|length| length > 0), "an empty base is a new one");
    guarded(path, || {
        let mut builder = Database::builder();
        builder.set_cache_size(config.cache_bytes);
        let database = builder.create_with_backend(dry).map_err(|e| open_error(path, e))?;
        let reading = Reading::new(config, OpenStage::Base, folder::sizes(disk, [BASE.to_owned()]));
        load(path, &database, reading)
    })
}

/// Reads everything, checking every sum. A file without tables is a new one.
fn load(path: &Path, database: &Database, mut reading: Reading) -> Result<Loaded, BackendError> {
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
    let reserved = Revision(number("reserved")?);
    let mut loaded = Loaded { reserved, revision: reserved, ..Loaded::default() };
    if format > 1 {
        loaded.revision = Revision(number("revision")?);
        let at = Position { segment: number("segment")?, first: number("first")?, frame: number("frame")? };
        loaded.log = (at != Position::default()).then_some(at);
    }
    let objects = read.open_table(OBJECTS).map_err(|e| damaged(&e))?;
    let mut found_sum = 0;
    for item in objects.iter().map_err(|e| damaged(&e))? {
        let (key, record) = item.map_err(|e| damaged(&e))?;
        let named = || String::from_utf8_lossy(key.value()).into_owned();
        let (revision, sum, value) = decode(key.value(), record.value())
            .ok_or_else(|| corrupt(path, format!("the record of {} is not as it was written", named())))?;
        if revision > loaded.revision {
            return Err(corrupt(path, format!("the record of {} has a revision that was never given out", named())));
        }
        found_sum ^= sum;
        reading.read(key.value().len() + value.len());
        loaded.records.insert(Bytes::copy_from_slice(key.value()), (value, revision));
    }
    let (count, sum) = (number("count")?, number("sum")?);
    let held = (loaded.records.len() as u64, objects.len().map_err(|e| damaged(&e))?);
    if held != (count, count) || u64::from(found_sum) != sum {
        return Err(corrupt(path, format!("the data file has {} records and should have {count}", held.0)));
    }
    reading.tell();
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
