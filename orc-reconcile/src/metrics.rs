//! What a loop's queue measures, and how it is shown: under the names that client-go's workqueue and controller-runtime use.

use jiff::Timestamp;
use orc_core::metrics::{Counter, Distribution, Histogram, Kind, Text};
use serde::Serialize;

use crate::controller::LoopStatus;

/// Bounds of waits and passes, seconds: client-go's, ten nanoseconds to a thousand seconds.
const BOUNDS: [f64; 12] = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0];

/// What a queue counts.
#[derive(Debug)]
pub(crate) struct Counts {
    adds: Counter,
    retries: Counter,
    waits: Histogram,
    passes: Histogram,
}

impl Default for Counts {
    fn default() -> Self {
        let (waits, passes) = (Histogram::new(&BOUNDS), Histogram::new(&BOUNDS));
        Self { adds: Counter::default(), retries: Counter::default(), waits, passes }
    }
}

impl Counts {
    /// A key came that was not waiting.
    pub(crate) fn added(&self) {
        self.adds.inc();
    }

    /// A key began to wait out its backoff.
    pub(crate) fn retried(&self) {
        self.retries.inc();
    }

    /// A key was taken that had waited.
    pub(crate) fn taken(&self, since: Timestamp, now: Timestamp) {
        self.waits.observe(passed(since, now));
    }

    /// A pass ended.
    pub(crate) fn ended(&self, since: Timestamp, now: Timestamp) {
        self.passes.observe(passed(since, now));
    }

    pub(crate) fn read(&self, running: impl Iterator<Item = Timestamp>, ready: usize, now: Timestamp) -> QueueStatus {
        let ages: Vec<f64> = running.map(|since| passed(since, now).as_secs_f64()).collect();
        QueueStatus {
            ready,
            adds: self.adds.get(),
            retries: self.retries.get(),
            unfinished_seconds: ages.iter().sum(),
            longest_seconds: ages.into_iter().fold(0.0, f64::max),
            waits: self.waits.read(),
            passes: self.passes.read(),
        }
    }
}

/// How much time passed; none when the clock went back.
fn passed(since: Timestamp, now: Timestamp) -> std::time::Duration {
    now.duration_since(since).try_into().unwrap_or_default()
}

/// How a queue does.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueStatus {
    /// Keys that are ready and do not run.
    pub ready: usize,
    /// Keys that were added and did not wait already.
    pub adds: u64,
    /// Keys that had to wait out a backoff.
    pub retries: u64,
    /// How long the passes under way have run, together, in seconds.
    pub unfinished_seconds: f64,
    /// How long the oldest of them has.
    pub longest_seconds: f64,
    /// How long keys waited until they were taken.
    #[serde(skip)]
    pub waits: Distribution,
    /// How long passes took.
    #[serde(skip)]
    pub passes: Distribution,
}

/// A family with one sample a loop.
type Sample = (&'static str, Kind, &'static str, fn(&LoopStatus, Timestamp) -> f64);

const SAMPLES: [Sample; 9] = [
    ("workqueue_depth", Kind::Gauge, "Keys that are ready and do not run.", |of, _| of.queue.ready as f64),
    ("workqueue_adds_total", Kind::Counter, "Keys that were added.", |of, _| of.queue.adds as f64),
    ("workqueue_retries_total", Kind::Counter, "Keys that waited out a backoff.", |of, _| of.queue.retries as f64),
    ("workqueue_unfinished_work_seconds", Kind::Gauge, "How long the passes under way have run.", |of, _| {
        of.queue.unfinished_seconds
    }),
    ("workqueue_longest_running_processor_seconds", Kind::Gauge, "How long the oldest pass has run.", |of, _| {
        of.queue.longest_seconds
    }),
    ("orc_loop_oldest_key_seconds", Kind::Gauge, "How long the oldest ready key has waited.", |of, now| {
        of.oldest.map_or(0.0, |since| passed(since, now).as_secs_f64())
    }),
    ("controller_runtime_reconcile_total", Kind::Counter, "Passes that ended.", |of, _| of.runs as f64),
    ("controller_runtime_reconcile_errors_total", Kind::Counter, "Passes that failed.", |of, _| of.failures as f64),
    ("controller_runtime_reconcile_panics_total", Kind::Counter, "Passes that panicked.", |of, _| of.panics as f64),
];

/// Writes the numbers of loops.
pub fn write(text: &mut Text, loops: &[LoopStatus], now: Timestamp) {
    for (name, kind, help, value) in SAMPLES {
        text.family(name, kind, help);
        let label = if name.starts_with("controller_runtime") { "controller" } else { "name" };
        loops.iter().for_each(|one| text.sample(&[(label, &one.name)], value(one, now)));
    }
    text.family("workqueue_queue_duration_seconds", Kind::Histogram, "How long keys waited until they were taken.");
    loops.iter().for_each(|one| text.histogram(&[("name", &one.name)], &one.queue.waits));
    text.family("workqueue_work_duration_seconds", Kind::Histogram, "How long passes took.");
    loops.iter().for_each(|one| text.histogram(&[("name", &one.name)], &one.queue.passes));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconciler::Failure;
    use crate::{Backoff, Queue};
    use orc_core::env::Rng;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_queue_measures_what_upstream_measures() {
        let (mut queue, rng) = (Queue::new(Backoff { jitter: 0.0, ..Backoff::default() }), Rng::seeded(1));
        queue.add(1_u8, at(0));
        queue.add(1, at(1));
        queue.add(2, at(1));
        queue.pop(at(5));
        queue.add(1, at(6));
        let status = queue.status(at(7));
        assert_eq!((status.adds, status.ready), (2, 1), "a key that waits already is not counted");
        assert_eq!((status.unfinished_seconds, status.waits.seconds), (2.0, 5.0));
        queue.done(1, &Err(Failure::Retry("x".into())), at(8), &rng);
        let status = queue.status(at(8));
        assert_eq!((status.retries, status.passes.seconds, status.longest_seconds), (1, 3.0, 0.0));
        let mut text = Text::default();
        write(&mut text, &[LoopStatus { name: "x".into(), queue: status, ..LoopStatus::default() }], at(9));
        let text = text.into_string();
        for line in [
            "workqueue_adds_total{name=\"x\"} 2\n",
            "workqueue_retries_total{name=\"x\"} 1\n",
            "workqueue_work_duration_seconds_bucket{name=\"x\",le=\"10\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
