//! The recent changes of one resource: a pure, bounded log that watchers are cursors into.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use orc_core::{ObjectKey, Revision};

use tokio::time::Instant;

use crate::stored::Stored;

/// One change with the states around it.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) revision: Revision,
    pub(crate) before: Option<Arc<Stored>>,
    pub(crate) after: Option<Arc<Stored>>,
}

impl Change {
    /// The object that changed.
    pub(crate) fn key(&self) -> &ObjectKey {
        let either = self.after.as_ref().or(self.before.as_ref());
        &either.expect("a change has a state before or after it").key
    }

    fn weight(&self) -> usize {
        const OVERHEAD: usize = 512;
        self.after.as_ref().or(self.before.as_ref()).map_or(0, |stored| stored.body.len()) + OVERHEAD
    }
}

/// Changes in order, numbered without gaps from `first`.
#[derive(Debug)]
pub(crate) struct History {
    changes: VecDeque<Arc<Change>>,
    first: u64,
    floor: Revision,
    bytes: usize,
    max_changes: usize,
    max_bytes: usize,
    /// Moments, each with the number that the next change had: a few, so that changes need not carry their time.
    moments: VecDeque<(Instant, u64)>,
}

/// Moments kept for one age.
const MOMENTS: u32 = 16;

impl History {
    pub(crate) fn new(floor: Revision, max_changes: usize, max_bytes: usize) -> Self {
        Self { changes: VecDeque::new(), first: 0, floor, bytes: 0, max_changes, max_bytes, moments: VecDeque::new() }
    }

    /// Appends a change and returns its number.
    pub(crate) fn push(&mut self, change: Arc<Change>) -> u64 {
        let number = self.end();
        self.bytes += change.weight();
        self.changes.push_back(change);
        while self.changes.len() > self.max_changes || self.bytes > self.max_bytes {
            self.forget_first();
        }
        number
    }

    fn forget_first(&mut self) {
        let Some(old) = self.changes.pop_front() else { return };
        self.first += 1;
        self.bytes -= old.weight();
        self.floor = old.revision;
    }

    /// Forgets changes that are older than `age`, give or take a sixteenth of it. To be called now and then.
    pub(crate) fn forget_older(&mut self, age: Duration, now: Instant) {
        if self.moments.back().is_none_or(|(last, _)| now - *last >= age / MOMENTS) {
            self.moments.push_back((now, self.end()));
        }
        while self.moments.front().is_some_and(|(moment, _)| now - *moment >= age) {
            let Some((_, number)) = self.moments.pop_front() else { break };
            while self.first < number && !self.changes.is_empty() {
                self.forget_first();
            }
        }
    }

    /// Forgets everything: nobody can resume below `floor`.
    pub(crate) fn reset(&mut self, floor: Revision) {
        // One number is skipped, so that a cursor that had read everything is behind as well.
        self.first = self.end() + 1;
        self.changes.clear();
        self.bytes = 0;
        self.floor = floor;
    }

    /// The oldest revision from which a watch can start.
    pub(crate) fn floor(&self) -> Revision {
        self.floor
    }

    /// The number of the oldest kept change.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The number that the next change gets.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.changes.len() as u64
    }

    /// The number of the first change after a revision.
    pub(crate) fn number_after(&self, revision: Revision) -> u64 {
        self.first + self.changes.partition_point(|change| change.revision <= revision) as u64
    }

    /// A change by its number.
    pub(crate) fn get(&self, number: u64) -> Option<&Arc<Change>> {
        self.changes.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The changes after a revision, newest first.
    pub(crate) fn newest_down_to(&self, revision: Revision) -> impl Iterator<Item = &Arc<Change>> {
        self.changes.iter().rev().take_while(move |change| change.revision > revision)
    }
}

#[cfg(test)]
mod tests {
    use orc_core::{Head, ResourceId};

    use super::*;

    fn change(revision: u64) -> Arc<Change> {
        let key = ObjectKey::cluster(ResourceId::new("", "nodes"), "n");
        let stored = Arc::new(Stored::new(key, Revision(revision), Head::default(), bytes::Bytes::new()));
        Arc::new(Change { revision: Revision(revision), before: None, after: Some(stored) })
    }

    #[test]
    fn what_is_older_than_the_age_is_forgotten() {
        let (mut history, start, age) =
            (History::new(Revision(0), 1000, usize::MAX), Instant::now(), Duration::from_secs(160));
        for second in 0..1000 {
            history.push(change(second + 1));
            history.forget_older(age, start + Duration::from_secs(second));
            let kept = second + 1 - history.floor().0;
            assert!(kept <= 160 + 11, "{kept} changes at second {second}");
            assert!(second < 160 || kept >= 160 - 1, "{kept} changes at second {second}");
        }
        // A quiet resource forgets as well, and its floor stays at its last change.
        history.forget_older(age, start + Duration::from_secs(1100));
        history.forget_older(age, start + Duration::from_secs(1300));
        assert_eq!((history.floor(), history.first()), (Revision(1000), history.end()));
    }
}
