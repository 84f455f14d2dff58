//! A folder from a backup. It becomes usable by one rename, after everything was read, checked and synced.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use orc_core::Revision;

use super::read::Reader;
use super::{BackupInfo, RestoreError};
use crate::backend::BackendError;
use crate::backend::durable::DurableConfig;
use crate::backend::durable::base::{Base, FoldError, Latest, Mark};
use crate::backend::durable::disk::{Disk, RealDisk};
use crate::backend::durable::folder::{self, BASE, RESTORING};
use crate::backend::durable::log::Position;
use crate::backend::durable::words::refused;

/// Bytes of records written in one transaction.
const PART: usize = 16 << 20;

/// How to restore.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RestoreOptions {
    /// Revisions to leave out above the backup's. The store that the backup was taken from went on, and its clients may know
    /// later revisions; those that come back with one below the first of the new life are told `Expired` and list again. So
    /// this should be more than the old store gave out since the backup. etcd has the same as `--bump-revision`.
    pub skip_revisions: u64,
}

impl Default for RestoreOptions {
    /// A thousand million: a year of 30 changes a second. As in etcd's guide to restoring for Kubernetes.
    fn default() -> Self {
        Self { skip_revisions: 1_000_000_000 }
    }
}

/// Makes a data folder from a backup. The folder may be missing or empty.
///
/// # Errors
/// [`RestoreError::Used`] when it holds a store; others as they say. The folder holds no usable store then.
pub fn restore(from: &mut dyn Read, folder: &Path, options: RestoreOptions) -> Result<BackupInfo, RestoreError> {
    restore_on(from, Arc::new(RealDisk::take(folder)?), folder, options)
}

/// As [`restore`], over any medium. `name` names it in messages.
///
/// # Errors
/// As [`restore`].
pub fn restore_on(
    from: &mut dyn Read,
    disk: Arc<dyn Disk>,
    name: &Path,
    options: RestoreOptions,
) -> Result<BackupInfo, RestoreError> {
    let content = folder::look(&*disk, name)?;
    if content.format.is_some() || content.base || !content.segments.is_empty() {
        return Err(RestoreError::Used(name.to_owned()));
    }
    let failed = |e: std::io::Error| RestoreError::Folder(refused(name, &e));
    if content.restoring {
        disk.remove(RESTORING).map_err(failed)?;
    }
    let mut reader = Reader::open(from)?;
    fill(&mut reader, disk.clone(), name, options)?;
    // The new file is whole and synced: let it be the base, then say that there is one.
    disk.rename(RESTORING, BASE).and_then(|()| disk.sync_dir()).map_err(failed)?;
    folder::mark_used(&*disk).map_err(failed)?;
    Ok(reader.info())
}

fn fill(reader: &mut Reader, disk: Arc<dyn Disk>, name: &Path, options: RestoreOptions) -> Result<(), RestoreError> {
    let mut base = Base::open(disk, RESTORING, &DurableConfig::new(name))?;
    let last = Revision(reader.revision.0.saturating_add(options.skip_revisions).max(1));
    let mark = Mark { revision: last, reserved: last, log: Position::default() };
    let (mut part, mut bytes) = (Latest::new(), 0);
    while let Some(record) = reader.next()? {
        bytes += record.key.len() + record.value.len();
        part.insert(record.key, (Some(record.value), record.revision));
        if bytes > PART {
            base.fold(&std::mem::take(&mut part), mark).map_err(not_written)?;
            bytes = 0;
        }
    }
    base.fold(&part, mark).map_err(not_written)
}

fn not_written(error: FoldError) -> RestoreError {
    let (FoldError::Full(why) | FoldError::Failed(why)) = error;
    RestoreError::Folder(BackendError::Open(format!("the folder to restore into cannot be written: {why}")))
}
