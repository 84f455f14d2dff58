//! What a run gave.

use std::time::Duration;

use orc_benches::Unit;
use serde_json::{Value, json};

use crate::pool::Pool;
use crate::workload::Workload;

/// What the scheduler has counted since its start, or within a while.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counters {
    pub(crate) preemptions: f64,
    pub(crate) victims: f64,
    /// Seconds spent in decisions, and how many there were.
    pub(crate) deciding: f64,
    pub(crate) decisions: f64,
    /// Seconds of processors that the cluster and this program took.
    pub(crate) cluster_cpu: f64,
    pub(crate) runner_cpu: f64,
}

impl Counters {
    pub(crate) async fn read(pool: &Pool) -> anyhow::Result<Self> {
        let read = Self::parse(&String::from_utf8_lossy(&pool.get("/metrics").await?));
        let own = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Ok(Self { runner_cpu: own.tv_sec as f64 + own.tv_nsec as f64 / 1e9, ..read })
    }

    fn parse(text: &str) -> Self {
        let sum = |name: &str| {
            let of = text.lines().filter_map(|line| line.strip_prefix(name));
            let of = of.filter(|rest| rest.starts_with(['{', ' ']));
            of.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        Self {
            preemptions: sum("scheduler_preemption_attempts_total"),
            victims: sum("orc_scheduler_victims_total"),
            deciding: sum("scheduler_scheduling_algorithm_duration_seconds_sum"),
            decisions: sum("scheduler_scheduling_algorithm_duration_seconds_count"),
            cluster_cpu: sum("process_cpu_seconds_total"),
            runner_cpu: 0.0,
        }
    }

    pub(crate) fn since(self, before: &Self) -> Self {
        Self {
            preemptions: self.preemptions - before.preemptions,
            victims: self.victims - before.victims,
            deciding: self.deciding - before.deciding,
            decisions: self.decisions - before.decisions,
            cluster_cpu: self.cluster_cpu - before.cluster_cpu,
            runner_cpu: self.runner_cpu - before.runner_cpu,
        }
    }
}

/// What was measured of the operation that the workload is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) pods: usize,
    /// From the first request to the last pod's node.
    pub(crate) took: Duration,
    /// From the first request to the last pod that was accepted.
    pub(crate) created: Duration,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) counters: Counters,
    /// The most memory that the cluster's processes had, bytes.
    pub(crate) peak_memory: u64,
}

impl Outcome {
    pub(crate) fn of(
        pods: usize,
        took: Duration,
        created: Duration,
        mut latencies: Vec<Duration>,
        counters: Counters,
    ) -> Self {
        latencies.sort_unstable();
        let (p50, p99) = (part(&latencies, 50), part(&latencies, 99));
        Self { pods, took, created, p50, p99, counters, peak_memory: 0 }
    }

    pub(crate) fn pods_per_second(&self) -> f64 {
        self.rate(self.pods as f64)
    }

    /// Pods a second for which others were taken away; `None` where nobody was.
    pub(crate) fn preemptions_per_second(&self) -> Option<f64> {
        Some(self.counters.preemptions).filter(|count| *count > 0.0).map(|count| self.rate(count))
    }

    fn rate(&self, count: f64) -> f64 {
        count / self.took.as_secs_f64().max(1e-9)
    }

    pub(crate) fn json(&self, workload: &Workload) -> Value {
        json!({
            "name": workload.name, "workload": workload.variant,
            "podsPerSecond": self.pods_per_second(),
            "pods": self.pods, "seconds": self.took.as_secs_f64(), "createSeconds": self.created.as_secs_f64(),
            "schedulingLatencySeconds": {"p50": self.p50.as_secs_f64(), "p99": self.p99.as_secs_f64()},
            "decisionSeconds": self.counters.deciding, "decisions": self.counters.decisions,
            "clusterCpuSeconds": self.counters.cluster_cpu, "runnerCpuSeconds": self.counters.runner_cpu,
            "preemptionsPerSecond": self.preemptions_per_second(), "victims": self.counters.victims,
            "peakMemoryBytes": self.peak_memory,
            "kubeSchedulerThresholdPodsPerSecond": workload.threshold,
            "kubeScheduler136MeasuredPodsPerSecond": workload.reference,
        })
    }

    /// Where the time went, in a line.
    pub(crate) fn time(&self) -> String {
        let Counters { deciding, decisions, cluster_cpu, runner_cpu, .. } = self.counters;
        let each = Unit::Seconds.show(deciding / decisions.max(1.0));
        let took = self.took.as_secs_f64();
        format!(
            "{took:.1} s, all pods accepted after {:.1} s; processor time: cluster {cluster_cpu:.1} s, of that \
                 {decisions} decisions {deciding:.2} s ({each} each), this program {runner_cpu:.1} s",
            self.created.as_secs_f64()
        )
    }

    /// The cells of a table's row.
    pub(crate) fn cells(&self, workload: &Workload) -> [String; 8] {
        let seconds = |time: Duration| Unit::Seconds.show(time.as_secs_f64());
        let compared = workload.reference.or(workload.threshold);
        let times = compared.map_or("-".to_owned(), |other| format!("{:.1} x", self.pods_per_second() / other));
        let mark = if workload.reference.is_none() { " *" } else { "" };
        [
            format!("{} {}", workload.name, workload.variant),
            format!("{:.0}", self.pods_per_second()),
            compared.map_or("-".to_owned(), |other| format!("{other:.0}{mark}")),
            times,
            seconds(self.p50),
            seconds(self.p99),
            self.preemptions_per_second().map_or("-".to_owned(), |rate| format!("{rate:.1}")),
            Unit::Bytes.show(self.peak_memory as f64),
        ]
    }
}

/// The latency that so many of a hundred do not exceed.
fn part(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_latencies_are_of_the_measured_pods() {
        let latencies = (1..=100).rev().map(Duration::from_millis).collect();
        let counters = Counters { preemptions: 4.0, ..Counters::default() };
        let outcome = Outcome::of(100, Duration::from_secs(2), Duration::from_secs(1), latencies, counters);
        assert_eq!((outcome.p50, outcome.p99), (Duration::from_millis(50), Duration::from_millis(99)));
        assert!((outcome.pods_per_second() - 50.0).abs() < 1e-9);
        assert!((outcome.preemptions_per_second().unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(Outcome::default().preemptions_per_second(), None);
    }

    #[test]
    fn counters_are_sums_over_labels() {
        let text = "scheduler_preemption_attempts_total 3\nscheduler_preemption_attempts_total_x 9\n\
                    scheduler_scheduling_algorithm_duration_seconds_sum{profile=\"a\"} 0.5\n\
                    scheduler_scheduling_algorithm_duration_seconds_sum{profile=\"b\"} 0.25\n";
        let read = Counters::parse(text);
        assert_eq!((read.preemptions, read.deciding, read.victims), (3.0, 0.75, 0.0));
    }
}
