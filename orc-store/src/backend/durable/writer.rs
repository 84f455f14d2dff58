//! The one thread that writes: groups what waits into one frame of the log with one sync.
//!
//! Of a group, relaxed changes go first: they are checked, shown and acknowledged at once, and stay in `unsynced` until the
//! group's frame, or one that only they make, carries them. Nobody waits for an order among changes that are made at the
//! same time, so this reorders nothing that anyone could have seen. Durable changes are shown after the sync.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use orc_core::Revision;

use super::Staged;
use super::base::Mark;
use super::fold::Tail;
use super::log::{AppendError, Log};
use super::queue::{Queue, Waiting, Work};
use super::view::{Failure, View};
use super::words;
use crate::backend::memory::check;
use crate::backend::{BackendError, Durability, RawChange, RawKey};

/// Revisions reserved ahead: a crash skips at most so many.
const BLOCK: u64 = 4096;
/// Bytes of unsynced relaxed changes after which they no longer wait.
const UNSYNCED_BYTES: usize = 8 << 20;
/// Bytes after which a group's rest waits for the next frame: the first of a group should not wait for much more than a sync.
const GROUP_BYTES: usize = 4 << 20;

/// The writer's state.
pub(super) struct Writer {
    pub(super) log: Log,
    pub(super) queue: Arc<Queue>,
    pub(super) view: Arc<View>,
    pub(super) tail: Arc<Tail>,
    pub(super) flush_every: Duration,
    pub(super) last: Revision,
    /// The highest revision that relaxed changes may have, as the log says durably.
    pub(super) reserved: Revision,
    /// Whether there was a relaxed change. Without, no revision is seen before it is durable, and none need be reserved.
    pub(super) relaxing: bool,
    pub(super) unsynced: Unsynced,
}

/// Relaxed changes that are shown and not in the log yet.
#[derive(Default)]
pub(super) struct Unsynced {
    changes: Vec<Staged>,
    bytes: usize,
    due: Option<Instant>,
}

impl Writer {
    /// Works until the queue is closed, then leaves everything in the log.
    pub(super) fn run(&mut self) {
        loop {
            match self.queue.take(self.unsynced.due) {
                Work::Changes(waiting) => self.parts(waiting),
                Work::Due => self.sync_relaxed(),
                Work::Closed => break,
            }
        }
        self.sync_relaxed();
        let clean = self.unsynced.changes.is_empty() && self.view.failed().is_none();
        self.tail.end(clean.then_some(self.last));
    }

    /// Takes what waits in parts of a bearable size.
    fn parts(&mut self, mut waiting: VecDeque<Waiting>) {
        while !waiting.is_empty() {
            let mut bytes = 0;
            let fits = waiting.iter().take_while(|one| {
                let before = bytes;
                bytes += one.change.key.len() + one.change.value.as_ref().map_or(0, bytes::Bytes::len);
                before < GROUP_BYTES
            });
            let rest = waiting.split_off(fits.count());
            let part = std::mem::replace(&mut waiting, rest);
            let count = part.len();
            self.group(part);
            self.queue.done(count);
        }
    }

    fn group(&mut self, waiting: VecDeque<Waiting>) {
        if let Err(why) = self.ready() {
            for one in waiting {
                // Whoever gave up waiting has dropped the other end.
                let _ = one.reply.send(Err(BackendError::ReadOnly(why.clone())));
            }
            return;
        }
        let (relaxed, durable): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|waiting| waiting.change.durability == Durability::Relaxed);
        self.relaxed(relaxed);
        if !durable.is_empty() {
            self.durable(durable);
        } else if self.unsynced.bytes > UNSYNCED_BYTES {
            self.sync_relaxed();
        }
    }

    /// Whether writes are taken now. When the disk was full, an empty frame tries again.
    fn ready(&mut self) -> Result<(), String> {
        match self.view.failure() {
            Some(Failure { why, lasting: true }) => Err(why),
            Some(_) => self.sync(Vec::new()).map(drop),
            None => self.room(),
        }
    }

    fn room(&self) -> Result<(), String> {
        self.tail.wait_for_room(&self.view).map_err(|failure| {
            self.view.refuse(failure.clone());
            failure.why
        })
    }

    fn relaxed(&mut self, waiting: Vec<Waiting>) {
        for Waiting { change, reply } in waiting {
            self.relaxing = true;
            let answer = self.reserve().map_err(BackendError::ReadOnly).and_then(|()| self.relax(change));
            let _ = reply.send(answer);
        }
    }

    fn relax(&mut self, change: RawChange) -> Result<Revision, BackendError> {
        let view = self.view.clone();
        let staged = view.with(|revision| self.stage(change, &BTreeMap::new(), revision))?;
        let revision = staged.revision;
        self.view.show(std::slice::from_ref(&staged));
        self.unsynced.bytes += staged.bytes();
        self.unsynced.due.get_or_insert_with(|| Instant::now() + self.flush_every);
        self.unsynced.changes.push(staged);
        Ok(revision)
    }

    fn durable(&mut self, waiting: Vec<Waiting>) {
        let before = self.last;
        let mut now: BTreeMap<RawKey, Option<Revision>> = BTreeMap::new();
        let (mut staged, mut replies) = (Vec::with_capacity(waiting.len()), Vec::with_capacity(waiting.len()));
        let mut refusals = Vec::new();
        let view = self.view.clone();
        view.with(|revision| {
            for Waiting { change, reply } in waiting {
                let touched = now.contains_key(&change.key);
                match self.stage(change, &now, revision) {
                    Ok(one) => {
                        now.insert(one.key.clone(), one.value.as_ref().map(|_| one.revision));
                        replies.push((one.revision, reply));
                        staged.push(one);
                    }
                    // Refused for what this group changes: not to be told before that is durable and visible.
                    Err(error) if touched => refusals.push((error, reply)),
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
        });
        if staged.is_empty() {
            return;
        }
        match self.sync(staged) {
            Ok(()) => {
                for (revision, reply) in replies {
                    let _ = reply.send(Ok(revision));
                }
                for (error, reply) in refusals {
                    let _ = reply.send(Err(error));
                }
            }
            Err(error) => {
                // Nobody has seen the revisions; when the log goes on, it goes on from here.
                self.last = before;
                let refused = refusals.into_iter().map(|(_, reply)| reply);
                for reply in replies.into_iter().map(|(_, reply)| reply).chain(refused) {
                    let _ = reply.send(Err(BackendError::ReadOnly(error.clone())));
                }
            }
        }
    }

    /// Checks a change and gives it a revision. `now` holds what this group changed before.
    fn stage(
        &mut self,
        change: RawChange,
        now: &BTreeMap<RawKey, Option<Revision>>,
        revision: &dyn Fn(&RawKey) -> Option<Revision>,
    ) -> Result<Staged, BackendError> {
        let present = now.get(&change.key).copied().unwrap_or_else(|| revision(&change.key));
        check(change.expect, present, change.value.is_none())?;
        self.last = self.last.next();
        Ok(Staged { key: change.key, value: change.value, revision: self.last })
    }

    fn sync_relaxed(&mut self) {
        if !self.unsynced.changes.is_empty() && self.sync(Vec::new()).is_err() {
            // A failure is kept in the view and told to every later commit; one that may pass is tried again.
            let lasts = self.view.failed().is_some();
            self.unsynced.due = (!lasts).then(|| Instant::now() + self.flush_every);
        }
    }

    /// Makes the log promise that the next revision may be in use.
    fn reserve(&mut self) -> Result<(), String> {
        if self.last < self.reserved { Ok(()) } else { self.sync(Vec::new()) }
    }

    /// Writes the unsynced changes and these as one frame, waits for the disk, and shows these.
    fn sync(&mut self, staged: Vec<Staged>) -> Result<(), String> {
        if let Some(why) = self.view.failed() {
            return Err(why);
        }
        self.room()?;
        let reserved = self.to_reserve();
        let all: Vec<&Staged> = self.unsynced.changes.iter().chain(&staged).collect();
        if let Err(error) = self.log.append(&all, self.last, reserved) {
            let failure = match error {
                AppendError::Full(error) => Failure { why: words::full(error), lasting: false },
                AppendError::Failed(error) => Failure { why: words::failed(error), lasting: true },
            };
            self.view.refuse(failure.clone());
            return Err(failure.why);
        }
        self.view.accept();
        self.reserved = reserved;
        self.view.show(&staged);
        let mut all = std::mem::take(&mut self.unsynced).changes;
        all.extend(staged);
        self.tail.push(all, Mark { revision: self.last, reserved, log: self.log.position() });
        Ok(())
    }

    fn to_reserve(&self) -> Revision {
        if self.relaxing && self.last.0 + BLOCK / 2 > self.reserved.0 {
            Revision(self.last.0 + BLOCK)
        } else {
            self.reserved.max(self.last)
        }
    }
}
