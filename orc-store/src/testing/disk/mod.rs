//! A disk that forgets, tears, fills and fails, to run the durable backend over.
//!
//! It keeps what was written apart from what was synced. A crash keeps the synced part, an arbitrary part of the sectors
//! written since, and the names as they were after some of the operations on them.

mod file;
mod image;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use orc_core::env::Rng;
use parking_lot::Mutex;

use self::file::{FakeFile, Inode};
use crate::backend::disk::{Disk, DiskFile, OpenMode};

/// A disk in memory with faults. Clones are the same disk.
#[derive(Clone, Default, Debug)]
pub struct FakeDisk(Arc<Mutex<State>>);

/// The kinds of operations that change something. Reads never fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskOp {
    /// Bytes are written.
    Write,
    /// A file's length is set.
    SetLen,
    /// A file or the folder is synced.
    Sync,
    /// A file is made, renamed or removed.
    Name,
}

/// An error to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskFault {
    /// Operations (of the kind below) that still succeed.
    pub after: u64,
    /// Only operations of this kind count and fail; `None` for all.
    pub of: Option<DiskOp>,
    /// What the operation answers. A sync that fails loses what it should have synced, as Linux does.
    pub kind: ErrorKind,
    /// Whether all later ones fail as well; otherwise it is one error.
    pub lasting: bool,
}

#[derive(Default, Debug)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    unsynced_names: Vec<NameOp>,
    operations: u64,
    /// Operations until the power fails, and whether it has.
    left: Option<u64>,
    dark: bool,
    fault: Option<DiskFault>,
    capacity: Option<u64>,
    lies: bool,
}

/// Why an operation was not done.
#[derive(Debug)]
enum Failed {
    /// The power failed, in this operation or before it.
    Power { under_way: bool },
    /// The error that the test asked for.
    Fault(io::Error),
}

/// Whether an operation changes something: it was done, or the power failed while it was under way.
fn may_happen(spent: &Result<(), Failed>) -> bool {
    matches!(spent, Ok(()) | Err(Failed::Power { under_way: true }))
}

impl From<Failed> for io::Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Power { .. } => io::Error::other("the power failed"),
            Failed::Fault(error) => error,
        }
    }
}

#[derive(Clone, Debug)]
enum NameOp {
    Make(String, usize),
    Rename(String, String),
    Remove(String),
}

impl NameOp {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Make(name, inode) => drop(names.insert(name.clone(), *inode)),
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            Self::Remove(name) => drop(names.remove(name)),
        }
    }
}

impl FakeDisk {
    /// An empty disk without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Operations that changed something, or tried to, so far.
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// Lets the power fail in the operation after so many further ones: that one may have been done in part (see
    /// [`crashed`](Self::crashed)), and all later ones fail and change nothing.
    pub fn fail_after(&self, operations: u64) {
        let mut state = self.0.lock();
        (state.left, state.dark) = (Some(operations), false);
    }

    /// Sets the error to come, or takes it away.
    pub fn fault(&self, fault: Option<DiskFault>) {
        self.0.lock().fault = fault;
    }

    /// Bounds the sum of the files' lengths in bytes; growing past it answers `StorageFull`. `None` is no bound.
    pub fn capacity(&self, bytes: Option<u64>) {
        self.0.lock().capacity = bytes;
    }

    /// The sum of the files' lengths in bytes.
    pub fn used(&self) -> u64 {
        self.0.lock().used()
    }

    /// Lets syncs succeed without effect. No store survives this; it proves that a test would notice.
    pub fn lie(&self, lies: bool) {
        self.0.lock().lies = lies;
    }

    /// The disk after a crash at this moment, without faults: what was synced, and an arbitrary part of the rest.
    pub fn crashed(&self, rng: &Rng) -> Self {
        let state = self.0.lock();
        let mut names = state.durable_names.clone();
        let kept = rng.below(state.unsynced_names.len() as u64 + 1);
        for op in state.unsynced_names.iter().take(usize::try_from(kept).unwrap_or(usize::MAX)) {
            op.apply(&mut names);
        }
        let inodes = state.inodes.iter().map(|inode| inode.crashed(rng)).collect();
        let after = State { inodes, names: names.clone(), durable_names: names, ..State::default() };
        Self(Arc::new(Mutex::new(after)))
    }

    /// A file's content as it is read now; `None` when there is no such file.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.0.lock();
        state.names.get(name).map(|inode| state.inodes[*inode].content())
    }

    /// Replaces a file's content, durably and past all faults: damage, or a file from elsewhere.
    pub fn put(&self, name: &str, content: &[u8]) {
        let mut state = self.0.lock();
        let inode = state.inodes.len();
        state.inodes.push(Inode::holding(content));
        state.names.insert(name.to_owned(), inode);
        state.durable_names.insert(name.to_owned(), inode);
    }

    /// Turns one bit of a file, counted from its start.
    ///
    /// # Panics
    /// When there is no such file or it is shorter.
    pub fn flip_bit(&self, name: &str, bit: u64) {
        let mut content = self.content(name).unwrap_or_else(|| panic!("there is no file {name}"));
        let byte = usize::try_from(bit / 8).expect("a file in memory");
        content[byte] ^= 1 << (bit % 8);
        self.put(name, &content);
    }
}

impl State {
    /// Counts an operation, and fails it when it is its turn.
    fn spend(&mut self, op: DiskOp) -> Result<(), Failed> {
        self.operations += 1;
        match &mut self.left {
            Some(0) => return Err(Failed::Power { under_way: !std::mem::replace(&mut self.dark, true) }),
            Some(left) => *left -= 1,
            None => {}
        }
        self.meet_fault(op).map_err(Failed::Fault)
    }

    fn meet_fault(&mut self, op: DiskOp) -> io::Result<()> {
        let Some(fault) = &mut self.fault else { return Ok(()) };
        if fault.of.is_some_and(|of| of != op) {
            return Ok(());
        }
        if fault.after > 0 {
            fault.after -= 1;
            return Ok(());
        }
        let kind = fault.kind;
        if !fault.lasting {
            self.fault = None;
        }
        Err(io::Error::new(kind, "a fault of the test"))
    }

    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[*inode].length()).sum()
    }

    /// Refuses growth past the capacity.
    fn grow(&self, by: u64) -> io::Result<()> {
        match self.capacity {
            Some(capacity) if by > 0 && self.used() + by > capacity => Err(ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn name(&mut self, op: NameOp) -> io::Result<()> {
        let spent = self.spend(DiskOp::Name);
        if may_happen(&spent) {
            op.apply(&mut self.names);
            self.unsynced_names.push(op);
        }
        Ok(spent?)
    }
}

impl Disk for FakeDisk {
    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        let inode = match (state.names.get(name), mode) {
            (Some(inode), _) => *inode,
            (None, OpenMode::Existing) => return Err(ErrorKind::NotFound.into()),
            (None, OpenMode::Create) => {
                let inode = state.inodes.len();
                state.inodes.push(Inode::default());
                state.name(NameOp::Make(name.to_owned(), inode))?;
                inode
            }
        };
        drop(state);
        Ok(Arc::new(FakeFile { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        if !state.names.contains_key(from) {
            return Err(ErrorKind::NotFound.into());
        }
        state.name(NameOp::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        if !state.names.contains_key(name) {
            return Err(ErrorKind::NotFound.into());
        }
        state.name(NameOp::Remove(name.to_owned()))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().names.keys().cloned().collect())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        let synced = state.spend(DiskOp::Sync);
        let keeps = state.lies || matches!(synced, Err(Failed::Power { .. }));
        let ops = if keeps { Vec::new() } else { std::mem::take(&mut state.unsynced_names) };
        synced?;
        for op in ops {
            op.apply(&mut state.durable_names);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
