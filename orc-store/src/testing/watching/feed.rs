//! Feeds of a backend.

use orc_core::Revision;

use crate::backend::RawEvent;
use crate::testing::history::{Log, revision};
use crate::testing::{Violation, ensure};

const TELLS: &str = "a feed tells each change after its start once, in order, as it happened";
const PROGRESS: &str = "after a progress mark nothing at or below it is still to come";
const ATOMIC: &str = "a feed that ends has told all changes of the last revision it told";

/// Checks what a feed after a revision gave. Returns the last revision that it covers: the feed is resumed there.
///
/// # Errors
/// [`Violation`] when it differs from the log, or told progress past a change that it had not given.
pub fn check_feed(log: &Log, after: Revision, given: &[RawEvent]) -> Result<Revision, Violation> {
    let mut expected = log.after(after).iter().peekable();
    let mut seen = after;
    for event in given {
        if let RawEvent::Progress(to) = event {
            let missing = expected.peek().filter(|next| revision(next) <= *to);
            ensure!(missing.is_none(), PROGRESS, "after {after}: progress to {to} before {missing:?}");
            seen = seen.max(*to);
            continue;
        }
        let at = revision(event);
        ensure!(at > seen || at == seen && expected.peek() == Some(&event), PROGRESS, "{event:?} after {seen}");
        let next = expected.next();
        ensure!(next == Some(event), TELLS, "after {after}: {event:?} instead of {next:?}");
        seen = at;
    }
    let torn = expected.peek().filter(|next| revision(next) <= seen);
    ensure!(torn.is_none(), ATOMIC, "after {after}: {torn:?} is missing at {seen}");
    Ok(seen)
}
