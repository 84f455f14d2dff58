//! The log's and the base's bytes, as a damaged disk may give them.

use bytes::Bytes;
use orc_core::Revision;

use super::frame::{self, BLOCK, FrameHead, SegmentHead};
use super::{Staged, format};

const SALT: u64 = 9;

/// A segment's head, a frame of two changes, and bodies of frames alone, since sums keep damage from getting further.
pub(crate) fn logs() -> Vec<Vec<u8>> {
    let change = |value: Option<&'static str>| Staged {
        key: Bytes::from_static(b"/a//b"),
        value: value.map(Bytes::from),
        revision: Revision(7),
    };
    let mut bytes = Vec::new();
    FrameHead::new(3, BLOCK, Revision(8), Revision(20)).encode(SALT, &[&change(Some("v")), &change(None)], &mut bytes);
    let mut record = Vec::new();
    format::encode(Revision(7), format::crc(b"k", Revision(7), b"v"), b"v", &mut record);
    let head = SegmentHead { format: 2, number: 5, salt: SALT }.encode();
    vec![head[..64].to_vec(), bytes[..192].to_vec(), bytes[64..130].to_vec(), record]
}

/// Nothing that is read crashes, and what a body holds is no more than its bytes.
pub(crate) fn log(bytes: &[u8]) {
    let _ = SegmentHead::decode(bytes);
    if let Some(head) = FrameHead::decode(SALT, BLOCK, bytes) {
        let _ = head.body(SALT, bytes).map(frame::changes);
    }
    if let Some(changes) = frame::changes(bytes) {
        let held =
            |(key, value, _): &(Bytes, Option<Bytes>, Revision)| key.len() + value.as_ref().map_or(0, Bytes::len);
        assert!(changes.iter().map(held).sum::<usize>() <= bytes.len());
    }
    if let Some((revision, crc, value)) = format::decode(b"k", bytes) {
        let mut again = Vec::new();
        format::encode(revision, crc, &value, &mut again);
        assert_eq!(again, bytes);
    }
    let _ = format::told_crc(bytes);
}
