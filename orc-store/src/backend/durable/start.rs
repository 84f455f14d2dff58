//! Opening: read everything, then fold what the log holds, so that a run begins with a whole base and an empty log.
//!
//! Nothing is changed before all of it was read and found well. The order of the changes after that lets a crash at any of
//! them leave a folder that opens again: the new segment is made (unknown to the base, it is ignored), the base moves to it
//! in one transaction, the old segments go.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use orc_core::Revision;

use super::base::{Base, FoldError, Latest, Mark};
use super::config::{DurableConfig, OpenStage, Reading};
use super::disk::Disk;
use super::folder::{self, BASE, Content, MAKING};
use super::load::{self, Loaded};
use super::log::{Log, Position, Shelf, name};
use super::replay::{End, Replay};
use super::view::RecordMap;
use super::words::refused;
use crate::backend::BackendError;

/// A folder that was read and is ready for writing.
pub(super) struct Started {
    pub(super) records: RecordMap,
    pub(super) base: Base,
    pub(super) log: Log,
    pub(super) shelf: Arc<Shelf>,
    pub(super) mark: Mark,
}

/// Reads a folder, brings its base up to date and begins a segment.
pub(super) fn start(disk: &Arc<dyn Disk>, config: &DurableConfig) -> Result<Started, BackendError> {
    let path = &config.path;
    let content = folder::look_for_use(&**disk, path)?;
    let mut loaded = if content.base { load::read_dry(&**disk, config)? } else { Loaded::default() };
    let (latest, end) = replay(&**disk, config, &content, &mut loaded)?;

    let number = content.segments.last().copied().max(loaded.log.map(|at| at.segment)).unwrap_or(0) + 1;
    // Revisions 0 and 1 mean "any" and "before everything" on the wire.
    let last = loaded.reserved.max(end.reserved).max(end.last).max(Revision(1));
    let shelf = Shelf::new(disk.clone(), config.segment_bytes);
    if !content.base {
        make_base(disk, config)?;
    }
    let mut base = Base::open(disk.clone(), BASE, config)?;
    let log = Log::begin(shelf.clone(), number, end.frame, last).map_err(|e| refused(path, &e))?;
    let mark = Mark { revision: last, reserved: last, log: log.position() };
    base.fold(&latest, mark).map_err(|e| not_folded(path, e))?;
    tidy(&**disk, &shelf, &content).map_err(|e| refused(path, &e))?;
    Ok(Started { records: loaded.records, base, log, shelf, mark })
}

/// Makes an empty base under another name first: a crash between its first writes leaves no database at all.
fn make_base(disk: &Arc<dyn Disk>, config: &DurableConfig) -> Result<(), BackendError> {
    let path = &config.path;
    match disk.remove(MAKING) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(refused(path, &error)),
        _ => {}
    }
    let mark = Mark { revision: Revision(1), reserved: Revision(1), log: Position::default() };
    Base::open(disk.clone(), MAKING, config)?.fold(&Latest::new(), mark).map_err(|e| not_folded(path, e))?;
    disk.rename(MAKING, BASE).and_then(|()| disk.sync_dir()).map_err(|e| refused(path, &e))
}

fn replay(
    disk: &dyn Disk,
    config: &DurableConfig,
    content: &Content,
    loaded: &mut Loaded,
) -> Result<(Latest, End), BackendError> {
    let from = loaded.log.unwrap_or_default();
    let needed = content.segments.range(from.segment..).map(|number| name(*number));
    let reading = Reading::new(config, OpenStage::Log, folder::sizes(disk, needed));
    let replay = Replay { disk, config, segments: &content.segments, reading };
    if loaded.log.is_none() {
        // A base without a place in the log: new, restored, or of format 1.
        replay.nothing_above(Position::default().segment)?;
        return Ok((Latest::new(), End::default()));
    }
    let (mut latest, records, revision) = (Latest::new(), &mut loaded.records, loaded.revision);
    let end = replay.run(from, revision, &mut |key, value, revision| {
        match &value {
            Some(value) => drop(records.insert(key.clone(), (value.clone(), revision))),
            None => drop(records.remove(&key)),
        }
        latest.insert(key, (value, revision));
    })?;
    Ok((latest, end))
}

fn not_folded(path: &Path, error: FoldError) -> BackendError {
    let path = path.display();
    BackendError::Open(match error {
        FoldError::Full(error) => {
            format!("the disk of the data folder {path} is full ({error}); free some space and start again")
        }
        FoldError::Failed(error) => format!("the data folder {path} cannot be written: {error}"),
    })
}

/// Marks the folder and frees the segments of the run before.
fn tidy(disk: &dyn Disk, shelf: &Shelf, content: &Content) -> std::io::Result<()> {
    if content.format != Some(super::format::FORMAT) {
        folder::mark_used(disk)?;
    }
    shelf.free(content.segments.iter().copied().collect(), false)
}
