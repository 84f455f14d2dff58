//! The sweep and an exhaustive search say the same of small histories.

use orc_core::env::Rng;

use super::*;
use crate::backend::{Bounds, Durability, Expect, KeyRange, Page, RawChange, RawPage};
use crate::testing::history::{Answer, Call, Operation, change, check};

const KEYS: [&str; 2] = ["/t/n/a", "/t/n/b"];

/// A log of one to three changes.
fn log(rng: &Rng) -> Vec<RawEvent> {
    let (mut events, mut present) = (Vec::new(), [false; 2]);
    for at in 2..3 + rng.below(3) {
        let key = rng.below(2) as usize;
        let delete = present[key] && rng.below(3) == 0;
        present[key] = !delete;
        events.push(match delete {
            true => RawEvent::Delete { key: Bytes::from(KEYS[key]), revision: Revision(at) },
            false => put(KEYS[key], &format!("v{at}"), at),
        });
    }
    events
}

/// Calls that fit the log in some order, with windows of their own, and some answers that may not fit.
fn history(rng: &Rng, log: &Log) -> History {
    let mut operations: Vec<Operation> = log.events().iter().map(|event| commit_of(log, event)).collect();
    for _ in 0..rng.below(4) {
        operations.push(read(rng, log));
    }
    // Calls and answers at random, each answer behind its call.
    let mut times: Vec<u64> = (0..2 * operations.len() as u64).collect();
    for at in (1..times.len()).rev() {
        times.swap(at, rng.below(at as u64 + 1) as usize);
    }
    for (operation, pair) in operations.iter_mut().zip(times.chunks(2)) {
        (operation.called, operation.returned) = (pair[0].min(pair[1]), pair[0].max(pair[1]));
        if matches!(operation.call, Call::Commit(_)) && rng.below(6) == 0 {
            operation.answer = Answer::Unknown("lost".to_owned());
        }
    }
    History { operations }
}

fn operation(call: Call, answer: Answer) -> Operation {
    Operation { client: 0, called: 0, returned: 0, call, answer }
}

fn commit_of(log: &Log, event: &RawEvent) -> Operation {
    let (key, value, at) = match event {
        RawEvent::Put(record) => (record.key.clone(), Some(record.value.clone()), record.revision),
        RawEvent::Delete { key, revision } => (key.clone(), None, *revision),
        RawEvent::Progress(_) => unreachable!(),
    };
    let expect = log.at(&key, Revision(at.0 - 1)).map_or(Expect::Absent, |(at, _)| Expect::At(at));
    operation(Call::Commit(change(key, value, expect, Durability::Durable)), Answer::Committed(at))
}

fn read(rng: &Rng, log: &Log) -> Operation {
    let at = Revision(1 + rng.below(log.last().0));
    match rng.below(3) {
        0 => operation(Call::Bounds, Answer::Bounds(Bounds { current: at, compacted: Revision::ZERO })),
        1 => {
            let page = RawPage { records: log.range(&KeyRange::all(), at).collect(), at, next: None };
            operation(Call::Scan(KeyRange::all(), Page { limit: 9 }), Answer::Page(page))
        }
        _ => {
            let key = Bytes::from(KEYS[rng.below(2) as usize]);
            let now = log.at(&key, at).map(|(at, _)| at);
            let expect = [Expect::Absent, Expect::At(Revision(1 + rng.below(4)))][rng.below(2) as usize];
            let value = (rng.below(2) == 0).then(|| Bytes::from(format!("refused {}", rng.next())));
            operation(Call::Commit(change(key, value, expect, Durability::Durable)), Answer::Unmet(now))
        }
    }
}

/// Searches all orders that keep what returned before what was called later.
fn searched(log: &Log, history: &History) -> bool {
    fn go(log: &Log, left: &[Operation], now: Revision, done: u64) -> bool {
        if done == log.last().0 - log.start().0 && left.iter().all(|one| matches!(one.answer, Answer::Unknown(_))) {
            return true;
        }
        left.iter().enumerate().any(|(at, one)| {
            // Who was never told binds nobody by an answer.
            let bound = |other: &&Operation| !matches!(other.answer, Answer::Unknown(_));
            if left.iter().filter(bound).any(|other| other.returned < one.called) {
                return false;
            }
            let rest: Vec<Operation> =
                left.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, o)| o.clone()).collect();
            let Some(then) = step(log, one, now) else { return false };
            go(log, &rest, then, done + (then.0 - now.0))
        })
    }
    go(log, &history.operations, log.start(), 0)
}

/// The state's revision after a call that is made at it, `None` when the answer would be another one.
fn step(log: &Log, one: &Operation, now: Revision) -> Option<Revision> {
    let holds = |change: &RawChange| match change.expect {
        Expect::Absent => log.at(&change.key, now).is_none() && change.value.is_some(),
        Expect::At(at) => log.at(&change.key, now).map(|(at, _)| at) == Some(at),
    };
    match (&one.call, &one.answer) {
        (Call::Commit(change), Answer::Committed(_) | Answer::Unknown(_)) => {
            let next = log.after(now).first()?;
            let same = commit_of(log, next);
            let Call::Commit(made) = &same.call else { unreachable!() };
            let revision = if let Answer::Committed(at) = one.answer { at == now.next() } else { true };
            (holds(change) && revision && made.key == change.key && made.value == change.value).then(|| now.next())
        }
        (Call::Commit(change), Answer::Unmet(told)) => {
            (!holds(change) && log.at(&change.key, now).map(|(at, _)| at) == *told).then_some(now)
        }
        (_, Answer::Page(page)) => (page.at == now).then_some(now),
        (_, Answer::Bounds(bounds)) => (bounds.current == now).then_some(now),
        _ => None,
    }
}

#[test]
fn the_sweep_agrees_with_the_search() {
    let (mut right, mut wrong) = (0, 0);
    for seed in 0..20_000 {
        let rng = Rng::seeded(seed);
        let log = Log::new(Revision(1), log(&rng)).unwrap();
        let history = history(&rng, &log);
        let (swept, searched) = (check(&log, &history), searched(&log, &history));
        assert_eq!(swept.is_ok(), searched, "seed {seed}: {swept:?}\n{log:#?}\n{history:#?}");
        if searched { right += 1 } else { wrong += 1 }
    }
    assert!(right > 2000 && wrong > 2000, "{right} right, {wrong} wrong");
}
