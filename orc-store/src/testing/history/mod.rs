//! What concurrent callers saw, and whether one order explains it.
//!
//! A [`History`] is what callers of a backend asked and were told, with a logical clock: which answer came before which
//! call. A [`Log`] is what the backend says happened. [`check`] decides whether every answer is what one sequential run in the
//! log's order would have told, with no call moved before one that had returned (linearizability; Herlihy and Wing, 1990).
//! In general that needs a search; here each change carries the revision it happened at, so a sweep decides it exactly.

mod checker;
mod log;
mod matching;
mod recorder;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use orc_core::Revision;

pub use self::checker::{Checked, check};
pub use self::log::{Log, read_log};
pub use self::recorder::Recorder;
use crate::backend::{Bounds, Durability, Expect, KeyRange, Page, RawChange, RawEvent, RawKey, RawPage};

/// What a caller asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call {
    /// A change. Every value in a history must be written by one call only: that is how a change is told from another.
    Commit(RawChange),
    /// A page of the present state.
    Scan(KeyRange, Page),
    /// The bounds.
    Bounds,
}

/// What a caller was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The change happened at this revision.
    Committed(Revision),
    /// The change did not happen; the key's value is of this revision.
    Unmet(Option<Revision>),
    /// A page.
    Page(RawPage),
    /// The bounds.
    Bounds(Bounds),
    /// Nothing that says what happened: an error, a lost answer, a call that was given up. A change may have happened at
    /// any time since the call, or may still.
    Unknown(String),
}

/// One call and its answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// Who called.
    pub client: usize,
    /// When, by the history's logical clock: unique, counting up.
    pub called: u64,
    /// When the answer was there, by the same clock.
    pub returned: u64,
    /// What was asked.
    pub call: Call,
    /// What was told.
    pub answer: Answer,
}

/// What concurrent callers saw.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct History {
    /// The calls, in any order.
    pub operations: Vec<Operation>,
}

/// A change. The one place in the kit that spells out all fields.
pub fn change(key: RawKey, value: Option<Bytes>, expect: Expect, durability: Durability) -> RawChange {
    RawChange { key, value, expect, durability, ttl: None }
}

/// The revision of an item of a feed.
pub fn revision(event: &RawEvent) -> Revision {
    match event {
        RawEvent::Put(record) => record.revision,
        RawEvent::Delete { revision, .. } | RawEvent::Progress(revision) => *revision,
    }
}
