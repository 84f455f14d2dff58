//! Right histories with one thing made wrong.

use super::*;
use crate::backend::Page;
use crate::testing::Violation;
use crate::testing::history::{Answer, Call, Operation, check, revision};

const SEEDS: std::ops::Range<u64> = 0..12;

/// Makes one thing wrong at each place where that is possible, and wants every one to be found under one of the laws.
async fn finds(laws: &[&str], spoil: impl Fn(&Log, &History) -> Vec<(Vec<RawEvent>, History)>) {
    let mut tried = 0;
    for seed in SEEDS {
        let (log, history) = recorded(seed).await;
        check(&log, &history).unwrap();
        for (events, spoiled) in spoil(&log, &history) {
            tried += 1;
            let told = Log::new(log.start(), events).and_then(|log| check(&log, &spoiled));
            let Violation { law, why } = told.expect_err("a spoiled history passes");
            assert!(laws.iter().any(|wanted| law.contains(wanted)), "{law}: {why}");
        }
    }
    assert!(tried >= SEEDS.end, "only {tried} histories could be spoiled");
}

/// Copies of a history with one operation changed, wherever the change applies.
fn each(history: &History, change: impl Fn(&Operation) -> Option<Operation>) -> Vec<History> {
    let changed = history.operations.iter().enumerate().filter_map(|(at, operation)| {
        let mut spoiled = history.clone();
        spoiled.operations[at] = change(operation)?;
        Some(spoiled)
    });
    changed.collect()
}

fn with_log(log: &Log, histories: Vec<History>) -> Vec<(Vec<RawEvent>, History)> {
    histories.into_iter().map(|history| (log.events().to_vec(), history)).collect()
}

/// The greatest revision that was told before a time.
fn told_before(history: &History, time: u64) -> Revision {
    let told = history.operations.iter().filter(|operation| operation.returned < time);
    let revisions = told.map(|operation| match &operation.answer {
        Answer::Committed(at) => *at,
        Answer::Page(page) => page.at,
        Answer::Bounds(bounds) => bounds.current,
        Answer::Unmet(now) => now.unwrap_or_default(),
        Answer::Unknown(_) => Revision::ZERO,
    });
    revisions.max().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn real_histories_pass_and_have_something_of_everything() {
    let mut sum = super::super::Checked::default();
    for seed in SEEDS {
        let (log, history) = recorded(seed).await;
        let checked = check(&log, &history).unwrap();
        sum.changes += checked.changes;
        sum.unanswered += checked.unanswered;
        sum.refusals += checked.refusals;
        sum.reads += checked.reads;
    }
    assert!(sum.changes > 300 && sum.unanswered > 20 && sum.refusals > 50 && sum.reads > 200, "{sum:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stale_page() {
    finds(&["sees what was acknowledged"], |log, history| {
        let stale = each(history, |operation| {
            let (Call::Scan(range, limit), Answer::Page(page)) = (&operation.call, &operation.answer) else {
                return None;
            };
            let before = Revision(told_before(history, operation.called).0.checked_sub(1)?);
            (before > log.start() && limit.limit == usize::MAX).then(|| {
                let mut stale = page.clone();
                (stale.at, stale.records) = (before, log.range(range, before).collect());
                Operation { answer: Answer::Page(stale), ..operation.clone() }
            })
        });
        with_log(log, stale)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_page_without_a_record() {
    finds(&["the state at its revision"], |log, history| {
        let short = each(history, |operation| {
            let Answer::Page(page) = &operation.answer else { return None };
            let mut short = page.clone();
            short.records.pop()?;
            Some(Operation { answer: Answer::Page(short), ..operation.clone() })
        });
        with_log(log, short)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_page_longer_than_asked() {
    finds(&["the state at its revision"], |log, history| {
        let long = each(history, |operation| {
            let (Call::Scan(range, _), Answer::Page(page)) = (&operation.call, &operation.answer) else { return None };
            let limit = Page { limit: page.records.len().checked_sub(1).filter(|limit| *limit > 0)? };
            Some(Operation { call: Call::Scan(range.clone(), limit), ..operation.clone() })
        });
        with_log(log, long)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn bounds_that_go_back() {
    finds(&["sees what was acknowledged"], |log, history| {
        let back = each(history, |operation| {
            let Answer::Bounds(mut bounds) = operation.answer else { return None };
            bounds.current = Revision(told_before(history, operation.called).0.checked_sub(1)?);
            Some(Operation { answer: Answer::Bounds(bounds), ..operation.clone() })
        });
        with_log(log, back)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_write() {
    finds(
        &["an acknowledged change is in the log", "expects", "absent is not deleted", "nobody asked"],
        |log, history| {
            let acknowledged = |event: &RawEvent| {
                history.operations.iter().any(|operation| operation.answer == Answer::Committed(revision(event)))
            };
            let events = log.events();
            let lost = (0..events.len()).filter(|at| acknowledged(&events[*at]));
            let without = |at: usize| {
                events.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, event)| event.clone()).collect()
            };
            lost.map(|at| (without(at), history.clone())).collect()
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_changes_in_the_wrong_order() {
    let laws = [
        "an acknowledged change is in the log",
        "absent is not deleted",
        "nobody asked",
        "expects",
        "before it began",
        "at its revision",
        "while the call ran",
    ];
    finds(&laws, |log, history| {
        let events = log.events();
        let told = |event: &RawEvent| {
            history.operations.iter().any(|operation| operation.answer == Answer::Committed(revision(event)))
        };
        let pairs = (1..events.len()).filter(|at| told(&events[*at]) && told(&events[at - 1]));
        let swapped = |at: usize| {
            let mut events = events.to_vec();
            let (one, other) = (revision(&events[at - 1]), revision(&events[at]));
            events.swap(at - 1, at);
            (events[at - 1], events[at]) = (at_revision(&events[at - 1], one), at_revision(&events[at], other));
            events
        };
        pairs.map(|at| (swapped(at), history.clone())).collect()
    })
    .await;
}

fn at_revision(event: &RawEvent, revision: Revision) -> RawEvent {
    match event.clone() {
        RawEvent::Put(record) => RawEvent::Put(RawRecord { revision, ..record }),
        RawEvent::Delete { key, .. } => RawEvent::Delete { key, revision },
        progress => progress,
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_made_twice() {
    finds(&["nobody asked for, and nothing twice", "expects"], |log, history| {
        let puts = log.events().iter().filter(|event| matches!(event, RawEvent::Put(_)));
        let again = puts.map(|event| {
            let again = at_revision(event, log.last().next());
            (log.events().iter().cloned().chain([again]).collect(), history.clone())
        });
        again.collect()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_phantom() {
    finds(&["nobody asked for"], |log, history| {
        let phantom = put("/things/n0/1", "nobody wrote this", log.last().0 + 1);
        vec![(log.events().iter().cloned().chain([phantom]).collect(), history.clone())]
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_without_reason() {
    finds(&["a refusal tells"], |log, history| {
        let wrong = each(history, |operation| {
            let Answer::Unmet(_) = operation.answer else { return None };
            // A revision that the key never had.
            Some(Operation { answer: Answer::Unmet(Some(log.last().next())), ..operation.clone() })
        });
        with_log(log, wrong)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_where_the_expectation_held() {
    finds(&["a refusal tells", "an acknowledged change", "nobody asked", "expects"], |log, history| {
        let wrong = each(history, |operation| {
            let (Call::Commit(change), Answer::Unmet(_)) = (&operation.call, &operation.answer) else { return None };
            let now = match change.expect {
                crate::backend::Expect::Absent => None,
                crate::backend::Expect::At(at) => Some(at),
            };
            let can = change.value.is_some() || now.is_some();
            can.then(|| Operation { answer: Answer::Unmet(now), ..operation.clone() })
        });
        with_log(log, wrong)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_change_before_its_call() {
    finds(&["happens after it"], |log, history| {
        let end = history.operations.iter().map(|operation| operation.called).max().unwrap() + 1_000_000;
        let late = each(history, |operation| match operation.answer {
            Answer::Committed(at) if at < log.last() => {
                Some(Operation { called: end, returned: end + 1, ..operation.clone() })
            }
            _ => None,
        });
        with_log(log, late)
    })
    .await;
}

/// Callers that are not told are explained by what happened, and by what did not.
#[tokio::test(start_paused = true)]
async fn lost_answers_are_no_violation() {
    for seed in SEEDS {
        let (log, history) = recorded(seed).await;
        for lost in each(&history, |operation| {
            let Call::Commit(_) = operation.call else { return None };
            Some(Operation { answer: Answer::Unknown("lost".to_owned()), ..operation.clone() })
        }) {
            check(&log, &lost).unwrap();
        }
        let unknown = |operation: &&Operation| !matches!(operation.answer, Answer::Unknown(_));
        let told = History { operations: history.operations.iter().filter(unknown).cloned().collect() };
        let all_known = told.operations.len() == history.operations.len();
        let made_unseen = log.events().len()
            > told.operations.iter().filter(|operation| matches!(operation.answer, Answer::Committed(_))).count();
        assert!(all_known || !made_unseen || check(&log, &told).is_err(), "a change that nobody asked for is found");
    }
}
