//! Policies side by side on one workload.

use std::sync::Arc;

use orc_core::env::Rng;

use super::expected::Expected;
use super::openb::each;
use super::record::{Recorder, Report, Run};
use super::scale::Autoscaler;
use super::workload::{Act, Workload};
use super::world::World;
use crate::node::NodeInfo;
use crate::pod::PodInfo;
use crate::policies::gpu::Typical;
use crate::profile::Profile;

type MakeScaler = Box<dyn Fn() -> Box<dyn Autoscaler> + Sync>;

/// A cluster in virtual time: the engine of the live scheduler, without a clock, a store or pods that run.
///
/// ```
/// use orc_sched::{NodeInfo, Profile};
/// use orc_sched::policies::{self, BestFit};
/// use orc_sched::sim::{Simulation, Workload};
/// use std::sync::Arc;
///
/// let node = |number| Arc::new(NodeInfo {
///     name: format!("node-{number}").into(),
///     allocatable: [("cpu", 4000), ("memory", 1 << 33), ("pods", 110)].map(|(name, n)| (name.into(), n)).into(),
///     ..NodeInfo::default()
/// });
/// let pod = serde_json::from_value(serde_json::json!({
///     "metadata": {"name": "job-"},
///     "spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "1500m"}}}]},
/// })).unwrap();
/// let workload = Workload::new().pods(0, 1_000, 10, &pod, Some(30_000));     // one a second, each runs 30 s
/// let simulation = Simulation::new((0..4).map(node).collect(), workload);
/// let report = simulation.policy(Profile::default()).policy(policies::profile(BestFit)).seed(7).run();
/// assert_eq!(report.runs[0].placed, 10);
/// assert!(report.runs[1].delay(1.0) > 0.0);                                  // eight fit at once; the others wait
/// ```
pub struct Simulation {
    nodes: Vec<Arc<NodeInfo>>,
    placed: Vec<Arc<PodInfo>>,
    workload: Workload,
    policies: Vec<Profile>,
    seed: u64,
    failures: Option<(u64, u64)>,
    scaler: Option<MakeScaler>,
}

impl Simulation {
    /// A cluster of some nodes, and what happens in it.
    pub fn new(nodes: Vec<Arc<NodeInfo>>, workload: Workload) -> Self {
        Self { nodes, placed: Vec::new(), workload, policies: Vec::new(), seed: 0, failures: None, scaler: None }
    }

    /// Pods that are on nodes in the beginning.
    #[must_use]
    pub fn placed(mut self, pods: Vec<Arc<PodInfo>>) -> Self {
        self.placed = pods;
        self
    }

    /// Runs a policy too.
    #[must_use]
    pub fn policy(mut self, profile: Profile) -> Self {
        self.policies.push(profile);
        self
    }

    /// What chooses among nodes of equal score. The same seed gives the same report.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Lets nodes fail, `mean` milliseconds apart on average, until the last act of the workload; each is away for `repair`.
    #[must_use]
    pub fn failures(mut self, mean: u64, repair: u64) -> Self {
        self.failures = Some((mean, repair));
        self
    }

    /// Adds and takes away nodes while it runs; each policy gets an autoscaler of its own.
    #[must_use]
    pub fn autoscaler<A: Autoscaler + 'static>(mut self, make: impl Fn() -> A + Sync + 'static) -> Self {
        self.scaler = Some(Box::new(move || Box::new(make())));
        self
    }

    /// The pods that are expected, by those of the workload; FGD and its like need them.
    pub fn typical(&self) -> Arc<Typical> {
        self.expected().typical().clone()
    }

    fn expected(&self) -> Expected {
        Expected::of(self.workload.jobs())
    }

    /// Runs every policy, on all cores.
    pub fn run(&self) -> Report {
        let expected = Arc::new(self.expected());
        let runs = each(&self.policies, |_| (), |profile| self.run_one(profile, &expected));
        Report { seed: self.seed, runs }
    }

    fn run_one(&self, profile: &Profile, expected: &Arc<Expected>) -> Run {
        let recorder = Recorder::new(profile.name.to_string(), expected.clone());
        let mut world = World::new(profile.clone(), Rng::seeded(self.seed).next(), recorder);
        self.nodes.iter().for_each(|node| world.plan(0, Act::Node(node.clone())));
        self.placed.iter().for_each(|pod| world.place(pod));
        self.workload.acts.iter().for_each(|(time, act)| world.plan(*time, act.clone()));
        if let Some((mean, repair)) = self.failures {
            let failing = Workload::new().failures(&self.nodes, mean, repair, self.workload.end(), self.seed);
            failing.acts.into_iter().for_each(|(time, act)| world.plan(time, act));
        }
        let mut scaler = self.scaler.as_ref().map(|make| make());
        world.run(scaler.as_mut().map(|scaler| &mut **scaler as &mut dyn Autoscaler))
    }
}
