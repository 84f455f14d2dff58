//! What the scheduler counts, under kube-scheduler's names (`pkg/scheduler/metrics` upstream).

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use orc_core::Name;
use orc_core::metrics::{Counter, Family, Histogram, Kind, Text};

/// Bounds of decisions and attempts, seconds: a millisecond doubled to 16 seconds as upstream's, and four finer ones, since a
/// decision takes microseconds here.
const DECISIONS: [f64; 19] = [
    0.000_01, 0.000_03, 0.000_1, 0.000_3, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024,
    2.048, 4.096, 8.192, 16.384,
];
/// Bounds of waits, seconds: ten milliseconds doubled to an hour and a half, upstream's.
const WAITS: [f64; 20] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68, 655.36,
    1310.72, 2621.44, 5242.88,
];
/// Bounds of attempts of a pod.
const ATTEMPTS: [f64; 5] = [1.0, 2.0, 4.0, 8.0, 16.0];
/// Bounds of victims of one preemption.
const VICTIMS: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
/// Profiles are few; a configuration with more shares the last series.
const BOUND: usize = 256;

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Ended {
    /// The pod was bound.
    Scheduled,
    /// The pod fits nowhere.
    Unschedulable,
    /// Something else went wrong.
    Error,
}

impl Ended {
    fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Unschedulable => "unschedulable",
            Self::Error => "error",
        }
    }
}

type ByResult<M> = Family<(Ended, Name), M>;

/// What the scheduler counts. Counting takes no lock.
pub struct SchedulerMetrics {
    attempts: ByResult<Counter>,
    attempt_seconds: ByResult<Histogram>,
    algorithm: Histogram,
    sli: Family<u32, Histogram>,
    tries: Histogram,
    preemptions: Counter,
    victims: Histogram,
    incoming: Family<(&'static str, &'static str), Counter>,
}

impl Default for SchedulerMetrics {
    fn default() -> Self {
        let rest = (Ended::Error, Name::default());
        Self {
            attempts: Family::new(Counter::default, BOUND, rest.clone()),
            attempt_seconds: Family::new(|| Histogram::new(&DECISIONS), BOUND, rest),
            algorithm: Histogram::new(&DECISIONS),
            sli: Family::new(|| Histogram::new(&WAITS), BOUND, 0),
            tries: Histogram::new(&ATTEMPTS),
            preemptions: Counter::default(),
            victims: Histogram::new(&VICTIMS),
            incoming: Family::new(Counter::default, BOUND, ("", "")),
        }
    }
}

impl SchedulerMetrics {
    /// An attempt began at a time and has ended now.
    pub(super) fn ended(&self, how: Ended, profile: &Name, began: Timestamp, now: Timestamp) {
        let labels = (how, profile.clone());
        self.attempts.of(&labels).inc();
        self.attempt_seconds.of(&labels).observe(passed(began, now));
    }

    /// The engine decided about a pod, whatever the outcome.
    pub(super) fn decided(&self, began: Timestamp, now: Timestamp) {
        self.algorithm.observe(passed(began, now));
    }

    /// A pod was bound that was ready to be tried first at a time.
    pub(super) fn bound(&self, ready: Timestamp, attempts: u32, now: Timestamp) {
        // As upstream: 15 and more are one series.
        self.sli.of(&attempts.min(15)).observe(passed(ready, now));
        self.tries.observe(Duration::from_secs(attempts.into()));
    }

    /// Others are taken away for a pod.
    pub(super) fn preempted(&self, victims: usize) {
        self.preemptions.inc();
        self.victims.observe(Duration::from_secs(victims as u64));
    }

    /// A pod came into a queue because of an event.
    pub(super) fn incoming(&self, queue: &'static str, event: &'static str) {
        self.incoming.of(&(queue, event)).inc();
    }

    /// Writes the families.
    pub fn write(&self, text: &mut Text) {
        text.family("scheduler_schedule_attempts_total", Kind::Counter, "Attempts to schedule pods, by result.");
        for ((how, profile), count) in self.attempts.all() {
            text.sample(&[("profile", &profile), ("result", how.name())], count.get() as f64);
        }
        let help = "How long attempts took, from the decision to the binding.";
        text.family("scheduler_scheduling_attempt_duration_seconds", Kind::Histogram, help);
        for ((how, profile), seconds) in self.attempt_seconds.all() {
            text.histogram(&[("profile", &profile), ("result", how.name())], &seconds.read());
        }
        text.family("scheduler_scheduling_algorithm_duration_seconds", Kind::Histogram, "How long decisions took.");
        text.histogram(&[], &self.algorithm.read());
        let help = "From the time that a pod could first be tried to its binding.";
        text.family("scheduler_pod_scheduling_sli_duration_seconds", Kind::Histogram, help);
        for (attempts, seconds) in self.sli.all() {
            let attempts = if attempts < 15 { attempts.to_string() } else { "15+".to_owned() };
            text.histogram(&[("attempts", &attempts)], &seconds.read());
        }
        text.family("scheduler_pod_scheduling_attempts", Kind::Histogram, "Attempts that bound pods took.");
        text.histogram(&[], &self.tries.read());
        let help = "Pods for which others were taken away.";
        text.one("scheduler_preemption_attempts_total", Kind::Counter, help, self.preemptions.get() as f64);
        text.family("scheduler_preemption_victims", Kind::Histogram, "Pods that were chosen by a preemption.");
        text.histogram(&[], &self.victims.read());
        text.family("scheduler_queue_incoming_pods_total", Kind::Counter, "Pods that came into queues, by event.");
        for ((queue, event), count) in self.incoming.all() {
            text.sample(&[("event", event), ("queue", queue)], count.get() as f64);
        }
    }
}

/// Metrics are shared with those who read them.
pub(super) type Shared = Arc<SchedulerMetrics>;

fn passed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_kube_schedulers_names_and_labels() {
        let metrics = SchedulerMetrics::default();
        let at = |millis: i64| Timestamp::from_millisecond(millis).unwrap();
        let profile = Name::new("default-scheduler");
        metrics.ended(Ended::Scheduled, &profile, at(0), at(3));
        metrics.ended(Ended::Unschedulable, &profile, at(0), at(1));
        metrics.decided(at(0), at(1));
        metrics.bound(at(0), 20, at(70));
        metrics.preempted(3);
        metrics.incoming("active", "PodAdd");
        let mut text = Text::default();
        metrics.write(&mut text);
        let text = text.into_string();
        for line in [
            "scheduler_schedule_attempts_total{profile=\"default-scheduler\",result=\"scheduled\"} 1",
            "scheduler_scheduling_attempt_duration_seconds_bucket{profile=\"default-scheduler\",result=\"scheduled\",le=\"0.004\"} 1",
            "scheduler_scheduling_algorithm_duration_seconds_count 1",
            "scheduler_pod_scheduling_sli_duration_seconds_bucket{attempts=\"15+\",le=\"0.08\"} 1",
            "scheduler_pod_scheduling_attempts_sum 20",
            "scheduler_preemption_attempts_total 1",
            "scheduler_preemption_victims_bucket{le=\"4\"} 1",
            "scheduler_queue_incoming_pods_total{event=\"PodAdd\",queue=\"active\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
