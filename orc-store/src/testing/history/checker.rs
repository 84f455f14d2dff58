//! Decides whether one order explains a history.
//!
//! Each call gets a point in the log: a change its revision, a page the revision it shows, bounds the current revision, a
//! refusal any revision at which it would have been refused with that answer. A call must not stand before one that had
//! returned when it began. Going through the calls as they began and giving each refusal the earliest point that is left
//! gives every later call the most room, so if this fails, every order fails.

use std::collections::BTreeMap;

use orc_core::Revision;

use super::{Answer, Call, History, Log, Operation, matching};
use crate::backend::{Expect, KeyRange, Page, RawChange, RawPage, RawRecord};
use crate::testing::{Violation, ensure};

const REAL_TIME: &str = "a call sees what was acknowledged before it began, and happens after it";
const SCAN: &str = "a page shows the state at its revision";
const REFUSED: &str = "a refusal tells a state that the key was in while the call ran";

/// What was checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Checked {
    /// Changes in the log.
    pub changes: usize,
    /// Changes in the log whose caller was never told.
    pub unanswered: usize,
    /// Refused changes.
    pub refusals: usize,
    /// Pages and bounds.
    pub reads: usize,
}

/// Checks a history against the log of what happened meanwhile. The log must reach beyond every answer.
///
/// # Errors
/// The first law that does not hold: a change that was lost, doubled, made up or made in a state it did not expect; a stale
/// read; an answer that fits no order.
pub fn check(log: &Log, history: &History) -> Result<Checked, Violation> {
    let matched = matching::all(log, history)?;
    let made: BTreeMap<u64, Revision> =
        matched.made_by.iter().map(|((at, _), operation)| (operation.called, *at)).collect();
    let mut checked = Checked { changes: log.events().len(), unanswered: matched.unanswered, ..Checked::default() };
    let mut calls: Vec<&Operation> = history.operations.iter().collect();
    calls.sort_by_key(|operation| operation.called);
    let mut past = Past::new(log.start());
    for operation in calls {
        let least = past.before(operation.called);
        let point = match (&operation.call, &operation.answer) {
            (Call::Commit(_), Answer::Committed(_) | Answer::Unknown(_)) => {
                let Some(at) = made.get(&operation.called).copied() else { continue };
                ensure!(at > least, REAL_TIME, "{operation:?} happened at {at}, {least} had been seen before the call");
                at
            }
            (Call::Commit(change), Answer::Unmet(now)) => {
                checked.refusals += 1;
                refused_at(log, change, *now, least)
                    .ok_or_else(|| Violation::new(REFUSED, format!("{operation:?}, {least} seen before the call")))?
            }
            (Call::Scan(range, limit), Answer::Page(page)) => {
                checked.reads += 1;
                ensure!(page.at >= least, REAL_TIME, "a page of {} ({range}), {least} seen before the call", page.at);
                shows(log, range, *limit, page)?;
                page.at
            }
            (Call::Bounds, Answer::Bounds(bounds)) => {
                checked.reads += 1;
                ensure!(bounds.current >= least, REAL_TIME, "{bounds:?}, {least} seen before the call");
                bounds.current
            }
            (_, Answer::Unknown(_)) => continue,
            (call, answer) => return Err(Violation::new("an answer is of its call", format!("{call:?}: {answer:?}"))),
        };
        // A change that nobody was told of binds nobody: it may have happened after its caller gave up.
        if !matches!(operation.answer, Answer::Unknown(_)) {
            past.add(operation.returned, point);
        }
    }
    Ok(checked)
}

/// The greatest point of the calls that had returned at a time, asked for growing times.
struct Past {
    returned: BTreeMap<u64, Revision>,
    least: Revision,
}

impl Past {
    fn new(start: Revision) -> Self {
        Self { returned: BTreeMap::new(), least: start }
    }

    fn before(&mut self, called: u64) -> Revision {
        while let Some(first) = self.returned.first_entry().filter(|first| *first.key() < called) {
            self.least = self.least.max(first.remove());
        }
        self.least
    }

    fn add(&mut self, returned: u64, point: Revision) {
        self.returned.insert(returned, point);
    }
}

/// The earliest revision, from `least` on, at which the change was to be refused with this answer.
fn refused_at(log: &Log, change: &RawChange, now: Option<Revision>, least: Revision) -> Option<Revision> {
    let refused = match change.expect {
        // A deletion of what is absent is refused, whatever was expected.
        Expect::Absent => now.is_some() || change.value.is_none(),
        Expect::At(expected) => now != Some(expected),
    };
    if !refused {
        return None;
    }
    let at = |point| log.at(&change.key, point).map(|(revision, _)| revision);
    if at(least) == now {
        return Some(least);
    }
    let later = log.versions(&change.key).iter().filter(|(wrote, _)| *wrote > least);
    later.map(|(wrote, _)| *wrote).find(|wrote| at(*wrote) == now)
}

/// Whether a page is the beginning of a range at the page's revision.
fn shows(log: &Log, range: &KeyRange, limit: Page, page: &RawPage) -> Result<(), Violation> {
    let until = |end| KeyRange { start: range.start.clone(), end };
    let covered = page.next.clone().map_or_else(|| range.clone(), |next| until(Some(next)));
    let expected: Vec<RawRecord> = log.range(&covered, page.at).collect();
    ensure!(page.records == expected, SCAN, "{range} at {}: {:?} instead of {expected:?}", page.at, page.records);
    ensure!(page.records.len() <= limit.limit.max(1), SCAN, "{} records, limit {limit:?}", page.records.len());
    let behind = page.next.is_none() || page.records.last().map(|last| &last.key) < page.next.as_ref();
    let inside = page.next.as_ref().is_none_or(|next| range.end.as_ref().is_none_or(|end| next < end));
    ensure!(behind && inside, SCAN, "{range} at {}: the next page starts at {:?}", page.at, page.next);
    Ok(())
}
