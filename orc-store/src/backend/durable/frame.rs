//! The log's format: segments of 4 KB blocks, frames of changes.
//!
//! A segment's first block holds its header: magic, CRC-32 of what follows, format, number, salt. Then frames, each on blocks
//! of its own, so that writing one never touches the bytes of another. A frame is a header of 64 bytes and a body:
//!
//! | bytes | of the frame's header |
//! |---|---|
//! | 0..4 | `ORCF` |
//! | 4..8 | CRC-32 of the segment's salt and bytes 8..64 |
//! | 8..12 | CRC-32 of the salt and the body |
//! | 12..16 | flags: 1, the log goes on in the next segment |
//! | 16..24 | length of the body |
//! | 24..32 | number of the frame: one more than the one before, through all segments |
//! | 32..40 | offset of the frame in the segment |
//! | 40..48 | the last revision up to this frame |
//! | 48..56 | the highest revision that may have been given out |
//! | 56..64 | number of changes |
//!
//! A change: revision, length of the key, length of the value (all ones: a deletion), 8 bytes each, then key and value.
//! All numbers are little endian. The salt is random, so a frame of an earlier use of the file does not verify.

use bytes::Bytes;
use orc_core::Revision;

use super::Staged;
use super::format::FORMAT;
use crate::backend::RawKey;

/// Frames begin at multiples of this: the sector of today's disks, and the page of the operating system.
pub(super) const BLOCK: u64 = 4096;
const HEADER: usize = 64;
const SEGMENT_MAGIC: [u8; 8] = *b"orc-log\n";
const FRAME_MAGIC: [u8; 4] = *b"ORCF";
const CLOSES: u32 = 1;
const DELETED: u64 = u64::MAX;
const CHANGE: usize = 24;

/// What a segment says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SegmentHead {
    pub(super) format: u64,
    pub(super) number: u64,
    pub(super) salt: u64,
}

impl SegmentHead {
    /// The first block of a segment.
    pub(super) fn encode(self) -> Vec<u8> {
        let mut block = SEGMENT_MAGIC.to_vec();
        let fields = [self.format, self.number, self.salt].map(u64::to_le_bytes).concat();
        block.extend(crc32fast::hash(&fields).to_le_bytes());
        block.extend(fields);
        block.resize(BLOCK as usize, 0);
        block
    }

    /// Reads a first block; `None` when there is no whole header.
    pub(super) fn decode(block: &[u8]) -> Option<Self> {
        let (magic, rest) = block.split_first_chunk::<8>()?;
        let (sum, rest) = rest.split_first_chunk::<4>()?;
        let fields = rest.get(..24)?;
        let whole = *magic == SEGMENT_MAGIC && crc32fast::hash(fields) == u32::from_le_bytes(*sum);
        whole.then(|| Self { format: number(fields, 0), number: number(fields, 8), salt: number(fields, 16) })
    }

    /// A new header with a salt that was never used.
    pub(super) fn fresh(number: u64) -> Self {
        Self { format: FORMAT, number, salt: orc_core::env::Rng::random().next() }
    }
}

/// What a frame says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FrameHead {
    pub(super) number: u64,
    pub(super) offset: u64,
    pub(super) last: Revision,
    pub(super) reserved: Revision,
    pub(super) changes: u64,
    /// Whether the log goes on in the next segment.
    pub(super) closes: bool,
    pub(super) length: u64,
    body_sum: u32,
}

impl FrameHead {
    /// A frame to be written at an offset.
    pub(super) fn new(number: u64, offset: u64, last: Revision, reserved: Revision) -> Self {
        Self { number, offset, last, reserved, changes: 0, closes: false, length: 0, body_sum: 0 }
    }

    /// The bytes of the frame, in whole blocks.
    pub(super) fn encode(mut self, salt: u64, changes: &[&Staged], out: &mut Vec<u8>) {
        out.clear();
        out.resize(HEADER, 0);
        for change in changes {
            let length = change.value.as_ref().map_or(DELETED, |value| value.len() as u64);
            for number in [change.revision.0, change.key.len() as u64, length] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            out.extend_from_slice(&change.key);
            out.extend_from_slice(change.value.as_deref().unwrap_or_default());
        }
        self.changes = changes.len() as u64;
        self.length = (out.len() - HEADER) as u64;
        self.body_sum = salted(salt, &out[HEADER..]);
        out.resize((HEADER as u64 + self.length).next_multiple_of(BLOCK) as usize, 0);
        out[..4].copy_from_slice(&FRAME_MAGIC);
        out[8..12].copy_from_slice(&self.body_sum.to_le_bytes());
        out[12..16].copy_from_slice(&if self.closes { CLOSES } else { 0 }.to_le_bytes());
        let fields = [self.length, self.number, self.offset, self.last.0, self.reserved.0, self.changes];
        for (place, field) in out[16..HEADER].chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        let sum = salted(salt, &out[8..HEADER]);
        out[4..8].copy_from_slice(&sum.to_le_bytes());
    }

    /// Reads the header at an offset of a segment; `None` when there is none that was written to this place.
    pub(super) fn decode(salt: u64, offset: u64, bytes: &[u8]) -> Option<Self> {
        let head = bytes.get(..HEADER)?;
        let small = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if head[..4] != FRAME_MAGIC || salted(salt, &head[8..]) != small(4) || number(head, 32) != offset {
            return None;
        }
        Some(Self {
            number: number(head, 24),
            offset,
            last: Revision(number(head, 40)),
            reserved: Revision(number(head, 48)),
            changes: number(head, 56),
            closes: small(12) & CLOSES != 0,
            length: number(head, 16),
            body_sum: small(8),
        })
    }

    /// The body, when it is as it was written. `bytes` starts with the header.
    pub(super) fn body<'a>(&self, salt: u64, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let end = HEADER.checked_add(usize::try_from(self.length).ok()?)?;
        let body = bytes.get(HEADER..end)?;
        (salted(salt, body) == self.body_sum).then_some(body)
    }

    /// Where the next frame is.
    pub(super) fn end(&self) -> u64 {
        self.offset + (HEADER as u64 + self.length).next_multiple_of(BLOCK)
    }
}

/// The blocks' bytes that a frame of these changes needs.
pub(super) fn span(changes: &[&Staged]) -> u64 {
    let bytes: usize = changes.iter().map(|change| CHANGE + change.bytes()).sum();
    ((HEADER + bytes) as u64).next_multiple_of(BLOCK)
}

/// Takes a body apart; `None` when it is not a row of changes.
pub(super) fn changes(mut body: &[u8]) -> Option<Vec<(RawKey, Option<Bytes>, Revision)>> {
    let mut found = Vec::new();
    while !body.is_empty() {
        let (head, rest) = body.split_first_chunk::<CHANGE>()?;
        let (key, rest) = rest.split_at_checked(usize::try_from(number(head, 8)).ok()?)?;
        let length = number(head, 16);
        let present = length != DELETED;
        let (value, rest) = rest.split_at_checked(if present { usize::try_from(length).ok()? } else { 0 })?;
        let value = present.then(|| Bytes::copy_from_slice(value));
        found.push((Bytes::copy_from_slice(key), value, Revision(number(head, 0))));
        body = rest;
    }
    Some(found)
}

fn salted(salt: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn staged(value: Option<&'static str>, revision: u64) -> Staged {
        Staged { key: Bytes::from_static(b"/a//b"), value: value.map(Bytes::from), revision: Revision(revision) }
    }

    #[test]
    fn a_frame_reads_back_and_a_changed_bit_is_noticed() {
        let (put, delete) = (staged(Some("v"), 7), staged(None, 8));
        let head = FrameHead::new(3, BLOCK, Revision(8), Revision(20));
        let mut bytes = Vec::new();
        head.encode(9, &[&put, &delete], &mut bytes);
        assert_eq!(bytes.len() as u64, span(&[&put, &delete]));
        let read = |bytes: &[u8]| {
            let head = FrameHead::decode(9, BLOCK, bytes)?;
            Some((head.number, head.last, head.reserved, head.changes, changes(head.body(9, bytes)?)?))
        };
        let expected = vec![(put.key, put.value, put.revision), (delete.key, None, delete.revision)];
        assert_eq!(read(&bytes), Some((3, Revision(8), Revision(20), 2, expected)));
        let used = HEADER + 2 * (CHANGE + 5) + 1;
        for bit in 0..used * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&bytes), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(FrameHead::decode(10, BLOCK, &bytes), None, "another salt");
        assert_eq!(FrameHead::decode(9, 2 * BLOCK, &bytes), None, "another place");
    }

    #[test]
    fn a_segment_header_reads_back() {
        let head = SegmentHead::fresh(5);
        let mut block = head.encode();
        assert_eq!(SegmentHead::decode(&block), Some(head));
        block[20] ^= 1;
        assert_eq!(SegmentHead::decode(&block), None);
    }
}
