//! One file with everything at one revision, and the way back.
//!
//! The format, little endian: `orc-backup\n`, a zero byte, format (8 bytes), revision (8). Then records in key order: `R`,
//! revision, length of the key, length of the value (8 each), CRC-32 as in the base (4), key, value. At the end: `E`, number
//! of records, XOR of their CRCs, CRC-32 of all bytes before (8 each). Nothing in it names the cluster or the folder.
//!
//! A backup that is cut, or of which a bit changed, does not restore.

mod any;
mod read;
mod restore;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::PathBuf;

use bytes::Bytes;
use orc_core::Revision;

pub use self::any::write;
pub use self::read::inspect;
pub use self::restore::{RestoreOptions, restore, restore_on};
use super::format::crc;
use crate::backend::{BackendError, RawKey};

const MAGIC: [u8; 12] = *b"orc-backup\n\0";
const FORMAT: u64 = 1;
const RECORD: u8 = b'R';
const END: u8 = b'E';

/// What a backup holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BackupInfo {
    /// The version of the file format.
    pub format: u64,
    /// The revision that it shows.
    pub revision: Revision,
    /// The number of records.
    pub records: u64,
    /// The length of the file in bytes.
    pub bytes: u64,
}

/// Writes records, in key order, as a backup of a revision.
pub(super) fn write_records<'a>(
    out: &mut dyn Write,
    revision: Revision,
    records: impl Iterator<Item = (&'a RawKey, &'a Bytes, Revision)>,
) -> Result<BackupInfo, BackendError> {
    let wrote = (|| {
        let mut out = Summing::new(io::BufWriter::with_capacity(1 << 20, out));
        let (mut count, mut sum) = (0_u64, 0_u32);
        out.write_all(&MAGIC)?;
        out.write_all(&numbers(&[FORMAT, revision.0]))?;
        for (key, value, at) in records {
            let one = crc(key, at, value);
            out.write_all(&[RECORD])?;
            out.write_all(&numbers(&[at.0, key.len() as u64, value.len() as u64]))?;
            out.write_all(&one.to_le_bytes())?;
            out.write_all(key)?;
            out.write_all(value)?;
            (count, sum) = (count + 1, sum ^ one);
        }
        out.write_all(&[END])?;
        out.write_all(&numbers(&[count, u64::from(sum)]))?;
        let all = out.sum();
        out.write_all(&numbers(&[all]))?;
        out.flush()?;
        Ok(BackupInfo { format: FORMAT, revision, records: count, bytes: out.bytes })
    })();
    wrote.map_err(|e: io::Error| BackendError::Unavailable(format!("the backup could not be written: {e}")))
}

fn numbers(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// Counts and sums what passes through.
struct Summing<T> {
    inner: T,
    hasher: crc32fast::Hasher,
    bytes: u64,
}

impl<T> Summing<T> {
    fn new(inner: T) -> Self {
        Self { inner, hasher: crc32fast::Hasher::new(), bytes: 0 }
    }

    /// The CRC of everything so far.
    fn sum(&self) -> u64 {
        u64::from(self.hasher.clone().finalize())
    }

    fn note(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl<T: Write> Write for Summing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let wrote = self.inner.write(bytes)?;
        self.note(&bytes[..wrote]);
        Ok(wrote)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: io::Read> io::Read for Summing<T> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.note(&out[..read]);
        Ok(read)
    }
}

/// Why a restore was refused.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file is not a whole backup that this version reads.
    #[error("{0}; nothing was restored. Use another backup")]
    Backup(String),
    /// The backup could not be read.
    #[error("the backup cannot be read: {0}")]
    Read(#[source] io::Error),
    /// The folder holds a store.
    #[error("the folder {0} holds a store already; nothing was changed. Restore into a new folder")]
    Used(PathBuf),
    /// The folder could not be written.
    #[error(transparent)]
    Folder(#[from] BackendError),
}
