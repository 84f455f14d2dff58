//! One file of the fake disk.

use std::io::{self, ErrorKind};

use orc_core::env::Rng;

use super::image::Image;
use super::{DiskOp, Failed, FakeDisk, may_happen};
use crate::backend::disk::DiskFile;

/// What a crash keeps or loses as a whole.
const SECTOR: u64 = 512;

/// A file's content as it is read, as it is synced, and what lies between.
#[derive(Default, Debug)]
pub(super) struct Inode {
    written: Image,
    durable: Image,
    unsynced: Vec<FileOp>,
}

#[derive(Clone, Debug)]
enum FileOp {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

impl FileOp {
    fn apply(&self, image: &mut Image) {
        match self {
            Self::Write(at, data) => image.write(*at, data),
            Self::SetLen(length) => image.set_len(*length),
        }
    }
}

impl Inode {
    pub(super) fn holding(content: &[u8]) -> Self {
        let mut image = Image::default();
        image.write(0, content);
        Self { written: image.clone(), durable: image, unsynced: Vec::new() }
    }

    pub(super) fn length(&self) -> u64 {
        self.written.length()
    }

    pub(super) fn content(&self) -> Vec<u8> {
        let mut content = vec![0; usize::try_from(self.written.length()).unwrap_or(usize::MAX)];
        self.written.read(0, &mut content);
        content
    }

    /// The file after a crash. Lengths are kept in the file system's journal, in order; sectors are kept or lost each by
    /// itself.
    pub(super) fn crashed(&self, rng: &Rng) -> Self {
        let mut image = self.durable.clone();
        for op in &self.unsynced {
            match op {
                FileOp::SetLen(length) => image.set_len(*length),
                FileOp::Write(at, data) => keep_some_sectors(&mut image, *at, data, rng),
            }
        }
        Self { written: image.clone(), durable: image, unsynced: Vec::new() }
    }

    fn change(&mut self, op: FileOp) {
        op.apply(&mut self.written);
        self.unsynced.push(op);
    }
}

fn keep_some_sectors(image: &mut Image, at: u64, data: &[u8], rng: &Rng) {
    // Often all or nothing, so that whole writes are lost out of order too.
    let whole = rng.below(4);
    let mut done = 0;
    while done < data.len() {
        let here = at + done as u64;
        let part = usize::try_from(SECTOR - here % SECTOR).unwrap_or(1).min(data.len() - done);
        let kept = match whole {
            0 => true,
            1 => false,
            _ => rng.below(2) == 0,
        };
        if kept {
            image.write(here, &data[done..done + part]);
        }
        done += part;
    }
}

/// An open file of the fake disk.
#[derive(Debug)]
pub(super) struct FakeFile {
    pub(super) disk: FakeDisk,
    pub(super) inode: usize,
}

impl DiskFile for FakeFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().inodes[self.inode].length())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.disk.0.lock();
        let whole = state.inodes[self.inode].written.read(offset, out);
        if whole { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let spent = state.spend(DiskOp::Write);
        let end = offset + data.len() as u64;
        state.grow(end.saturating_sub(state.inodes[self.inode].length()))?;
        if may_happen(&spent) {
            state.inodes[self.inode].change(FileOp::Write(offset, data.to_vec()));
        }
        Ok(spent?)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let spent = state.spend(DiskOp::SetLen);
        state.grow(length.saturating_sub(state.inodes[self.inode].length()))?;
        if may_happen(&spent) {
            state.inodes[self.inode].change(FileOp::SetLen(length));
        }
        Ok(spent?)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let synced = state.spend(DiskOp::Sync);
        if state.lies || matches!(synced, Err(Failed::Power { .. })) {
            return Ok(synced?);
        }
        let inode = &mut state.inodes[self.inode];
        if synced.is_err() {
            // Pages that failed count as clean from now on: they read back, and no later sync writes them.
            let lost = std::mem::take(&mut inode.unsynced);
            for op in lost.iter().filter(|op| matches!(op, FileOp::SetLen(_))) {
                op.apply(&mut inode.durable);
            }
            return Ok(synced?);
        }
        for op in std::mem::take(&mut inode.unsynced) {
            op.apply(&mut inode.durable);
        }
        Ok(())
    }
}
