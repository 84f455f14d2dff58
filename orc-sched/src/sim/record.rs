//! What is written down of a run.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

use super::chart::Chart;
use super::expected::Expected;
use super::workload::Job;
use crate::policies::gpu::GPU;
use crate::view::{CPU, MEMORY, View};

/// The most samples of a run; with more, every second one goes and only every second further one is taken.
const SAMPLES: usize = 1000;

/// How a cluster stands at a moment. Shares are in percent of what the nodes have then.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sample {
    /// The time, in seconds.
    pub time: f64,
    /// How many nodes there are.
    pub nodes: usize,
    /// How many pods wait.
    pub waiting: usize,
    /// CPU given out.
    pub cpu: f64,
    /// Memory given out.
    pub memory: f64,
    /// GPU given out; 0 without GPUs.
    pub gpu: f64,
    /// What is free but of no use to the pods that are expected: of GPU, or of CPU where there are no GPUs.
    pub fragmented: f64,
    /// Preemptions so far.
    pub preemptions: usize,
}

/// One policy's run.
#[derive(Clone, PartialEq, Debug)]
pub struct Run {
    /// The policy.
    pub policy: String,
    /// How often a pod was placed; one that lost its node counts again.
    pub placed: usize,
    /// Pods that still waited in the end.
    pub unplaced: usize,
    /// Seconds between coming and being placed, ascending. Those that still wait are not in here.
    pub delays: Vec<f64>,
    /// Pods for which others had to go, and how many those were.
    pub preemptions: (usize, usize),
    /// Pods that lost their node.
    pub restarted: usize,
    /// How it stood, in the order of time.
    pub samples: Vec<Sample>,
}

impl Run {
    /// The delay that a share (0 to 1) of the placed pods did not exceed, in seconds.
    pub fn delay(&self, share: f64) -> f64 {
        let at = (share * self.delays.len() as f64).ceil() as usize;
        self.delays.get(at.max(1) - 1).copied().unwrap_or_default()
    }

    /// The mean over time of a number.
    pub fn mean(&self, number: impl Fn(&Sample) -> f64) -> f64 {
        let (mut sum, mut time) = (0.0, 0.0);
        for pair in self.samples.windows(2) {
            sum += number(&pair[0]) * (pair[1].time - pair[0].time);
            time += pair[1].time - pair[0].time;
        }
        if time > 0.0 { sum / time } else { self.samples.last().map_or(0.0, number) }
    }
}

/// Policies side by side.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// A run a policy, in the order in which they were given.
    pub runs: Vec<Run>,
}

impl Report {
    /// Rows of text, the header first. Shares are means over time.
    pub fn table(&self) -> Vec<Vec<String>> {
        let header = [
            "policy",
            "GPU %",
            "CPU %",
            "memory %",
            "fragmented %",
            "placed",
            "unplaced",
            "delay p50",
            "p99",
            "preemptions",
            "victims",
            "restarted",
        ];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        for run in &self.runs {
            let shares = [|s: &Sample| s.gpu, |s: &Sample| s.cpu, |s: &Sample| s.memory, |s: &Sample| s.fragmented];
            let mut row = vec![run.policy.clone()];
            row.extend(shares.map(|share| format!("{:.2}", run.mean(share))));
            row.extend([run.placed, run.unplaced].map(|count| count.to_string()));
            row.extend([0.5, 0.99].map(|share| format!("{:.1}s", run.delay(share))));
            row.extend([run.preemptions.0, run.preemptions.1, run.restarted].map(|count| count.to_string()));
            rows.push(row);
        }
        rows
    }

    /// Every sample of every run.
    pub fn csv(&self) -> String {
        let mut out =
            "policy,seconds,nodes,waiting,cpu_percent,memory_percent,gpu_percent,fragmented_percent,preemptions\n"
                .to_owned();
        for run in &self.runs {
            for s in &run.samples {
                let _ = writeln!(
                    out,
                    "{},{:.3},{},{},{:.4},{:.4},{:.4},{:.4},{}",
                    run.policy, s.time, s.nodes, s.waiting, s.cpu, s.memory, s.gpu, s.fragmented, s.preemptions
                );
            }
        }
        out
    }

    /// Numbers of each run.
    pub fn json(&self) -> Value {
        let runs = self.runs.iter().map(|run| {
            json!({
                "policy": run.policy, "placed": run.placed, "unplaced": run.unplaced,
                "delaySeconds": {"p50": run.delay(0.5), "p99": run.delay(0.99), "max": run.delay(1.0)},
                "meanPercent": {
                    "cpu": run.mean(|s| s.cpu), "memory": run.mean(|s| s.memory), "gpu": run.mean(|s| s.gpu),
                    "fragmented": run.mean(|s| s.fragmented),
                },
                "preemptions": run.preemptions.0, "victims": run.preemptions.1, "restarted": run.restarted,
            })
        });
        json!({"seed": self.seed, "policies": runs.collect::<Vec<_>>()})
    }

    /// Allocation, fragmentation, waiting pods, queueing delay and preemptions.
    pub fn charts(&self) -> Vec<Chart> {
        let gpus = self.runs.iter().any(|run| run.samples.iter().any(|sample| sample.gpu > 0.0));
        let given = if gpus { |s: &Sample| s.gpu } else { |s: &Sample| s.cpu };
        let what = if gpus { "GPU" } else { "CPU" };
        let over_time = |title: String, y: &str, number: fn(&Sample) -> f64| Chart {
            title,
            x: "seconds".to_owned(),
            y: y.to_owned(),
            curves: self.curves(|run| run.samples.iter().map(|sample| (sample.time, number(sample))).collect()),
        };
        let delays = Chart {
            title: "Queueing delay".to_owned(),
            x: "% of the placed pods".to_owned(),
            y: "seconds at most".to_owned(),
            curves: self.curves(|run| (0..=100).map(|at| (f64::from(at), run.delay(f64::from(at) / 100.0))).collect()),
        };
        vec![
            over_time(format!("{what} given out"), "%", given),
            over_time(format!("{what} free but of no use"), "%", |s| s.fragmented),
            over_time("Pods that wait".to_owned(), "pods", |s| s.waiting as f64),
            delays,
            over_time("Preemptions so far".to_owned(), "pods", |s| s.preemptions as f64),
            over_time("Nodes".to_owned(), "nodes", |s| s.nodes as f64),
        ]
    }

    fn curves(&self, points: impl Fn(&Run) -> Vec<(f64, f64)>) -> Vec<(String, Vec<(f64, f64)>)> {
        self.runs.iter().map(|run| (run.policy.clone(), points(run))).collect()
    }
}

/// Writes a run down as it goes.
pub(super) struct Recorder {
    policy: String,
    expected: Arc<Expected>,
    samples: Vec<Sample>,
    stride: usize,
    skipped: usize,
    delays: Vec<u64>,
    pub(super) preemptions: usize,
    pub(super) victims: usize,
    pub(super) restarted: usize,
    pub(super) idle_rounds: u32,
}

impl Recorder {
    pub(super) fn new(policy: String, expected: Arc<Expected>) -> Self {
        Self {
            policy,
            expected,
            samples: Vec::new(),
            stride: 1,
            skipped: 0,
            delays: Vec::new(),
            preemptions: 0,
            victims: 0,
            restarted: 0,
            idle_rounds: 0,
        }
    }

    pub(super) fn placed(&mut self, delay: u64) {
        self.delays.push(delay);
    }

    pub(super) fn sample(&mut self, now: u64, view: &View, waiting: usize) {
        self.skipped += 1;
        if self.skipped < self.stride {
            return;
        }
        self.skipped = 0;
        self.take(now, view, waiting);
        if self.samples.len() > SAMPLES {
            let mut at = 0;
            self.samples.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.stride *= 2;
        }
    }

    fn take(&mut self, now: u64, view: &View, waiting: usize) {
        let share = |column: Option<usize>| {
            let columns = view.columns();
            let sum = |of: &[i64]| view.present().iter().map(|slot| of[slot]).sum::<i64>() as f64;
            column.map_or(0.0, |column| {
                100.0 * sum(columns.requested(column)) / sum(columns.allocatable(column)).max(1.0)
            })
        };
        self.samples.push(Sample {
            time: now as f64 / 1000.0,
            nodes: view.present().len(),
            waiting,
            cpu: share(Some(CPU)),
            memory: share(Some(MEMORY)),
            gpu: share(view.columns().column(GPU)),
            fragmented: self.expected.fragmented(view),
            preemptions: self.preemptions,
        });
    }

    pub(super) fn finish(mut self, now: u64, view: &View, left: Vec<(u64, &Job)>) -> Run {
        self.take(now, view, left.len());
        self.delays.sort_unstable();
        Run {
            policy: self.policy,
            placed: self.delays.len(),
            unplaced: left.len(),
            delays: self.delays.into_iter().map(|delay| delay as f64 / 1000.0).collect(),
            preemptions: (self.preemptions, self.victims),
            restarted: self.restarted,
            samples: self.samples,
        }
    }
}
