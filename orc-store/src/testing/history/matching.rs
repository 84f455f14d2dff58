//! Which call made which change of the log.

use std::collections::BTreeMap;

use bytes::Bytes;
use orc_core::Revision;

use super::{Answer, Call, History, Log, Operation, revision};
use crate::backend::{Expect, RawChange, RawEvent, RawKey};
use crate::testing::{Violation, ensure};

const PHANTOM: &str = "nothing is in the log that nobody asked for, and nothing twice";
const LOST: &str = "an acknowledged change is in the log, as it was asked for, at its revision";
const EXPECTED: &str = "a change happens only in the state it expects";
const UNIQUE: &str = "a history to check writes each value once";

/// A change of the log, by what identifies it: a key and a value, or a key and the revision that was deleted.
type Mark<'a> = (&'a RawKey, Option<&'a Bytes>, Option<Revision>);

/// The commits whose fate is known, by their revision.
pub(super) struct Matched<'a> {
    /// The call behind each change of the log.
    pub(super) made_by: BTreeMap<(Revision, &'a RawKey), &'a Operation>,
    /// How many had no answer that said so.
    pub(super) unanswered: usize,
}

/// Finds the call behind each change.
pub(super) fn all<'a>(log: &'a Log, history: &'a History) -> Result<Matched<'a>, Violation> {
    let acknowledged = acknowledged(log, history)?;
    let open = open(history)?;
    let mut matched = Matched { made_by: BTreeMap::new(), unanswered: 0 };
    let mut used = BTreeMap::new();
    for event in log.events() {
        let (key, value, at) = parts(event);
        let before = log.at(key, Revision(at.0 - 1)).map(|(revision, _)| revision);
        let mark = (key, value, if value.is_none() { before } else { None });
        let operation = match acknowledged.get(&(at, key)) {
            Some(operation) => *operation,
            None => {
                matched.unanswered += 1;
                let found = open.get(&mark).copied();
                found.ok_or_else(|| Violation::new(PHANTOM, format!("{event:?} was asked for by nobody")))?
            }
        };
        ensure!(used.insert(operation.called, at).is_none(), PHANTOM, "{operation:?} happened twice, again at {at}");
        if let Call::Commit(change) = &operation.call {
            let met = match change.expect {
                Expect::Absent => before.is_none(),
                Expect::At(expected) => before == Some(expected),
            };
            ensure!(met, EXPECTED, "{change:?} happened at {at}, the key being at {before:?}");
        }
        matched.made_by.insert((at, key), operation);
    }
    Ok(matched)
}

fn parts(event: &RawEvent) -> (&RawKey, Option<&Bytes>, Revision) {
    match event {
        RawEvent::Put(record) => (&record.key, Some(&record.value), record.revision),
        RawEvent::Delete { key, revision } => (key, None, *revision),
        RawEvent::Progress(_) => unreachable!("a log holds changes only"),
    }
}

/// The acknowledged changes, each of which must be in the log.
fn acknowledged<'a>(
    log: &'a Log,
    history: &'a History,
) -> Result<BTreeMap<(Revision, &'a RawKey), &'a Operation>, Violation> {
    let mut found: BTreeMap<(Revision, &RawKey), &Operation> = BTreeMap::new();
    for operation in &history.operations {
        let (Call::Commit(change), Answer::Committed(at)) = (&operation.call, &operation.answer) else { continue };
        let here = log.after(Revision(at.0 - 1)).iter().take_while(|event| revision(event) == *at);
        let there = here.map(parts).any(|(key, value, _)| *key == change.key && value == change.value.as_ref());
        ensure!(there, LOST, "{operation:?}: the log has {:?} there", log.versions(&change.key).last());
        let other = found.insert((*at, &change.key), operation);
        ensure!(other.is_none(), LOST, "{operation:?} and {other:?} have one revision");
    }
    Ok(found)
}

/// The changes whose fate nobody was told. Of several like ones the earliest call: it could have happened first.
fn open(history: &History) -> Result<BTreeMap<Mark<'_>, &Operation>, Violation> {
    let mut open: BTreeMap<Mark<'_>, &Operation> = BTreeMap::new();
    let mut values: BTreeMap<(&RawKey, &Bytes), &Operation> = BTreeMap::new();
    for operation in &history.operations {
        let Call::Commit(change) = &operation.call else { continue };
        if let Some(value) = &change.value {
            let other = values.insert((&change.key, value), operation);
            ensure!(other.is_none(), UNIQUE, "{operation:?} and {other:?}");
        }
        if let Answer::Unknown(_) = operation.answer {
            let slot = open.entry(mark(change)).or_insert(operation);
            if operation.called < slot.called {
                *slot = operation;
            }
        }
    }
    Ok(open)
}

fn mark(change: &RawChange) -> Mark<'_> {
    let deleted = match (change.expect, &change.value) {
        (Expect::At(revision), None) => Some(revision),
        _ => None,
    };
    (&change.key, change.value.as_ref(), deleted)
}
