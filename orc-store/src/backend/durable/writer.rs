//! The one thread that writes: groups what waits into one transaction with one sync.
//!
//! Of a group, relaxed changes go first: they are checked, shown and acknowledged at once, and stay in `unsynced` until the
//! group's transaction, or one that only they make, carries them. Nobody waits for an order among changes that are made at
//! the same time, so this reorders nothing that anyone could have seen. Durable changes are shown after the sync.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use orc_core::Revision;
use redb::Database;

use super::View;
use super::format::{FORMAT, META, OBJECTS, crc, encode};
use super::queue::{Queue, Waiting, Work};
use crate::backend::memory::check;
use crate::backend::{BackendError, Durability, RawChange, RawEvent, RawKey, RawRecord};

/// Revisions reserved ahead: a crash skips at most so many.
const BLOCK: u64 = 4096;
/// Bytes of unsynced relaxed changes after which they no longer wait.
const UNSYNCED_BYTES: usize = 8 << 20;

/// A change that has its revision and is not in the file yet.
struct Staged {
    key: RawKey,
    value: Option<Bytes>,
    revision: Revision,
}

/// The writer's state.
pub(super) struct Writer {
    pub(super) database: Database,
    pub(super) queue: Arc<Queue>,
    pub(super) view: Arc<View>,
    pub(super) flush_every: Duration,
    pub(super) last: Revision,
    /// The highest revision that may be given out, as the file has it.
    pub(super) reserved: Revision,
    /// The XOR of the records' sums, and what each record adds to it.
    pub(super) sum: u32,
    pub(super) sums: BTreeMap<RawKey, u32>,
    pub(super) unsynced: Unsynced,
}

/// Relaxed changes that are shown and not in the file yet.
#[derive(Default)]
pub(super) struct Unsynced {
    changes: Vec<Staged>,
    bytes: usize,
    due: Option<Instant>,
}

impl Writer {
    /// Works until the queue is closed, then leaves the file as a clean stop does.
    pub(super) fn run(mut self) {
        loop {
            match self.queue.take(self.unsynced.due) {
                Work::Changes(waiting) => self.group(waiting),
                Work::Due => self.sync_relaxed(),
                Work::Closed => break,
            }
        }
        self.sync_relaxed();
        if self.view.failure.get().is_none() {
            // Nothing above `last` was given out, so the next start goes on right behind it.
            self.reserved = self.last;
            if let Err(error) = self.write(&[], self.last) {
                tracing::error!(error, "the store's last write failed");
            }
        }
    }

    fn group(&mut self, waiting: VecDeque<Waiting>) {
        let (relaxed, durable): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|waiting| waiting.change.durability == Durability::Relaxed);
        self.relaxed(relaxed);
        if !durable.is_empty() {
            self.durable(durable);
        } else if self.unsynced.bytes > UNSYNCED_BYTES {
            self.sync_relaxed();
        }
    }

    fn relaxed(&mut self, waiting: Vec<Waiting>) {
        for Waiting { change, reply, .. } in waiting {
            if self.last >= self.reserved {
                self.sync_relaxed();
                self.reserve();
            }
            let done = self.stage(change, &BTreeMap::new()).inspect(|staged| self.show([staged]));
            let answer = match done {
                Ok(staged) => {
                    let revision = staged.revision;
                    self.unsynced.bytes += staged.key.len() + staged.value.as_ref().map_or(0, Bytes::len);
                    self.unsynced.due.get_or_insert_with(|| Instant::now() + self.flush_every);
                    self.unsynced.changes.push(staged);
                    Ok(revision)
                }
                Err(error) => Err(error),
            };
            // Whoever gave up waiting has dropped the other end.
            let _ = reply.send(answer);
        }
    }

    fn durable(&mut self, waiting: Vec<Waiting>) {
        let mut now: BTreeMap<RawKey, Option<Revision>> = BTreeMap::new();
        let (mut staged, mut replies) = (Vec::new(), Vec::new());
        for Waiting { change, reply, .. } in waiting {
            match self.stage(change, &now) {
                Ok(one) => {
                    now.insert(one.key.clone(), one.value.as_ref().map(|_| one.revision));
                    staged.push(one);
                    replies.push(reply);
                }
                Err(error) => drop(reply.send(Err(error))),
            }
        }
        if staged.is_empty() {
            return;
        }
        match self.sync(&staged) {
            Ok(()) => {
                self.show(&staged);
                for (one, reply) in staged.iter().zip(replies) {
                    let _ = reply.send(Ok(one.revision));
                }
            }
            Err(error) => {
                for reply in replies {
                    let _ = reply.send(Err(BackendError::ReadOnly(error.clone())));
                }
            }
        }
    }

    /// Checks a change and gives it a revision. `now` holds what this group changed before.
    fn stage(&mut self, change: RawChange, now: &BTreeMap<RawKey, Option<Revision>>) -> Result<Staged, BackendError> {
        if let Some(why) = self.view.failure.get() {
            return Err(BackendError::ReadOnly(why.clone()));
        }
        let present = now.get(&change.key).copied().unwrap_or_else(|| self.view.revision(&change.key));
        check(change.expect, present, change.value.is_none())?;
        self.last = self.last.next();
        Ok(Staged { key: change.key, value: change.value, revision: self.last })
    }

    /// Makes changes visible.
    fn show<'a>(&self, staged: impl IntoIterator<Item = &'a Staged>) {
        let event = |staged: &Staged| {
            let (key, revision) = (staged.key.clone(), staged.revision);
            match staged.value.clone() {
                Some(value) => RawEvent::Put(RawRecord { key, value, revision }),
                None => RawEvent::Delete { key, revision },
            }
        };
        self.view.publish(staged.into_iter().map(event).collect());
    }

    fn sync_relaxed(&mut self) {
        if !self.unsynced.changes.is_empty() {
            // A failure is kept in the view and told to every later commit.
            let _ = self.sync(&[]);
        }
    }

    /// Makes the file promise that higher revisions may be in use.
    fn reserve(&mut self) {
        if self.view.failure.get().is_none() && self.last >= self.reserved {
            let _ = self.sync(&[]);
        }
    }

    /// Writes the unsynced changes and these, and waits for the disk.
    fn sync(&mut self, staged: &[Staged]) -> Result<(), String> {
        if let Some(why) = self.view.failure.get() {
            return Err(why.clone());
        }
        let reserved =
            if self.last.0 + BLOCK / 2 > self.reserved.0 { Revision(self.last.0 + BLOCK) } else { self.reserved };
        let unsynced = std::mem::take(&mut self.unsynced);
        let all: Vec<&Staged> = unsynced.changes.iter().chain(staged).collect();
        match self.write(&all, reserved) {
            Ok(()) => {
                self.reserved = reserved;
                Ok(())
            }
            Err(error) => {
                let why =
                    format!("writing failed: {error}; reads go on. Free space or repair the disk, then restart orc");
                tracing::error!(error, "the store refuses writes from now on");
                self.view.failure.get_or_init(|| why.clone());
                Err(why)
            }
        }
    }

    fn write(&mut self, staged: &[&Staged], reserved: Revision) -> Result<(), String> {
        let (mut sum, mut sums) = (self.sum, Vec::with_capacity(staged.len()));
        let mut newest: BTreeMap<&RawKey, u32> = BTreeMap::new();
        for one in staged {
            let before = newest.get(&one.key).or_else(|| self.sums.get(&one.key)).copied().unwrap_or_default();
            let after = one.value.as_ref().map(|value| crc(&one.key, one.revision, value));
            sum ^= before ^ after.unwrap_or_default();
            newest.insert(&one.key, after.unwrap_or_default());
            sums.push(after);
        }
        self.transact(staged, &sums, reserved, sum).map_err(|e| e.to_string())?;
        self.sum = sum;
        for (one, after) in staged.iter().zip(sums) {
            match after {
                Some(after) => self.sums.insert(one.key.clone(), after),
                None => self.sums.remove(&one.key),
            };
        }
        Ok(())
    }

    fn transact(
        &self,
        staged: &[&Staged],
        sums: &[Option<u32>],
        reserved: Revision,
        sum: u32,
    ) -> Result<(), redb::Error> {
        let write = self.database.begin_write()?;
        {
            let mut objects = write.open_table(OBJECTS)?;
            for (one, after) in staged.iter().zip(sums) {
                match (&one.value, after) {
                    (Some(value), Some(after)) => {
                        objects.insert(&*one.key, encode(one.revision, *after, value).as_slice())?;
                    }
                    _ => drop(objects.remove(&*one.key)?),
                }
            }
            let count = redb::ReadableTableMetadata::len(&objects)?;
            let mut meta = write.open_table(META)?;
            for (name, value) in
                [("format", FORMAT), ("reserved", reserved.0), ("count", count), ("sum", u64::from(sum))]
            {
                meta.insert(name, value)?;
            }
        }
        // The default durability of a transaction: the sync is done when this returns.
        write.commit()?;
        Ok(())
    }

    /// Writes the first transaction: the file names its format before anybody is told that it is open.
    pub(super) fn begin(&mut self) -> Result<(), String> {
        self.sync(&[])
    }
}
