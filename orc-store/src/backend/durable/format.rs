//! The file format: tables, records, and the sums that tell whether a file is whole.
//!
//! Table `objects`: raw key -> revision (8 bytes, little endian), CRC-32 of key, revision and value (4 bytes), value.
//! Table `meta`: `format`, the version of this description; `reserved`, the highest revision that may have been given out;
//! `count` and `sum`, the number of records and the XOR of their CRCs, so that a record that vanished is noticed. Since
//! format 2 also how far it shows the log: `revision`; `segment`, the first segment that is still needed; `first`, the
//! number of that segment's first frame; `frame`, the last frame whose changes are in `objects`.

use bytes::Bytes;
use orc_core::Revision;
use redb::TableDefinition;

/// The version of the format that this code writes, and the newest that it reads.
pub(super) const FORMAT: u64 = 2;

pub(super) const OBJECTS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("objects");
pub(super) const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");

const HEADER: usize = 12;

/// The sum of one record.
pub(super) fn crc(key: &[u8], revision: Revision, value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(&revision.0.to_le_bytes());
    hasher.update(value);
    hasher.finalize()
}

/// A record as it is written.
pub(super) fn encode(revision: Revision, crc: u32, value: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&revision.0.to_le_bytes());
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(value);
}

/// The sum that a record says it has.
pub(super) fn told_crc(record: &[u8]) -> Option<u32> {
    let sum = record.get(8..HEADER)?;
    Some(u32::from_le_bytes(sum.try_into().ok()?))
}

/// Reads a record and checks its sum; `None` when it is not as it was written.
pub(super) fn decode(key: &[u8], record: &[u8]) -> Option<(Revision, u32, Bytes)> {
    let (revision, rest) = record.split_first_chunk::<8>()?;
    let (sum, value) = rest.split_first_chunk::<4>()?;
    let (revision, sum) = (Revision(u64::from_le_bytes(*revision)), u32::from_le_bytes(*sum));
    (crc(key, revision, value) == sum).then(|| (revision, sum, Bytes::copy_from_slice(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_bit_is_noticed() {
        let (key, revision, value) = (b"/pods/d/a".as_slice(), Revision(7), b"{}".as_slice());
        let mut record = Vec::new();
        encode(revision, crc(key, revision, value), value, &mut record);
        assert_eq!(told_crc(&record), Some(crc(key, revision, value)));
        assert_eq!(decode(key, &record).unwrap().2, value);
        assert!(decode(b"/pods/d/b", &record).is_none());
        for at in 0..record.len() * 8 {
            record[at / 8] ^= 1 << (at % 8);
            assert!(decode(key, &record).is_none(), "bit {at}");
            record[at / 8] ^= 1 << (at % 8);
        }
        assert!(decode(key, &record[..5]).is_none());
    }
}
