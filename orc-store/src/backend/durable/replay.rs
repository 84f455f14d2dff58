//! The log's reading end, at a start: gives every change after the base, or says what is damaged. Changes nothing.
//!
//! The rule that tells a torn end from damage: a frame is written only after all before it are synced, so a crash can tear
//! the last frame alone. A frame that does not verify, with none of its segment's behind it, is the end. With any behind it,
//! something that was durable no longer reads.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use bytes::Bytes;
use orc_core::Revision;

use super::config::{DurableConfig, Reading};
use super::disk::{Disk, OpenMode};
use super::format::FORMAT;
use super::frame::{BLOCK, FrameHead, SegmentHead, changes};
use super::log::{Position, name};
use super::words::{corrupt, newer, refused};
use crate::backend::{BackendError, RawKey};

/// Where the log ends.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct End {
    /// The number of the last frame.
    pub(super) frame: u64,
    /// The last revision in a frame.
    pub(super) last: Revision,
    /// The highest revision that may have been given out, as frames say.
    pub(super) reserved: Revision,
}

/// Takes a change in: key, value, revision.
pub(super) type Apply<'a> = &'a mut dyn FnMut(RawKey, Option<Bytes>, Revision);

/// One reading of the log.
pub(super) struct Replay<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) config: &'a DurableConfig,
    /// The segments that there are.
    pub(super) segments: &'a BTreeSet<u64>,
    pub(super) reading: Reading<'a>,
}

/// What one segment ends with.
enum SegmentEnd {
    Closed,
    Open,
}

struct Segment {
    head: SegmentHead,
    bytes: Vec<u8>,
}

impl Replay<'_> {
    /// Reads from the base's place on, and applies what is above its revision.
    pub(super) fn run(mut self, from: Position, shown: Revision, apply: Apply) -> Result<End, BackendError> {
        let mut end = End { frame: from.first.saturating_sub(1), last: Revision::ZERO, reserved: Revision::ZERO };
        let mut number = from.segment;
        loop {
            let segment = self.segment(number)?;
            match self.frames(&segment, &mut end, (from, shown), apply)? {
                SegmentEnd::Closed => number += 1,
                SegmentEnd::Open => break,
            }
        }
        if end.frame < from.frame {
            return Err(self.damaged(format!(
                "the log ends at frame {} although the base has the changes up to frame {}",
                end.frame, from.frame
            )));
        }
        self.nothing_above(number)?;
        self.reading.tell();
        Ok(end)
    }

    /// A log without a base that knows it is damage, unless it is empty.
    pub(super) fn nothing_above(&self, number: u64) -> Result<(), BackendError> {
        for above in self.segments.range(number + 1..) {
            if let Some(segment) = self.read(*above)?
                && any_frame(&segment, BLOCK)
            {
                return Err(self.damaged(format!(
                    "the log's segment {} has changes although segment {number} before it does not lead there",
                    name(*above)
                )));
            }
        }
        Ok(())
    }

    fn damaged(&self, what: String) -> BackendError {
        corrupt(&self.config.path, what)
    }

    /// A segment that must be there.
    fn segment(&self, number: u64) -> Result<Segment, BackendError> {
        if !self.segments.contains(&number) {
            return Err(self.damaged(format!("the log's segment {} is missing", name(number))));
        }
        let damaged =
            || self.damaged(format!("the head of the log's segment {} is not as it was written", name(number)));
        self.read(number)?.ok_or_else(damaged)
    }

    /// A segment, when its head is whole and its own.
    fn read(&self, number: u64) -> Result<Option<Segment>, BackendError> {
        let bytes = (|| {
            let file = self.disk.open(&name(number), OpenMode::Existing)?;
            let mut bytes = vec![0; usize::try_from(file.size()?).map_err(|_| ErrorKind::OutOfMemory)?];
            file.read_at(0, &mut bytes)?;
            Ok(bytes)
        })();
        let bytes: Vec<u8> = bytes.map_err(|e: std::io::Error| refused(&self.config.path, &e))?;
        let Some(head) = SegmentHead::decode(&bytes).filter(|head| head.number == number) else { return Ok(None) };
        if head.format > FORMAT {
            return Err(newer(&self.config.path, head.format));
        }
        Ok(Some(Segment { head, bytes }))
    }

    fn frames(
        &mut self,
        segment: &Segment,
        end: &mut End,
        (from, shown): (Position, Revision),
        apply: Apply,
    ) -> Result<SegmentEnd, BackendError> {
        let mut offset = BLOCK;
        while let Some((head, body)) = frame(segment, offset) {
            let told = |what: &str| {
                let file = name(segment.head.number);
                corrupt(
                    &self.config.path,
                    format!("frame {} at byte {offset} of the log's segment {file} {what}", head.number),
                )
            };
            if head.number != end.frame + 1 {
                return Err(told(&format!("should be frame {}", end.frame + 1)));
            }
            let found = changes(body).filter(|found| found.len() as u64 == head.changes);
            let found = found.ok_or_else(|| told("does not hold the changes it announces"))?;
            for (key, value, revision) in found {
                if revision <= end.last || revision > head.last {
                    return Err(told(&format!("has the revision {revision} out of order")));
                }
                end.last = revision;
                if revision > shown {
                    self.reading.read(key.len() + value.as_ref().map_or(0, Bytes::len));
                    apply(key, value, revision);
                }
            }
            (end.frame, end.last) = (head.number, head.last);
            // What the base has counts for the frames before: a clean stop takes a reservation back there.
            if head.number > from.frame {
                end.reserved = end.reserved.max(head.reserved);
            }
            if head.closes {
                return Ok(SegmentEnd::Closed);
            }
            offset = head.end();
        }
        if any_frame(segment, offset + BLOCK) {
            return Err(self.damaged(format!(
                "the log's segment {} is damaged at byte {offset}: what follows was written after it",
                name(segment.head.number)
            )));
        }
        Ok(SegmentEnd::Open)
    }
}

/// The frame at an offset, when it is whole.
fn frame(segment: &Segment, offset: u64) -> Option<(FrameHead, &[u8])> {
    let bytes = segment.bytes.get(usize::try_from(offset).ok()?..)?;
    let head = FrameHead::decode(segment.head.salt, offset, bytes)?;
    Some((head, head.body(segment.head.salt, bytes)?))
}

/// Whether any block from an offset on starts a frame whose header is whole.
fn any_frame(segment: &Segment, from: u64) -> bool {
    (from..segment.bytes.len() as u64).step_by(BLOCK as usize).any(|at| {
        let bytes = usize::try_from(at).ok().and_then(|at| segment.bytes.get(at..));
        bytes.is_some_and(|bytes| FrameHead::decode(segment.head.salt, at, bytes).is_some())
    })
}
