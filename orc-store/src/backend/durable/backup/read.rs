//! Reading a backup, checking everything.

use std::io::{self, ErrorKind, Read};

use bytes::Bytes;
use orc_core::Revision;

use super::{BackupInfo, END, FORMAT, MAGIC, RECORD, RestoreError, Summing};
use crate::backend::durable::format::crc;
use crate::backend::{RawKey, RawRecord};

/// Bytes taken at once: a length that was damaged must not take all memory.
const PART: u64 = 1 << 20;

/// Reads a backup to its end and says what it holds.
///
/// # Errors
/// [`RestoreError::Backup`] when it is not whole, [`RestoreError::Read`] when it does not read.
pub fn inspect(from: &mut dyn Read) -> Result<BackupInfo, RestoreError> {
    let mut reader = Reader::open(from)?;
    while reader.next()?.is_some() {}
    Ok(reader.info())
}

/// Reads record by record.
pub(super) struct Reader<'a> {
    from: Summing<io::BufReader<&'a mut dyn Read>>,
    pub(super) revision: Revision,
    count: u64,
    sum: u32,
    last: Option<RawKey>,
}

impl<'a> Reader<'a> {
    pub(super) fn open(from: &'a mut dyn Read) -> Result<Self, RestoreError> {
        let mut from = Summing::new(io::BufReader::with_capacity(1 << 20, from));
        let mut magic = [0; MAGIC.len()];
        from.read_exact(&mut magic).map_err(cut)?;
        if magic != MAGIC {
            return Err(RestoreError::Backup("the file is not a backup of orc".to_owned()));
        }
        let mut reader = Self { from, revision: Revision::ZERO, count: 0, sum: 0, last: None };
        let format = reader.number()?;
        if format != FORMAT {
            let what = format!("the backup has the format {format}, this orc reads {FORMAT}");
            return Err(RestoreError::Backup(what));
        }
        reader.revision = Revision(reader.number()?);
        Ok(reader)
    }

    /// The next record; `None` once the end was read and everything fits.
    pub(super) fn next(&mut self) -> Result<Option<RawRecord>, RestoreError> {
        let mut tag = [0];
        self.from.read_exact(&mut tag).map_err(cut)?;
        match tag[0] {
            RECORD => self.record().map(Some),
            END => self.end().map(|()| None),
            _ => Err(self.damaged()),
        }
    }

    fn record(&mut self) -> Result<RawRecord, RestoreError> {
        let revision = Revision(self.number()?);
        let lengths = (self.number()?, self.number()?);
        let mut sum = [0; 4];
        self.from.read_exact(&mut sum).map_err(cut)?;
        let (key, value) = (self.bytes(lengths.0)?, self.bytes(lengths.1)?);
        let sum = u32::from_le_bytes(sum);
        let ordered = self.last.as_ref().is_none_or(|last| *last < key);
        if crc(&key, revision, &value) != sum || revision > self.revision || !ordered {
            return Err(self.damaged());
        }
        (self.count, self.sum, self.last) = (self.count + 1, self.sum ^ sum, Some(key.clone()));
        Ok(RawRecord { key, value, revision })
    }

    fn end(&mut self) -> Result<(), RestoreError> {
        let (count, sum) = (self.number()?, self.number()?);
        let all = self.from.sum();
        if count != self.count || sum != u64::from(self.sum) || self.number()? != all {
            return Err(self.damaged());
        }
        match self.from.read(&mut [0]).map_err(RestoreError::Read)? {
            0 => Ok(()),
            _ => Err(RestoreError::Backup("the backup goes on behind its end".to_owned())),
        }
    }

    pub(super) fn info(&self) -> BackupInfo {
        BackupInfo { format: FORMAT, revision: self.revision, records: self.count, bytes: self.from.bytes }
    }

    fn damaged(&self) -> RestoreError {
        let (at, count) = (self.from.bytes, self.count);
        RestoreError::Backup(format!("the backup is damaged before byte {at}, behind record {count}"))
    }

    fn number(&mut self) -> Result<u64, RestoreError> {
        let mut bytes = [0; 8];
        self.from.read_exact(&mut bytes).map_err(cut)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn bytes(&mut self, length: u64) -> Result<Bytes, RestoreError> {
        let mut bytes = Vec::with_capacity(usize::try_from(length.min(PART)).unwrap_or(0));
        let read = (&mut self.from).take(length).read_to_end(&mut bytes).map_err(RestoreError::Read)?;
        if read as u64 == length { Ok(bytes.into()) } else { Err(cut(ErrorKind::UnexpectedEof.into())) }
    }
}

fn cut(error: io::Error) -> RestoreError {
    if error.kind() == ErrorKind::UnexpectedEof {
        return RestoreError::Backup("the backup is cut: it has no end".to_owned());
    }
    RestoreError::Read(error)
}
