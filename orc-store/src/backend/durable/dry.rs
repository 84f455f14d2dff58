//! A file that is read and never written: changes stay in memory.
//!
//! Opening a database may repair it, and repairing a damaged one destroys evidence. So a file is first opened and read in
//! full through this; only a file that passes every check is opened for writing.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

use super::disk::DiskFile;

const BLOCK: u64 = 4096;

/// A view of a file with its changes in memory.
#[derive(Debug)]
pub(super) struct DryFile {
    file: Arc<dyn DiskFile>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    length: u64,
    /// The part of the file that still counts: shrinking and growing again leaves zeros.
    kept: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl DryFile {
    pub(super) fn new(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let length = file.size()?;
        Ok(Self { file, state: Mutex::new(State { length, kept: length, blocks: BTreeMap::new() }) })
    }

    /// A block as it is now.
    fn block(&self, state: &State, number: u64) -> io::Result<Vec<u8>> {
        if let Some(block) = state.blocks.get(&number) {
            return Ok(block.clone());
        }
        let mut block = vec![0; BLOCK as usize];
        let start = number * BLOCK;
        let here = state.kept.saturating_sub(start).min(BLOCK) as usize;
        self.file.read_at(start, &mut block[..here])?;
        Ok(block)
    }
}

/// The blocks that a range touches, with the part of each and of the range: (block, offset in block, offset in range, length).
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        (done < length).then(|| {
            let at = offset + done as u64;
            let inside = (at % BLOCK) as usize;
            let part = (BLOCK as usize - inside).min(length - done);
            done += part;
            (at / BLOCK, inside, done - part, part)
        })
    })
}

impl StorageBackend for DryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state.lock().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state.lock();
        if offset + out.len() as u64 > state.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if state.blocks.is_empty() && offset + out.len() as u64 <= state.kept {
            return self.file.read_at(offset, out);
        }
        for (number, inside, at, length) in parts(offset, out.len()) {
            out[at..at + length].copy_from_slice(&self.block(&state, number)?[inside..inside + length]);
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        if length < state.length {
            state.blocks.retain(|number, _| number * BLOCK < length);
            if !length.is_multiple_of(BLOCK) {
                let mut last = self.block(&state, length / BLOCK)?;
                last[(length % BLOCK) as usize..].fill(0);
                state.blocks.insert(length / BLOCK, last);
            }
        }
        state.kept = state.kept.min(length);
        state.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        for (number, inside, at, length) in parts(offset, data.len()) {
            let mut block = self.block(&state, number)?;
            block[inside..inside + length].copy_from_slice(&data[at..at + length]);
            state.blocks.insert(number, block);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backend::disk::{Disk, OpenMode};
    use crate::testing::FakeDisk;

    proptest! {
        #[test]
        fn it_reads_like_a_file_and_leaves_the_file_alone(ops in proptest::collection::vec((0u64..20_000, 0usize..9_000, any::<u8>(), any::<bool>()), 1..12)) {
            let disk = FakeDisk::new();
            let original: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
            disk.put("a", &original);
            let dry = DryFile::new(disk.open("a", OpenMode::Existing).unwrap()).unwrap();
            let mut model = original.clone();
            for (at, length, byte, resize) in ops {
                if resize {
                    dry.set_len(at).unwrap();
                    model.resize(at as usize, 0);
                } else if at as usize + length <= model.len() {
                    dry.write(at, &vec![byte; length]).unwrap();
                    model[at as usize..at as usize + length].fill(byte);
                }
                let mut all = vec![0; dry.len().unwrap() as usize];
                dry.read(0, &mut all).unwrap();
                prop_assert!(all == model);
            }
            prop_assert!(disk.content("a").unwrap() == original);
        }
    }
}
