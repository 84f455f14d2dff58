//! What may be found after a restart.

use std::collections::BTreeMap;

use bytes::Bytes;
use orc_core::Revision;

use super::watchers::Resumable;
use crate::backend::{Bounds, Durability, RawChange, RawEvent, RawKey, RawPage, RawRecord};
use crate::testing::history::{Answer, Call, History, Log, revision};
use crate::testing::{Violation, ensure};

const FOUND: &str = "after a restart everything acknowledged as durable is there, and what is there was asked for";
const REUSED: &str = "no revision is used twice, not even one that a crash took";
const FORGOT: &str = "whoever saw a change that a crash took is told so";
const CLEAN: &str = "a clean stop keeps everything, and goes on where it was";

type State = BTreeMap<RawKey, (Bytes, Revision)>;

/// What is known of the lives before.
#[derive(Default)]
pub(super) struct Past {
    /// The state that is durable for certain.
    state: State,
    /// Visible changes that a crash may take, the later ones first.
    tail: Vec<RawEvent>,
    /// Changes whose callers were not told.
    open: Vec<RawChange>,
    /// The greatest revision that anybody saw.
    seen: Revision,
    /// Whether the last life ended by a clean stop.
    stopped: bool,
    /// The watches that were open, to be resumed.
    pub(super) watchers: Vec<Resumable>,
}

/// What a restart found.
pub(super) struct Found {
    pub(super) start: Revision,
    pub(super) records: Vec<RawRecord>,
    /// Visible changes that are gone.
    pub(super) lost: usize,
    /// Whether a change is there whose caller was not told.
    pub(super) unanswered: bool,
}

impl Past {
    /// Notes how a life ended.
    pub(super) fn lived(&mut self, log: &Log, history: &History, stopped: bool) {
        let durable = durable_until(history).max(log.start());
        for event in log.events().iter().take_while(|event| stopped || revision(event) <= durable) {
            apply(&mut self.state, event);
        }
        self.tail = if stopped { Vec::new() } else { log.after(durable).to_vec() };
        let open = history.operations.iter().filter_map(|operation| match (&operation.call, &operation.answer) {
            (Call::Commit(change), Answer::Unknown(_)) => Some(change.clone()),
            _ => None,
        });
        self.open = open.collect();
        self.seen = self.seen.max(log.last()).max(told(history));
        self.stopped = stopped;
    }

    /// Judges what a restart found, and takes it for certain from now on.
    pub(super) fn restart(&mut self, page: &RawPage, bounds: Bounds) -> Result<Found, Violation> {
        ensure!(page.at >= self.seen, REUSED, "it goes on at {}, {} was seen", page.at, self.seen);
        let found: State =
            page.records.iter().map(|one| (one.key.clone(), (one.value.clone(), one.revision))).collect();
        let kept = self.kept(&found)?;
        let unanswered = kept > self.tail.len();
        let lost = self.tail.len() - kept.min(self.tail.len());
        let told = lost == 0 || bounds.compacted > self.seen;
        ensure!(told, FORGOT, "{lost} changes up to {} are gone, the floor is {}", self.seen, bounds.compacted);
        if self.stopped {
            let same = page.at == self.seen || self.seen == Revision::ZERO;
            ensure!(same, CLEAN, "it stopped at {} and goes on at {}", self.seen, page.at);
        }
        self.seen = self.seen.max(page.at);
        self.state = found;
        self.tail.clear();
        self.open.clear();
        Ok(Found { start: page.at, records: page.records.clone(), lost, unanswered })
    }

    /// How many changes of the tail are there: a crash takes the later ones, never one from the middle. One more than there
    /// are is all of them and one whose caller was not told.
    fn kept(&self, found: &State) -> Result<usize, Violation> {
        let mut state = self.state.clone();
        let mut wrong = different(&state, found);
        let mut nearest = (wrong, self.describe(&state, found));
        for kept in 0..=self.tail.len() {
            if wrong == 0 {
                return Ok(kept);
            }
            if wrong < nearest.0 {
                nearest = (wrong, self.describe(&state, found));
            }
            let Some(next) = self.tail.get(kept) else { break };
            let key = key_of(next);
            wrong -= usize::from(state.get(key) != found.get(key));
            apply(&mut state, next);
            wrong += usize::from(state.get(key) != found.get(key));
        }
        // All of it, and a change whose caller was not told.
        let newest = self.tail.last().map_or(Revision::ZERO, revision).max(self.seen);
        let by_open = |change: &&RawChange| match (found.get(&change.key), &change.value) {
            (Some((value, at)), Some(asked)) => value == asked && *at > newest,
            (None, None) => state.contains_key(&change.key),
            _ => false,
        };
        let one_off = wrong == 1 && self.open.iter().filter(by_open).count() > 0;
        let fits =
            one_off && self.open.iter().filter(by_open).any(|change| state.get(&change.key) != found.get(&change.key));
        ensure!(fits, FOUND, "{} keys differ, with the best guess of what the crash took: {}", nearest.0, nearest.1);
        Ok(self.tail.len() + 1)
    }

    fn describe(&self, state: &State, found: &State) -> String {
        let keys = state.keys().chain(found.keys());
        let differs = keys.filter(|key| state.get(*key) != found.get(*key)).take(3);
        let side = |state: &State, key: &RawKey| state.get(key).map(|(_, revision)| *revision);
        let texts = differs.map(|key| format!("{key:?} is of {:?}, not of {:?}", side(found, key), side(state, key)));
        texts.collect::<Vec<_>>().join("; ")
    }
}

/// The last revision that was acknowledged as durable: everything before it in the log is durable as well.
fn durable_until(history: &History) -> Revision {
    let durable = history.operations.iter().filter_map(|operation| match (&operation.call, &operation.answer) {
        (Call::Commit(change), Answer::Committed(at)) if change.durability == Durability::Durable => Some(*at),
        _ => None,
    });
    durable.max().unwrap_or_default()
}

/// The greatest revision that anybody was told.
fn told(history: &History) -> Revision {
    let revisions = history.operations.iter().map(|operation| match &operation.answer {
        Answer::Committed(at) => *at,
        Answer::Page(page) => page.at,
        Answer::Bounds(bounds) => bounds.current,
        Answer::Unmet(_) | Answer::Unknown(_) => Revision::ZERO,
    });
    revisions.max().unwrap_or_default()
}

fn key_of(event: &RawEvent) -> &RawKey {
    match event {
        RawEvent::Put(record) => &record.key,
        RawEvent::Delete { key, .. } => key,
        RawEvent::Progress(_) => unreachable!("a log holds changes only"),
    }
}

fn apply(state: &mut State, event: &RawEvent) {
    match event {
        RawEvent::Put(record) => drop(state.insert(record.key.clone(), (record.value.clone(), record.revision))),
        RawEvent::Delete { key, .. } => drop(state.remove(key)),
        RawEvent::Progress(_) => {}
    }
}

fn different(a: &State, b: &State) -> usize {
    let changed = a.iter().filter(|(key, value)| b.get(*key) != Some(*value)).count();
    changed + b.keys().filter(|key| !a.contains_key(*key)).count()
}
