//! The base: a redb file with every record at some revision, brought up to date in large transactions.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use orc_core::Revision;
use redb::{Database, ReadableTable, ReadableTableMetadata};

use super::config::DurableConfig;
use super::disk::{Disk, OpenMode};
use super::format::{FORMAT, META, OBJECTS, crc, encode, told_crc};
use super::load::{guarded, open_error};
use super::log::Position;
use super::medium::{Medium, Trouble};
use super::words::refused;
use crate::backend::{BackendError, RawKey};

/// Changes to fold: the latest of each key.
pub(super) type Latest = BTreeMap<RawKey, (Option<Bytes>, Revision)>;

/// What the base shows after a fold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    pub(super) revision: Revision,
    pub(super) reserved: Revision,
    pub(super) log: Position,
}

/// Why a fold did not happen.
#[derive(Debug)]
pub(super) enum FoldError {
    /// There was no room to grow. Nothing is lost, the same may succeed later.
    Full(String),
    /// The base's state is in doubt; only a restart can tell.
    Failed(String),
}

/// The open base.
pub(super) struct Base {
    disk: Arc<dyn Disk>,
    name: &'static str,
    path: PathBuf,
    cache_bytes: usize,
    medium: Medium,
    /// Absent after a fold that found no room, until the next try.
    database: Option<Database>,
}

impl Base {
    /// Opens a file for writing, or makes it.
    pub(super) fn open(disk: Arc<dyn Disk>, name: &'static str, config: &DurableConfig) -> Result<Self, BackendError> {
        let file = disk.open(name, OpenMode::Create).map_err(|e| refused(&config.path, &e))?;
        let (path, cache_bytes) = (config.path.clone(), config.cache_bytes);
        let mut base = Self { disk, name, path, cache_bytes, medium: Medium::new(file), database: None };
        base.reopen()?;
        Ok(base)
    }

    fn reopen(&mut self) -> Result<(), BackendError> {
        self.database = None;
        let file = self.disk.open(self.name, OpenMode::Create).map_err(|e| refused(&self.path, &e))?;
        self.medium = Medium::new(file);
        let mut builder = Database::builder();
        builder.set_cache_size(self.cache_bytes);
        let medium = self.medium.clone();
        let open = || builder.create_with_backend(medium).map_err(|e| open_error(&self.path, e));
        self.database = Some(guarded(&self.path, open)?);
        Ok(())
    }

    /// Writes the latest of each changed key and the mark in one transaction, durably.
    pub(super) fn fold(&mut self, latest: &Latest, mark: Mark) -> Result<(), FoldError> {
        if self.database.is_none()
            && let Err(error) = self.reopen()
        {
            return Err(self.judge(error.to_string()));
        }
        let Some(database) = &self.database else { return Err(FoldError::Failed("the base is closed".to_owned())) };
        let written = catch_unwind(AssertUnwindSafe(|| transact(database, latest, mark).map_err(|e| e.to_string())));
        let error = match written {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => "the data file's library panicked".to_owned(),
        };
        // redb refuses everything after an error; it goes on from its last transaction once it is opened again.
        self.database = None;
        Err(self.judge(error))
    }

    fn judge(&self, error: String) -> FoldError {
        match self.medium.trouble() {
            Trouble::Full(error) => FoldError::Full(error),
            Trouble::Failed(error) => FoldError::Failed(error),
            Trouble::None => FoldError::Failed(error),
        }
    }
}

fn transact(database: &Database, latest: &Latest, mark: Mark) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    {
        let mut meta = write.open_table(META)?;
        let mut sum = meta.get("sum")?.map_or(0, |sum| sum.value());
        let mut objects = write.open_table(OBJECTS)?;
        let mut record = Vec::new();
        for (key, (value, revision)) in latest {
            let before = match value {
                Some(value) => {
                    let after = crc(key, *revision, value);
                    sum ^= u64::from(after);
                    encode(*revision, after, value, &mut record);
                    objects.insert(&**key, &*record)?
                }
                None => objects.remove(&**key)?,
            };
            sum ^= before.and_then(|before| told_crc(before.value())).map_or(0, u64::from);
        }
        let count = objects.len()?;
        let entries = [
            ("format", FORMAT),
            ("reserved", mark.reserved.0),
            ("revision", mark.revision.0),
            ("segment", mark.log.segment),
            ("first", mark.log.first),
            ("frame", mark.log.frame),
            ("count", count),
            ("sum", sum),
        ];
        for (name, value) in entries {
            meta.insert(name, value)?;
        }
    }
    // The default durability of a transaction: the sync is done when this returns.
    write.commit()?;
    Ok(())
}
