//! A file that is read and never written: changes stay in memory.
//!
//! Opening a database may repair it, and repairing a damaged one destroys evidence. So a file is first opened and read in
//! full through this; only a file that passes every check is opened for writing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use parking_lot::Mutex;
use redb::StorageBackend;

const BLOCK: u64 = 4096;

/// A view of a file with its changes in memory.
#[derive(Debug)]
pub(super) struct DryFile {
    file: File,
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
    pub(super) fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
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
        self.file.read_exact_at(&mut block[..here], start)?;
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
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_reads_like_a_file_and_leaves_the_file_alone(ops in proptest::collection::vec((0u64..20_000, 0usize..9_000, any::<u8>(), any::<bool>()), 1..12)) {
            let mut file = tempfile::tempfile().unwrap();
            let original: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
            file.write_all(&original).unwrap();
            let dry = DryFile::new(file.try_clone().unwrap()).unwrap();
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
            let mut now = vec![0; original.len()];
            file.read_exact_at(&mut now, 0).unwrap();
            prop_assert!(now == original);
        }
    }
}
