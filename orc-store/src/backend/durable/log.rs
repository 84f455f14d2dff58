//! The log's writing end: appends frames, turns over to the next segment, takes segments back for reuse.
//!
//! Invariant, on which reading relies: a frame is written only after the one before it is synced, and a segment gets frames
//! only after its own header and name are synced and the segment before is closed by a synced frame that says so.

use std::io;
use std::sync::Arc;

use orc_core::Revision;
use parking_lot::Mutex;

use super::Staged;
use super::disk::{Disk, DiskFile, OpenMode, is_full};
use super::frame::{BLOCK, FrameHead, SegmentHead, span};

/// Segments kept for reuse: as many as a fold frees while the next is filled. Writing over a file again is cheaper than
/// growing one, since its place on the disk does not change.
const SPARES: usize = 4;

/// Blocks that were allocated and never written cost the file system a journal entry at the sync after their first write. So
/// a small frame that comes to such blocks writes zeros so far ahead as well, and the next sixty frames are spared that.
const WARM: u64 = 256 << 10;
/// Larger frames have little to gain.
const SMALL: u64 = 32 << 10;

/// The name of a segment's file.
pub(super) fn name(number: u64) -> String {
    format!("{number:020}.log")
}

/// The number in a segment's name.
pub(super) fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

/// A place in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Position {
    /// The segment of the next frame, or of this one.
    pub(super) segment: u64,
    /// The number of the segment's first frame.
    pub(super) first: u64,
    /// The number of the last frame.
    pub(super) frame: u64,
}

/// Why an append did not happen.
#[derive(Debug)]
pub(super) enum AppendError {
    /// There is no room for another segment. Nothing of the log was touched; the same may succeed later.
    Full(io::Error),
    /// The log's end is in doubt. Only a restart, which reads it, can tell.
    Failed(io::Error),
}

/// Segments that are whole, and segments that are free. Shared with the fold.
#[derive(Debug)]
pub(super) struct Shelf {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    state: Mutex<Shelved>,
}

#[derive(Debug, Default)]
struct Shelved {
    /// Segments with frames, the current one apart.
    full: Vec<u64>,
    /// Free files, and whether all of their blocks were written.
    spares: Vec<(u64, bool)>,
}

impl Shelf {
    pub(super) fn new(disk: Arc<dyn Disk>, segment_bytes: u64) -> Arc<Self> {
        let least = 4 * BLOCK;
        let segment_bytes = segment_bytes.max(least).next_multiple_of(BLOCK);
        Arc::new(Self { disk, segment_bytes, state: Mutex::default() })
    }

    /// Frees the segments below a number: the base has their changes, durably.
    pub(super) fn free_below(&self, number: u64) -> io::Result<()> {
        let free = {
            let mut state = self.state.lock();
            let (free, full) = std::mem::take(&mut state.full).into_iter().partition(|one| *one < number);
            state.full = full;
            free
        };
        self.free(free, true)
    }

    /// Keeps a few files for reuse and removes the others.
    pub(super) fn free(&self, segments: Vec<u64>, warm: bool) -> io::Result<()> {
        for number in segments {
            // One of another size is not worth keeping.
            let size = self.disk.open(&name(number), OpenMode::Existing).and_then(|file| file.size())?;
            let mut state = self.state.lock();
            if size == self.segment_bytes && state.spares.len() < SPARES {
                state.spares.push((number, warm));
            } else {
                drop(state);
                self.disk.remove(&name(number))?;
            }
        }
        Ok(())
    }

    /// Makes a segment that is ready for frames: room, header and name are synced.
    fn make(&self, number: u64, needed: u64) -> io::Result<Segment> {
        let file_name = name(number);
        let size = self.segment_bytes.max(needed);
        let spare = if size == self.segment_bytes { self.state.lock().spares.pop() } else { None };
        if let Some((spare, _)) = spare {
            self.disk.rename(&name(spare), &file_name)?;
        }
        let file = self.disk.open(&file_name, OpenMode::Create)?;
        let head = SegmentHead::fresh(number);
        let ready = || {
            if file.size()? != size {
                file.set_len(size)?;
            }
            file.write_at(0, &head.encode())?;
            file.sync_data()?;
            self.disk.sync_dir()
        };
        ready().inspect_err(|_| {
            // It was never part of the log. If this fails as well, the next start finds it empty and removes it.
            let _ = self.disk.remove(&file_name);
        })?;
        let warm = if spare.is_some_and(|(_, warm)| warm) { size } else { BLOCK };
        Ok(Segment { number, salt: head.salt, file, size, offset: BLOCK, warm })
    }
}

#[derive(Debug)]
struct Segment {
    number: u64,
    salt: u64,
    file: Arc<dyn DiskFile>,
    size: u64,
    /// Where the next frame goes.
    offset: u64,
    /// Where the blocks begin that were perhaps never written.
    warm: u64,
}

/// The writing end.
#[derive(Debug)]
pub(super) struct Log {
    shelf: Arc<Shelf>,
    current: Segment,
    first: u64,
    frame: u64,
    /// The marks of the last frame.
    marks: (Revision, Revision),
    buffer: Vec<u8>,
}

impl Log {
    /// Begins a segment behind a frame, with all revisions up to one used.
    pub(super) fn begin(shelf: Arc<Shelf>, number: u64, frame: u64, last: Revision) -> io::Result<Self> {
        let current = shelf.make(number, 0)?;
        Ok(Self { shelf, current, first: frame + 1, frame, marks: (last, last), buffer: Vec::new() })
    }

    /// Where the log is.
    pub(super) fn position(&self) -> Position {
        Position { segment: self.current.number, first: self.first, frame: self.frame }
    }

    /// Writes changes as one frame and waits for the disk.
    pub(super) fn append(
        &mut self,
        changes: &[&Staged],
        last: Revision,
        reserved: Revision,
    ) -> Result<(), AppendError> {
        let needed = span(changes);
        // One block stays for the frame that closes the segment.
        if self.current.offset + needed + BLOCK > self.current.size {
            self.turn_over(needed)?;
        }
        self.write(changes, last, reserved, false).map_err(AppendError::Failed)?;
        self.marks = (last, reserved);
        Ok(())
    }

    fn turn_over(&mut self, needed: u64) -> Result<(), AppendError> {
        let next = self.shelf.make(self.current.number + 1, needed + 2 * BLOCK);
        let next = next.map_err(|e| if is_full(&e) { AppendError::Full(e) } else { AppendError::Failed(e) })?;
        let (last, reserved) = self.marks;
        self.write(&[], last, reserved, true).map_err(AppendError::Failed)?;
        let before = std::mem::replace(&mut self.current, next);
        self.shelf.state.lock().full.push(before.number);
        self.first = self.frame + 1;
        Ok(())
    }

    fn write(&mut self, changes: &[&Staged], last: Revision, reserved: Revision, closes: bool) -> io::Result<()> {
        let mut head = FrameHead::new(self.frame + 1, self.current.offset, last, reserved);
        head.closes = closes;
        head.encode(self.current.salt, changes, &mut self.buffer);
        let (start, length) = (self.current.offset, self.buffer.len() as u64);
        let mut end = start + length;
        if end > self.current.warm && length <= SMALL {
            end = (end + WARM).min(self.current.size);
            self.buffer.resize((end - start) as usize, 0);
        }
        self.current.file.write_at(start, &self.buffer)?;
        self.current.file.sync_data()?;
        self.current.warm = self.current.warm.max(end);
        self.current.offset += length;
        self.frame += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_numbers_and_read_back() {
        assert!(name(9) < name(10));
        assert_eq!(number(&name(42)), Some(42));
        assert_eq!(number("store.redb"), None);
        assert_eq!(number("7.log"), None);
    }
}
