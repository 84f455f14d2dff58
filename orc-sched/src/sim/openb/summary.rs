//! Outcomes as tables, CSV, JSON and curves.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::experiment::Outcome;
use crate::sim::chart::Chart;

/// All seeds of one policy.
#[derive(Clone, PartialEq, Debug)]
pub struct Summary<'a> {
    /// The policy.
    pub policy: &'a str,
    /// Its runs.
    pub runs: Vec<&'a Outcome>,
}

/// Outcomes by policy, in the order in which policies first occur.
pub fn summaries(outcomes: &[Outcome]) -> Vec<Summary<'_>> {
    let mut all: Vec<Summary<'_>> = Vec::new();
    for run in outcomes {
        match all.iter_mut().find(|summary| summary.policy == run.policy) {
            Some(summary) => summary.runs.push(run),
            None => all.push(Summary { policy: &run.policy, runs: vec![run] }),
        }
    }
    all
}

impl Summary<'_> {
    /// The mean, over the seeds, of a number.
    pub fn mean(&self, number: impl Fn(&Outcome) -> f64) -> f64 {
        self.runs.iter().map(|run| number(run)).sum::<f64>() / self.runs.len().max(1) as f64
    }

    /// GPU given out when demand reached capacity, in percent: mean, lowest and highest.
    pub fn allocated(&self) -> (f64, f64, f64) {
        let all = || self.runs.iter().map(|run| run.allocated);
        (self.mean(|run| run.allocated), all().fold(f64::MAX, f64::min), all().fold(f64::MIN, f64::max))
    }

    /// GPU of no use to the pods that are expected, at that moment.
    pub fn fragmented(&self) -> f64 {
        self.mean(|run| run.curve.last().map_or(0.0, |point| point.fragmented))
    }

    /// The mean curve of a number over what has arrived.
    fn curve(&self, number: impl Fn(&super::Point) -> f64) -> Vec<(f64, f64)> {
        let steps = self.runs.iter().map(|run| run.curve.len()).min().unwrap_or_default();
        (0..steps).map(|at| ((at + 1) as f64, self.mean(|run| number(&run.curve[at])))).collect()
    }
}

/// Rows of text, the header first.
pub fn table(outcomes: &[Outcome]) -> Vec<Vec<String>> {
    let header = ["policy", "allocated %", "lowest", "highest", "fragmented %", "placed", "refused", "seeds"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for summary in summaries(outcomes) {
        let (mean, low, high) = summary.allocated();
        let counts = [summary.mean(|run| run.placed as f64), summary.mean(|run| run.refused as f64)];
        let mut row = vec![summary.policy.to_owned()];
        row.extend([mean, low, high, summary.fragmented()].map(|number| format!("{number:.2}")));
        row.extend(counts.map(|number| format!("{number:.0}")));
        row.push(summary.runs.len().to_string());
        rows.push(row);
    }
    rows
}

/// Every point of every run.
pub fn csv(outcomes: &[Outcome]) -> String {
    let mut out = "policy,seed,arrived_percent,allocated_percent,fragmented_percent\n".to_owned();
    for run in outcomes {
        for point in &run.curve {
            let (arrived, allocated, fragmented) = (point.arrived, point.allocated, point.fragmented);
            let _ = writeln!(out, "{},{},{arrived:.4},{allocated:.4},{fragmented:.4}", run.policy, run.seed);
        }
    }
    out
}

/// Means and each run.
pub fn json(outcomes: &[Outcome]) -> Value {
    let round = |number: f64| (number * 10_000.0).round() / 10_000.0;
    let policies = summaries(outcomes).into_iter().map(|summary| {
        let runs = summary.runs.iter().map(|run| {
            json!({"seed": run.seed, "allocatedPercent": round(run.allocated), "placed": run.placed, "refused": run.refused})
        });
        json!({
            "policy": summary.policy,
            "allocatedPercent": round(summary.allocated().0),
            "fragmentedPercent": round(summary.fragmented()),
            "runs": runs.collect::<Vec<_>>(),
        })
    });
    json!({"policies": policies.collect::<Vec<_>>()})
}

/// Allocation and fragmentation over arrived demand, mean of the seeds, one curve a policy.
pub fn charts(outcomes: &[Outcome]) -> Vec<Chart> {
    let all = summaries(outcomes);
    let chart = |title: &str, number: fn(&super::Point) -> f64| Chart {
        title: title.to_owned(),
        x: "GPU asked for, % of capacity".to_owned(),
        y: "% of capacity".to_owned(),
        curves: all.iter().map(|summary| (summary.policy.to_owned(), summary.curve(number))).collect(),
    };
    let lost = |point: &super::Point| point.arrived.min(100.0) - point.allocated;
    vec![
        chart("GPU given out", |point| point.allocated),
        chart("GPU asked for but not given out", lost),
        chart("GPU free but of no use", |point| point.fragmented),
    ]
}
