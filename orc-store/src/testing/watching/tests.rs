//! The validators take what is right, and find each kind of wrong.

use std::sync::Arc;

use bytes::Bytes;
use orc_core::Revision;
use orc_core::env::Rng;
use orc_core::labels::FieldSelector;

use super::*;
use crate::backend::{RawEvent, RawRecord};
use crate::client::{Scope, Selection, WatchStart};
use crate::event::{Before, RemovedWhy, WatchEnd, WatchEvent};
use crate::store::FieldsOf;
use crate::testing::Violation;
use crate::testing::history::Log;

fn put(name: &str, node: &str, at: u64) -> RawEvent {
    let body = format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"n"}},"spec":{{"nodeName":"{node}","n":{at}}}}}"#
    );
    RawEvent::Put(RawRecord { key: format!("/pods/n/{name}").into(), value: body.into(), revision: Revision(at) })
}

fn delete(name: &str, at: u64) -> RawEvent {
    RawEvent::Delete { key: Bytes::from(format!("/pods/n/{name}")), revision: Revision(at) }
}

fn log() -> Log {
    let events = vec![
        put("a", "x", 2),
        put("b", "y", 3),
        put("a", "y", 4),
        put("a", "x", 5),
        put("c", "x", 7),
        put("a", "x", 8),
        delete("a", 9),
        delete("c", 9),
        put("a", "x", 12),
    ];
    Log::new(Revision(1), events).unwrap()
}

fn truth() -> Truth {
    let fields: FieldsOf = Arc::new(|_| Arc::from(["spec.nodeName".to_owned()]));
    Truth::of(&log(), &fields).unwrap()
}

fn law(told: Result<Revision, Violation>) -> &'static str {
    told.expect_err("a spoiled stream passes").law
}

#[test]
fn right_feeds_pass_from_everywhere() {
    let log = log();
    for after in 1..13 {
        let given = log.after(Revision(after)).to_vec();
        let whole = given.iter().cloned().chain([RawEvent::Progress(Revision(12))]).collect::<Vec<_>>();
        assert_eq!(check_feed(&log, Revision(after), &whole), Ok(Revision(12)));
        for cut in 0..given.len() {
            // Between the deletions that share a revision, a feed must not end.
            let torn = given[..cut].last() == Some(&delete("a", 9));
            assert_eq!(check_feed(&log, Revision(after), &given[..cut]).is_err(), torn);
        }
    }
}

#[test]
fn spoiled_feeds_are_found() {
    let log = log();
    let right = log.events().to_vec();
    let check = |given: &[RawEvent]| law(check_feed(&log, Revision(1), given));
    for at in 0..right.len() - 1 {
        let mut gap = right.clone();
        gap.remove(at);
        assert!(check(&gap).contains("each change") || check(&gap).contains("still to come"), "gap at {at}");
        let mut twice = right.clone();
        twice.insert(at, right[at].clone());
        check(&twice);
        let mut swapped = right.clone();
        swapped.swap(at, at + 1);
        check(&swapped);
        let mut early = right.clone();
        let behind = right[at..].iter().map(crate::testing::history::revision).next().unwrap();
        early.insert(at, RawEvent::Progress(behind));
        assert!(check(&early).contains("progress"), "progress at {at}");
    }
    let mut changed = right.clone();
    changed[3] = put("a", "other", 5);
    check(&changed);
    let more: Vec<RawEvent> = right.into_iter().chain([put("z", "x", 13)]).collect();
    assert!(check(&more).contains("each change"), "what is not in the log");
}

#[test]
fn logs_that_are_none_are_refused() {
    let over = |events: Vec<RawEvent>| Log::new(Revision(1), events).unwrap_err().law;
    assert!(over(vec![put("a", "x", 3), put("b", "x", 3)]).contains("revision of its own"));
    assert!(over(vec![put("a", "x", 3), put("b", "x", 2)]).contains("revisions grow"));
    assert!(over(vec![put("a", "x", 1)]).contains("revisions grow"), "a revision that was used before");
    assert!(over(vec![delete("a", 2)]).contains("absent"));
}

/// A watch of the objects on node x, after a revision, and everything it must tell, with bookmarks in between.
fn right(after: u64) -> Watched {
    let select = Selection { fields: FieldSelector::equal("spec.nodeName", "x"), ..Selection::default() };
    let truth = truth();
    let at = |revision: u64| truth.transitions().iter().find(|change| change.revision == Revision(revision)).unwrap();
    let now = |revision: u64| at(revision).after.clone().unwrap();
    let (a2, a5, c7, a8) = (now(2), now(5), now(7), now(8));
    let removed =
        |last: &Arc<crate::Stored>, at: u64, why| WatchEvent::Removed { last: last.clone(), at: Revision(at), why };
    let all = vec![
        WatchEvent::Added(a2.clone()),
        WatchEvent::Bookmark { at: Revision(3), initial_end: false },
        removed(&a2, 4, RemovedWhy::LeftScope),
        WatchEvent::Added(a5.clone()),
        WatchEvent::Added(c7.clone()),
        WatchEvent::Modified { now: a8.clone(), before: Before::Known(a5) },
        removed(&a8, 9, RemovedWhy::Deleted),
        removed(&c7, 9, RemovedWhy::Deleted),
        WatchEvent::Bookmark { at: Revision(11), initial_end: false },
        WatchEvent::Added(now(12)),
    ];
    Watched {
        scope: Scope::all(orc_core::ResourceId::new("", "pods")),
        select,
        start: WatchStart::After(Revision(after)),
        least: Revision(after),
        most: Revision(after),
        floor: Revision(1),
        told: all.into_iter().filter(|event| event.revision() > Revision(after)).collect(),
        end: None,
        complete: Some(Revision(12)),
    }
}

#[test]
fn right_watches_pass_from_everywhere() {
    for after in 1..13 {
        check_watch(&truth(), &right(after)).unwrap();
        let mut early = right(after);
        early.told.truncate(early.told.len() / 2);
        assert_eq!(check_watch(&truth(), &early).is_err(), !right(after).told.is_empty(), "not complete");
        early.complete = None;
        check_watch(&truth(), &early).unwrap();
    }
}

/// Each way to spoil a watch is found, wherever it is done.
#[test]
fn spoiled_watches_are_found() {
    let truth = truth();
    let good = right(1);
    let spoiled = |told: Vec<WatchEvent>| law(check_watch(&truth, &Watched { told, ..good.clone() }));
    for at in 0..good.told.len() {
        let bookmark = matches!(good.told[at], WatchEvent::Bookmark { .. });
        let mut told = good.told.clone();
        let gone = told.remove(at);
        if !bookmark {
            spoiled(told.clone());
            spoiled(told.iter().cloned().chain([gone]).filter(|_| at + 1 < good.told.len()).collect());
            let mut twice = good.told.clone();
            twice.insert(at, good.told[at].clone());
            spoiled(twice);
            let mut early = good.told.clone();
            early.insert(at, WatchEvent::Bookmark { at: good.told[at].revision(), initial_end: false });
            assert!(spoiled(early).contains("bookmark"));
        }
        for other in wrong_words(&good.told[at]) {
            let mut told = good.told.clone();
            told[at] = other;
            spoiled(told);
        }
    }
}

/// The same event told wrongly.
fn wrong_words(event: &WatchEvent) -> Vec<WatchEvent> {
    match event {
        WatchEvent::Added(now) => vec![WatchEvent::Modified { now: now.clone(), before: Before::Known(now.clone()) }],
        WatchEvent::Modified { now, .. } => vec![
            WatchEvent::Added(now.clone()),
            WatchEvent::Modified { now: now.clone(), before: Before::Known(now.clone()) },
        ],
        WatchEvent::Removed { last, at, why } => vec![
            WatchEvent::Removed { last: last.clone(), at: at.next(), why: *why },
            WatchEvent::Removed {
                last: last.clone(),
                at: *at,
                why: if *why == RemovedWhy::Deleted { RemovedWhy::LeftScope } else { RemovedWhy::Deleted },
            },
        ],
        WatchEvent::Bookmark { .. } => vec![
            WatchEvent::Bookmark { at: Revision(1), initial_end: false },
            WatchEvent::Bookmark { at: Revision(12), initial_end: false },
        ],
    }
    .into_iter()
    .filter(|other| format!("{other:?}") != format!("{event:?}"))
    .collect()
}

#[test]
fn unfiltered_changes_are_found() {
    let truth = truth();
    let mut unfiltered = right(1);
    let other = truth.transitions()[1].after.clone().unwrap();
    unfiltered.told.insert(1, WatchEvent::Added(other));
    assert!(law(check_watch(&truth, &unfiltered)).contains("its selection"));
    let mut everything = right(1);
    everything.select = Selection::default();
    check_watch(&truth, &everything).unwrap_err();
    let mut namespace = right(1);
    namespace.scope = Scope::within(orc_core::ResourceId::new("", "pods"), "other");
    assert!(law(check_watch(&truth, &namespace)).contains("its selection"));
}

#[test]
fn torn_revisions_and_old_starts_are_found() {
    let truth = truth();
    let mut torn = right(1);
    let shared = torn.told.iter().position(|event| event.revision() == Revision(9)).unwrap();
    torn.told.truncate(shared + 1);
    torn.end = Some(WatchEnd::Closed("cut".to_owned()));
    assert!(law(check_watch(&truth, &torn)).contains("all changes of the last revision"));
    torn.told.truncate(shared);
    assert_eq!(check_watch(&truth, &torn), Ok(Revision(8)));
    let below = Watched { floor: Revision(5), ..right(3) };
    assert!(law(check_watch(&truth, &below)).contains("Expired"));
    let told = WatchEnd::Expired { asked: Revision(3), floor: Revision(5) };
    check_watch(&truth, &Watched { told: Vec::new(), end: Some(told), ..below }).unwrap();
}

#[test]
fn initial_states_are_those_of_their_bookmark() {
    let truth = truth();
    let initial = |at: u64| {
        let mut watched = right(at);
        let state = truth.selected(&watched.scope, &watched.select, Revision(at));
        let begin = state.into_iter().map(WatchEvent::Added);
        let end = WatchEvent::Bookmark { at: Revision(at), initial_end: true };
        watched.told = begin.chain([end]).chain(watched.told).collect();
        watched.start = WatchStart::Initial;
        watched
    };
    for at in 1..13 {
        check_watch(&truth, &initial(at)).unwrap();
    }
    let stale = Watched { least: Revision(8), ..initial(7) };
    assert!(law(check_watch(&truth, &stale)).contains("from now"));
    for at in [2, 5, 7, 8] {
        let mut short = initial(at);
        short.told.remove(0);
        assert!(law(check_watch(&truth, &short)).contains("initial state"));
        let mut twice = initial(at);
        twice.told.insert(0, twice.told[0].clone());
        assert!(law(check_watch(&truth, &twice)).contains("each object once"));
    }
}

#[test]
fn watches_from_now_start_between_the_call_and_its_answer() {
    let truth = truth();
    let rng = Rng::seeded(1);
    for _ in 0..200 {
        let (least, span) = (1 + rng.below(11), rng.below(5));
        let start = least + rng.below(span + 1);
        let (least, most) = (Revision(least), Revision(least + span));
        let watched = Watched { start: WatchStart::Now, least, most, ..right(start) };
        check_watch(&truth, &watched).unwrap();
    }
    let skipped = Watched { start: WatchStart::Now, least: Revision(2), most: Revision(3), ..right(7) };
    assert!(check_watch(&truth, &skipped).is_err(), "a change after the answer is missing");
}
