//! Watches of a store.

use std::collections::BTreeMap;
use std::sync::Arc;

use orc_core::{ObjectKey, Revision};

use super::{Transition, Truth};
use crate::client::{Scope, Selection, WatchStart};
use crate::event::{Before, RemovedWhy, WatchEnd, WatchEvent};
use crate::stored::Stored;
use crate::testing::{Violation, ensure};

const TELLS: &str =
    "a watch tells each change of its selection once, in order, with the right word and the state before";
const BOOKMARK: &str = "after a bookmark nothing at or below it comes, and everything up to it has come";
const RELIABLE: &str = "a watch tells everything, sooner or later";
const ATOMIC: &str = "a watch that ends has told all changes of the last revision it told";
const INITIAL: &str = "the initial state is that of the bookmark that ends it, each object once";
const FRESH: &str = "a watch from now starts at what was acknowledged, or later";
const RESUME: &str = "a watch below the floor is told Expired";

/// What a watch was asked, and what it told.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Which objects.
    pub scope: Scope,
    /// Which of them.
    pub select: Selection,
    /// From where.
    pub start: WatchStart,
    /// The greatest revision that the caller knew of when it asked.
    pub least: Revision,
    /// The backend's revision once the watch was given. A watch from now starts no later.
    pub most: Revision,
    /// The store's floor for the resource when the watch was asked for: an earlier start must expire.
    pub floor: Revision,
    /// What it told.
    pub told: Vec<WatchEvent>,
    /// What ended it; `None` when the caller stopped listening.
    pub end: Option<WatchEnd>,
    /// The caller listened until everything up to here must have come; `None` when it stopped at random.
    pub complete: Option<Revision>,
}

/// Checks a watch against the truth. Returns the revision to resume it from.
///
/// # Errors
/// The first guarantee that does not hold.
pub fn check_watch(truth: &Truth, watched: &Watched) -> Result<Revision, Violation> {
    if let WatchStart::After(after) = watched.start
        && after < watched.floor
    {
        let told = watched.told.is_empty() && !matches!(watched.end, None | Some(WatchEnd::Closed(_)));
        let early = watched.told.is_empty() && watched.end.is_none() && watched.complete.is_none();
        ensure!(told || early, RESUME, "after {after}, floor {}: {:?}", watched.floor, watched.told.first());
        return Ok(after);
    }
    let (start, told) = begin(truth, watched)?;
    let mut follower = Follower { watched, expected: expected(truth, watched, start), seen: start, next: 0 };
    for event in told {
        follower.take(event)?;
    }
    follower.end()
}

/// Where the changes start: the revision, and what is told from there on.
fn begin<'a>(truth: &Truth, watched: &'a Watched) -> Result<(Revision, &'a [WatchEvent]), Violation> {
    match watched.start {
        WatchStart::After(after) => Ok((after, &watched.told)),
        WatchStart::Now => Ok((now(watched), &watched.told)),
        WatchStart::Initial => initial(truth, watched, watched.least),
        WatchStart::InitialAtLeast(at) => initial(truth, watched, at),
    }
}

/// A watch from now started at some revision between what was known before and what was current after it was given. The
/// first thing it told says which ones are left; of these the latest is taken, and what follows must fit it.
fn now(watched: &Watched) -> Revision {
    let first = watched.told.first().map(WatchEvent::revision);
    let bookmark = matches!(watched.told.first(), Some(WatchEvent::Bookmark { .. }));
    let before = |at: Revision| if bookmark { at } else { Revision(at.0 - 1) };
    let latest = first.map_or(watched.most, |at| before(at).min(watched.most));
    latest.max(watched.least)
}

/// Checks the objects that are told first.
fn initial<'a>(
    truth: &Truth,
    watched: &'a Watched,
    least: Revision,
) -> Result<(Revision, &'a [WatchEvent]), Violation> {
    let ends = |event: &WatchEvent| matches!(event, WatchEvent::Bookmark { initial_end: true, .. });
    let Some(end) = watched.told.iter().position(ends) else {
        // The caller did not wait for the end. What came must at least be objects, each once.
        ensure!(watched.complete.is_none(), INITIAL, "no bookmark ends it");
        distinct(&watched.told)?;
        return Ok((least, &[]));
    };
    let at = watched.told[end].revision();
    ensure!(at >= least, FRESH, "the initial state is of {at}, {least} was asked for");
    let found = distinct(&watched.told[..end])?;
    let selected = truth.selected(&watched.scope, &watched.select, at);
    let expected: BTreeMap<&ObjectKey, &Arc<Stored>> = selected.iter().map(|one| (&one.key, one)).collect();
    ensure!(found == expected, INITIAL, "at {at}: {found:?} instead of {expected:?}");
    Ok((at, &watched.told[end + 1..]))
}

fn distinct(told: &[WatchEvent]) -> Result<BTreeMap<&ObjectKey, &Arc<Stored>>, Violation> {
    let mut found = BTreeMap::new();
    for event in told {
        let WatchEvent::Added(now) = event else {
            return Err(Violation::new(INITIAL, format!("{event:?} before it ended")));
        };
        ensure!(found.insert(&now.key, now).is_none(), INITIAL, "{now:?} came twice");
    }
    Ok(found)
}

/// What the watch must tell after a revision.
fn expected(truth: &Truth, watched: &Watched, start: Revision) -> Vec<WatchEvent> {
    truth.after(start).iter().filter_map(|change| meaning(change, &watched.scope, &watched.select)).collect()
}

/// What a change is to a watch.
fn meaning(change: &Transition, scope: &Scope, select: &Selection) -> Option<WatchEvent> {
    let selected = |state: &Option<Arc<Stored>>| {
        state.clone().filter(|stored| scope.contains(&stored.key) && select.matches(stored))
    };
    let gone = change.after.is_none();
    let why = if gone { RemovedWhy::Deleted } else { RemovedWhy::LeftScope };
    match (selected(&change.before), selected(&change.after)) {
        (None, None) => None,
        (None, Some(now)) => Some(WatchEvent::Added(now)),
        (Some(before), Some(now)) => Some(WatchEvent::Modified { now, before: Before::Known(before) }),
        (Some(last), None) => Some(WatchEvent::Removed { last, at: change.revision, why }),
    }
}

/// Whether two events tell the same. A remote client that does not know the state before may say so.
fn same(told: &WatchEvent, meant: &WatchEvent) -> bool {
    match (told, meant) {
        (WatchEvent::Added(a), WatchEvent::Added(b)) => a == b,
        (WatchEvent::Modified { now: a, before }, WatchEvent::Modified { now: b, before: meant }) => {
            let known = match (before, meant) {
                (Before::Known(before), Before::Known(meant)) => before == meant,
                (Before::Unknown, _) => true,
                (Before::Known(_), Before::Unknown) => false,
            };
            a == b && known
        }
        (WatchEvent::Removed { last: a, at, why }, WatchEvent::Removed { last: b, at: meant, why: because }) => {
            a == b && at == meant && (why == because || *why == RemovedWhy::Unknown)
        }
        _ => false,
    }
}

struct Follower<'a> {
    watched: &'a Watched,
    expected: Vec<WatchEvent>,
    seen: Revision,
    next: usize,
}

impl Follower<'_> {
    fn take(&mut self, event: &WatchEvent) -> Result<(), Violation> {
        let next = self.expected.get(self.next);
        if let WatchEvent::Bookmark { at, initial_end } = event {
            ensure!(!initial_end, BOOKMARK, "a second end of the initial state at {at}");
            ensure!(*at >= self.seen, BOOKMARK, "a bookmark of {at} after {}", self.seen);
            let missing = next.filter(|next| next.revision() <= *at);
            ensure!(missing.is_none(), BOOKMARK, "{}: {at} before {missing:?}", self.watch());
            self.seen = *at;
            return Ok(());
        }
        let fits = next.is_some_and(|next| same(event, next));
        ensure!(fits, TELLS, "{}: {event:?} instead of {next:?}", self.watch());
        self.next += 1;
        self.seen = event.revision();
        Ok(())
    }

    fn end(self) -> Result<Revision, Violation> {
        let next = self.expected.get(self.next);
        let due = next.filter(|next| self.watched.complete.is_some_and(|to| next.revision() <= to));
        let missing = if self.watched.end.is_none() { due } else { None };
        ensure!(missing.is_none(), RELIABLE, "{}: {missing:?} never came", self.watch());
        let torn = next.filter(|next| self.watched.end.is_some() && next.revision() <= self.seen);
        ensure!(torn.is_none(), ATOMIC, "{}: {torn:?} is missing at {}", self.watch(), self.seen);
        Ok(self.seen)
    }

    fn watch(&self) -> String {
        let Watched { scope, select, start, .. } = self.watched;
        format!("{scope:?} {select:?} {start:?}")
    }
}
