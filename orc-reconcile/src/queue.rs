//! The work queue: a state machine with no clock and no task of its own.
//!
//! Rules, as in client-go's workqueue: a key waits at most once however often it is added; a key never runs twice at the
//! same time; a key that is added while it runs, runs again afterwards. On top: keys that wait for a time, and a backoff per
//! key that is told of success.
//!
//! Its size is bounded by the number of distinct keys.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use orc_core::env::Rng;

use crate::metrics::{Counts, QueueStatus};
use crate::reconciler::{Failure, Key, Next};

/// How long a failing key waits.
#[derive(Clone, Debug)]
pub struct Backoff {
    /// After the first failure; doubles with each further one.
    pub base: Duration,
    /// At the most.
    pub cap: Duration,
    /// The share of the wait that is random, 0 to 1. Zero in tests.
    pub jitter: f64,
}

impl Default for Backoff {
    /// 5 ms doubling to 1,000 s is client-go's; a minute is enough here, as a repair must not wait for a quarter of an hour.
    fn default() -> Self {
        Self { base: Duration::from_millis(5), cap: Duration::from_secs(60), jitter: 0.1 }
    }
}

impl Backoff {
    /// The wait after so many failures in a row (at least one).
    pub fn wait(&self, failures: u32, rng: &Rng) -> Duration {
        let doubled = self.base.saturating_mul(1 << failures.saturating_sub(1).min(30)).min(self.cap);
        let share = self.jitter * (rng.below(1 << 20) as f64) / f64::from(1 << 20);
        doubled.mul_f64(1.0 + share)
    }
}

/// A deduplicating queue of keys.
#[derive(Debug)]
pub struct Queue<K> {
    ready: VecDeque<K>,
    since: BTreeMap<K, Timestamp>,
    /// What runs, and since when.
    running: BTreeMap<K, Timestamp>,
    again: BTreeSet<K>,
    due: BTreeMap<K, Timestamp>,
    timers: BTreeSet<(Timestamp, K)>,
    failures: BTreeMap<K, u32>,
    backoff: Backoff,
    counts: Counts,
}

impl<K: Key> Queue<K> {
    /// An empty queue.
    pub fn new(backoff: Backoff) -> Self {
        Self {
            ready: VecDeque::new(),
            since: BTreeMap::new(),
            running: BTreeMap::new(),
            again: BTreeSet::new(),
            due: BTreeMap::new(),
            timers: BTreeSet::new(),
            failures: BTreeMap::new(),
            backoff,
            counts: Counts::default(),
        }
    }

    /// Adds a key that is ready now.
    pub fn add(&mut self, key: K, now: Timestamp) {
        self.forget_timer(&key);
        if self.running.contains_key(&key) {
            // Counted when it comes in again, after this run.
            self.again.insert(key);
        } else if !self.since.contains_key(&key) {
            self.since.insert(key.clone(), now);
            self.ready.push_back(key);
            self.counts.added();
        }
    }

    /// Adds a key that becomes ready at a time; an earlier time already set stays.
    pub fn add_at(&mut self, key: K, at: Timestamp, now: Timestamp) {
        if at <= now {
            return self.add(key, now);
        }
        if self.since.contains_key(&key) || self.due.get(&key).is_some_and(|set| *set <= at) {
            return;
        }
        self.forget_timer(&key);
        self.due.insert(key.clone(), at);
        self.timers.insert((at, key));
    }

    /// Takes the next ready key; it runs until [`Queue::done`].
    pub fn pop(&mut self, now: Timestamp) -> Option<K> {
        self.ripen(now);
        let key = self.ready.pop_front()?;
        if let Some(since) = self.since.remove(&key) {
            self.counts.taken(since, now);
        }
        self.running.insert(key.clone(), now);
        Some(key)
    }

    /// Says how the run of a key ended.
    pub fn done(&mut self, key: K, outcome: &Result<Next, Failure>, now: Timestamp, rng: &Rng) {
        if let Some(since) = self.running.remove(&key) {
            self.counts.ended(since, now);
        }
        let wait = match outcome {
            Ok(next) => {
                self.failures.remove(&key);
                if let Next::After(wait) = next { Some(*wait) } else { None }
            }
            Err(Failure::Terminal(_)) => {
                self.failures.remove(&key);
                None
            }
            Err(_) => {
                let failures = self.failures.entry(key.clone()).or_default();
                *failures = failures.saturating_add(1);
                self.counts.retried();
                Some(self.backoff.wait(*failures, rng))
            }
        };
        let again = self.again.remove(&key);
        if again && outcome.is_ok() {
            return self.add(key, now);
        }
        // A failing key waits out its backoff even when events arrive: else a hot object would defeat it.
        if let Some(wait) = wait.or(again.then_some(Duration::ZERO)) {
            self.add_at(key, now.checked_add(wait).unwrap_or(Timestamp::MAX), now);
        }
    }

    /// Whether no key could be popped now.
    pub fn is_empty_at(&self, now: Timestamp) -> bool {
        self.ready.is_empty() && self.next_due().is_none_or(|at| at > now)
    }

    /// When the next waiting key becomes ready.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// How many keys are ready or running.
    pub fn depth(&self) -> usize {
        self.ready.len() + self.running.len()
    }

    /// Since when the oldest ready key has waited.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.ready.front().and_then(|key| self.since.get(key)).copied()
    }

    /// What it measured, and what it holds now.
    pub fn status(&self, now: Timestamp) -> QueueStatus {
        self.counts.read(self.running.values().copied(), self.ready.len(), now)
    }

    /// Whether nothing is ready or running (keys may wait for a time).
    pub fn is_idle(&self) -> bool {
        self.depth() == 0
    }

    fn ripen(&mut self, now: Timestamp) {
        while let Some((at, key)) = self.timers.first().cloned() {
            if at > now {
                break;
            }
            self.add(key, now);
        }
    }

    fn forget_timer(&mut self, key: &K) {
        if let Some(at) = self.due.remove(key) {
            self.timers.remove(&(at, key.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orc_core::env::Rng;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn queue() -> Queue<u8> {
        Queue::new(Backoff { jitter: 0.0, ..Backoff::default() })
    }

    #[test]
    fn a_key_added_while_it_runs_runs_again() {
        let (mut queue, rng) = (queue(), Rng::seeded(1));
        queue.add(1, at(0));
        queue.add(1, at(0));
        assert_eq!(queue.pop(at(0)), Some(1));
        queue.add(1, at(0));
        assert_eq!(queue.pop(at(0)), None, "never twice at once");
        queue.done(1, &Ok(Next::Done), at(0), &rng);
        assert_eq!(queue.pop(at(0)), Some(1));
        queue.done(1, &Ok(Next::Done), at(0), &rng);
        assert!(queue.is_idle() && queue.next_due().is_none());
    }

    #[test]
    fn failures_back_off_and_success_resets() {
        let (mut queue, rng) = (queue(), Rng::seeded(1));
        let fail = Err(Failure::Retry("x".into()));
        let mut waits = Vec::new();
        queue.add(1, at(0));
        let mut now = at(0);
        for _ in 0..3 {
            assert_eq!(queue.pop(now), Some(1));
            queue.done(1, &fail, now, &rng);
            let due = queue.next_due().unwrap();
            waits.push(due.duration_since(now).as_millis());
            now = due;
        }
        assert_eq!(waits, [5, 10, 20]);
        queue.pop(now);
        queue.done(1, &Err(Failure::Terminal("x".into())), now, &rng);
        assert_eq!(queue.next_due(), None);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Add(u8),
        AddAt(u8, i64),
        Pop,
        Done(u8, u8),
        Wait(i64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0u8..5).prop_map(Step::Add),
            (0u8..5, 0i64..20).prop_map(|(k, t)| Step::AddAt(k, t)),
            Just(Step::Pop),
            (0u8..5, 0u8..4).prop_map(|(k, o)| Step::Done(k, o)),
            (0i64..5).prop_map(Step::Wait),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        /// No key runs twice at once, and every key that was added runs afterwards.
        #[test]
        fn no_key_is_lost_or_doubled(steps in steps()) {
            let (mut queue, rng, mut now) = (queue(), Rng::seeded(1), 0);
            let mut running = BTreeSet::new();
            let mut owed = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Add(key) => { queue.add(key, at(now)); owed.insert(key); }
                    Step::AddAt(key, later) => { queue.add_at(key, at(now + later), at(now)); owed.insert(key); }
                    Step::Pop => if let Some(key) = queue.pop(at(now)) {
                        prop_assert!(running.insert(key), "key {key} runs twice");
                        owed.remove(&key);
                    },
                    Step::Done(key, outcome) => if running.remove(&key) {
                        let outcome = match outcome {
                            0 => Ok(Next::Done),
                            1 => Ok(Next::After(Duration::from_secs(3))),
                            2 => Err(Failure::Retry("r".into())),
                            _ => Err(Failure::Terminal("t".into())),
                        };
                        queue.done(key, &outcome, at(now), &rng);
                    },
                    Step::Wait(seconds) => now += seconds,
                }
            }
            for key in std::mem::take(&mut running) {
                queue.done(key, &Ok(Next::Done), at(now), &rng);
            }
            let late = at(now + 10_000);
            while let Some(key) = queue.pop(late) {
                owed.remove(&key);
                queue.done(key, &Ok(Next::Done), late, &rng);
            }
            prop_assert!(owed.is_empty(), "never ran: {owed:?}");
        }
    }
}
