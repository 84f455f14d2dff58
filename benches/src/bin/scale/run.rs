//! The stages of a run.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use indicatif::ProgressBar;
use orc_benches::cluster::Cluster;
use orc_benches::{Measure, Unit};

use crate::calls::Calls;
use crate::light::{Kind, Light};
use crate::usage::Memory;

/// Between two looks at how far the cluster is: well below what is measured.
const LOOK: Duration = Duration::from_millis(100);

/// What to run.
pub(crate) struct Plan<'a> {
    pub(crate) nodes: u32,
    pub(crate) pods: u32,
    pub(crate) deployments: u32,
    pub(crate) idle: Duration,
    pub(crate) patience: Duration,
    pub(crate) orc: &'a Path,
    pub(crate) dir: &'a Path,
    pub(crate) flags: &'a [String],
}

impl Plan<'_> {
    /// Pods of each Deployment; the first ones take what does not divide.
    fn shares(&self) -> impl Iterator<Item = (u32, u32)> {
        let (each, rest) = (self.pods / self.deployments, self.pods % self.deployments);
        (0..self.deployments).map(move |number| (number, each + u32::from(number < rest)))
    }
}

/// Runs all stages in a new cluster.
pub(crate) async fn run(plan: &Plan<'_>, bar: &ProgressBar) -> anyhow::Result<Vec<Measure>> {
    let started = Instant::now();
    let cluster = up(plan, bar)?;
    let nodes_ready = started.elapsed();
    let memory = Memory::watch(cluster.processes());
    let calls = Calls::open(&cluster).await?;
    let light = Light::start(&Calls::open(&cluster).await?, plan.nodes);
    let stages = Stages { plan, bar, memory, calls, light, measures: Vec::new() };
    stages.all(nodes_ready).await
}

fn up(plan: &Plan<'_>, bar: &ProgressBar) -> anyhow::Result<Cluster> {
    bar.set_message("nodes");
    bar.set_length(plan.nodes.into());
    let nodes = plan.nodes.to_string();
    let mut flags = vec!["--nodes", "0", "--sim-nodes", &nodes];
    flags.extend(plan.flags.iter().map(String::as_str));
    Cluster::up(plan.orc, plan.dir, &flags)
}

struct Stages<'a> {
    plan: &'a Plan<'a>,
    bar: &'a ProgressBar,
    memory: Memory,
    calls: Calls,
    light: Light,
    measures: Vec<Measure>,
}

impl Stages<'_> {
    async fn all(mut self, nodes_ready: Duration) -> anyhow::Result<Vec<Measure>> {
        self.note("start to all nodes Ready", Unit::Seconds, nodes_ready.as_secs_f64());
        self.light.take()?;
        self.fill().await.context("while the pods start")?;
        self.idle().await.context("while the cluster idles")?;
        self.empty().await.context("while the pods end")?;
        #[expect(clippy::cast_precision_loss, reason = "memory of a machine is far below 2^52 bytes")]
        let peak = self.memory.peak() as f64;
        self.note("peak memory (PSS)", Unit::Bytes, peak);
        Ok(self.measures)
    }

    fn note(&mut self, name: &str, unit: Unit, number: f64) {
        self.measures.push(Measure::new(name, unit).run(number));
    }

    /// From the first Deployment until all pods are Ready.
    async fn fill(&mut self) -> anyhow::Result<()> {
        let pods = u64::from(self.plan.pods);
        let (began, cpu) = self.begin("pods Ready", pods);
        for (number, replicas) in self.plan.shares() {
            self.calls.deploy(number, replicas).await?;
        }
        let calls = self.calls.clone();
        self.until(pods, || calls.ready_replicas()).await?;
        self.end("all pods Ready", began, cpu)?;
        let ready = self.calls.ready_pods().await?;
        ensure!(ready == pods, "the Deployments say that {pods} pods are Ready, but {ready} are");
        self.light.take().map(drop)
    }

    /// What the full cluster costs while nobody wants anything of it.
    async fn idle(&mut self) -> anyhow::Result<()> {
        let idle = self.plan.idle;
        if idle.is_zero() {
            return Ok(());
        }
        let (began, cpu) = self.begin("idle", idle.as_secs());
        while began.elapsed() < idle {
            tokio::time::sleep(Duration::from_secs(1).min(idle - began.elapsed())).await;
            self.bar.set_position(began.elapsed().as_secs());
        }
        let used = (self.memory.cpu() - cpu).as_secs_f64() / began.elapsed().as_secs_f64();
        self.note("full and idle: CPU a second", Unit::Seconds, used);
        self.latencies("full and idle")
    }

    /// From the first Deployment that is scaled down until no pod is left.
    async fn empty(&mut self) -> anyhow::Result<()> {
        let pods = u64::from(self.plan.pods);
        let (began, cpu) = self.begin("pods gone", pods);
        for (number, _) in self.plan.shares() {
            self.calls.scale(number, 0).await?;
        }
        let calls = self.calls.clone();
        self.until(pods, || async { Ok(pods.saturating_sub(calls.pods().await?)) }).await?;
        self.end("all pods gone", began, cpu)
    }

    fn begin(&self, what: &'static str, count: u64) -> (Instant, Duration) {
        self.bar.reset();
        self.bar.set_message(what);
        self.bar.set_length(count);
        (Instant::now(), self.memory.cpu())
    }

    fn end(&mut self, what: &str, began: Instant, cpu: Duration) -> anyhow::Result<()> {
        let (took, used) = (began.elapsed().as_secs_f64(), self.memory.cpu() - cpu);
        self.note(what, Unit::Seconds, took);
        self.note(&format!("{what}: rate"), Unit::PerSecond, f64::from(self.plan.pods) / took);
        self.note(&format!("{what}: CPU"), Unit::Seconds, used.as_secs_f64());
        self.latencies(what)
    }

    fn latencies(&mut self, what: &str) -> anyhow::Result<()> {
        let seen = self.light.take()?;
        for kind in Kind::ALL {
            for (share, label) in [(0.5, "p50"), (0.99, "p99")] {
                let runs = seen.quantile(kind, share).map(|took| took.as_secs_f64()).into_iter().collect();
                let name = format!("{what}: {} {label}", kind.name());
                self.measures.push(Measure { runs, ..Measure::new(name, Unit::Seconds) });
            }
        }
        Ok(())
    }

    /// Looks until a count is reached; fails when it does not move for too long.
    async fn until<F>(&self, wanted: u64, count: impl Fn() -> F) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<u64>>,
    {
        let (mut last, mut moved) = (0, Instant::now());
        loop {
            let now = count().await?;
            self.bar.set_position(now);
            if now == wanted {
                return Ok(());
            }
            if now != last {
                (last, moved) = (now, Instant::now());
            }
            let patience = self.plan.patience;
            ensure!(moved.elapsed() < patience, "{now} of {wanted} since {} s", patience.as_secs());
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_shared_evenly() {
        let plan = Plan {
            nodes: 1,
            pods: 8,
            deployments: 3,
            idle: Duration::ZERO,
            patience: Duration::ZERO,
            orc: Path::new(""),
            dir: Path::new(""),
            flags: &[],
        };
        assert_eq!(plan.shares().map(|(_, replicas)| replicas).collect::<Vec<_>>(), [3, 3, 2]);
    }
}
