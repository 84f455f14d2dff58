//! Folding: what is durable in the log moves into the base, on a thread of its own, so that the writer never waits for it
//! unless the log is at its bound.

use std::sync::Arc;
use std::time::Duration;

use orc_core::Revision;
use parking_lot::{Condvar, Mutex};

use super::Staged;
use super::base::{Base, FoldError, Latest, Mark};
use super::config::DurableConfig;
use super::log::Shelf;
use super::view::{Failure, View};

/// How long a fold that found the disk full waits before it tries again.
const RETRY: Duration = Duration::from_millis(500);

/// What is in the log and not in the base.
pub(super) struct Tail {
    state: Mutex<State>,
    /// Work for the fold.
    news: Condvar,
    /// Room for the writer.
    room: Condvar,
    fold_bytes: u64,
    fold_changes: u64,
    log_bytes: u64,
}

#[derive(Default)]
struct State {
    waiting: Vec<Vec<Staged>>,
    mark: Option<Mark>,
    bytes: u64,
    changes: u64,
    /// Bytes and changes that a fold is writing.
    folding: (u64, u64),
    /// Why the base cannot take more for now.
    stuck: Option<String>,
    ending: Option<Ending>,
}

/// How the writer ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Everything is in the log, and no higher revision was given out.
    Clean(Revision),
    Failed,
}

impl Tail {
    pub(super) fn new(config: &DurableConfig) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            news: Condvar::new(),
            room: Condvar::new(),
            fold_bytes: config.fold_bytes,
            fold_changes: config.fold_changes,
            // A bound below what starts a fold would be waited at for ever.
            log_bytes: config.log_bytes.max(config.fold_bytes),
        })
    }

    /// Hands synced changes over.
    pub(super) fn push(&self, changes: Vec<Staged>, mark: Mark) {
        let mut state = self.state.lock();
        state.bytes += changes.iter().map(|change| change.bytes() as u64).sum::<u64>();
        state.changes += changes.len() as u64;
        state.waiting.push(changes);
        state.mark = Some(mark);
        if self.due(&state) {
            self.news.notify_one();
        }
    }

    fn due(&self, state: &State) -> bool {
        state.bytes >= self.fold_bytes || state.changes >= self.fold_changes
    }

    fn over(&self, state: &State) -> bool {
        // Both bounds leave as much room behind the start of a fold.
        let changes = self.fold_changes.saturating_mul((self.log_bytes / self.fold_bytes.max(1)).max(1));
        state.bytes + state.folding.0 >= self.log_bytes || state.changes + state.folding.1 >= changes
    }

    /// Waits until the log may grow.
    ///
    /// # Errors
    /// Why it cannot for now, or for good.
    pub(super) fn wait_for_room(&self, view: &View) -> Result<(), Failure> {
        let mut state = self.state.lock();
        while self.over(&state) {
            if let Some(why) = view.failed() {
                return Err(Failure { why, lasting: true });
            }
            if let Some(why) = state.stuck.clone() {
                return Err(Failure { why, lasting: false });
            }
            self.room.wait(&mut state);
        }
        Ok(())
    }

    /// The writer has ended. `clean` is the last revision when everything is in the log.
    pub(super) fn end(&self, clean: Option<Revision>) {
        self.state.lock().ending.get_or_insert(clean.map_or(Ending::Failed, Ending::Clean));
        self.news.notify_all();
    }
}

/// The fold's thread.
pub(super) struct Fold {
    pub(super) base: Base,
    pub(super) tail: Arc<Tail>,
    pub(super) shelf: Arc<Shelf>,
    pub(super) view: Arc<View>,
    /// Taken and not yet written.
    pub(super) latest: Latest,
    /// What the base shows.
    pub(super) shown: Mark,
}

impl Fold {
    /// Folds until the writer ends, then a last time.
    pub(super) fn run(mut self) {
        let _end = Unblock(self.tail.clone(), self.view.clone());
        loop {
            let (mark, ending) = self.take();
            if ending == Some(Ending::Failed) {
                return;
            }
            let done = self.write(mark, ending);
            if ending.is_some() || matches!(done, Err(FoldError::Failed(_))) {
                return;
            }
        }
    }

    /// Waits until there is enough to fold, and takes all of it.
    fn take(&mut self) -> (Mark, Option<Ending>) {
        let tail = self.tail.clone();
        let mut state = tail.state.lock();
        if state.stuck.is_some() {
            if state.ending.is_none() {
                tail.news.wait_for(&mut state, RETRY);
            }
        } else {
            while state.ending.is_none() && !tail.due(&state) {
                tail.news.wait(&mut state);
            }
        }
        let groups = std::mem::take(&mut state.waiting);
        state.folding.0 += std::mem::take(&mut state.bytes);
        state.folding.1 += std::mem::take(&mut state.changes);
        let (mark, ending) = (state.mark.unwrap_or(self.shown), state.ending);
        drop(state);
        for change in groups.into_iter().flatten() {
            self.latest.insert(change.key, (change.value, change.revision));
        }
        (mark, ending)
    }

    fn write(&mut self, mut mark: Mark, ending: Option<Ending>) -> Result<(), FoldError> {
        if let Some(Ending::Clean(last)) = ending {
            // Nothing above `last` was given out, so the next start goes on right behind it.
            (mark.revision, mark.reserved) = (last, last);
        }
        let current = self.latest.is_empty() && mark == self.shown;
        let result = if current { Ok(()) } else { self.base.fold(&self.latest, mark) };
        let result = result.and_then(|()| {
            self.shown = mark;
            self.latest.clear();
            self.shelf.free_below(mark.log.segment).map_err(|e| FoldError::Failed(e.to_string()))
        });
        let mut state = self.tail.state.lock();
        state.stuck = match &result {
            Ok(()) => {
                state.folding = (0, 0);
                None
            }
            Err(FoldError::Full(error)) => Some(super::words::full(error)),
            Err(FoldError::Failed(error)) => {
                self.view.refuse(Failure { why: super::words::failed(error), lasting: true });
                None
            }
        };
        drop(state);
        self.tail.room.notify_all();
        result
    }
}

/// Wakes the writer when the fold ends, however it ends.
struct Unblock(Arc<Tail>, Arc<View>);

impl Drop for Unblock {
    fn drop(&mut self) {
        if self.0.state.lock().ending.is_none() {
            // No effect when the reason is known already.
            let why = super::words::failed("the thread that folds the log has ended");
            self.1.refuse(Failure { why, lasting: true });
        }
        self.0.room.notify_all();
    }
}
