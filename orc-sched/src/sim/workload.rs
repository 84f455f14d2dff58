//! What happens in a simulated cluster, and when.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use orc_core::Name;
use orc_core::env::Rng;

use super::openb::Trace;
use crate::facts::{Fact, FactKey};
use crate::node::NodeInfo;
use crate::pod::PodInfo;

/// A pod that comes, and how long it runs once it is placed.
#[derive(Clone, PartialEq, Debug)]
pub struct Job {
    /// The pod, without a node; its uid is its own.
    pub pod: Arc<PodInfo>,
    /// How long it runs, in milliseconds; `None` for ever.
    pub runs: Option<u64>,
}

/// Something that happens.
#[derive(Clone, Debug)]
pub enum Act {
    /// A node comes, or comes back.
    Node(Arc<NodeInfo>),
    /// A node fails, or is taken away: its pods are made anew and wait.
    NodeGone(Name),
    /// A pod comes.
    Pod(Job),
    /// A pod is deleted, by its uid.
    PodGone(Name),
    /// Something beside nodes and pods comes or changes.
    Fact(FactKey, Arc<Fact>),
    /// It is deleted.
    FactGone(FactKey),
}

/// What happens, in milliseconds of virtual time. Acts of one moment happen in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub struct Workload {
    pub(super) acts: Vec<(u64, Act)>,
}

impl Workload {
    /// Nothing happens.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an act.
    #[must_use]
    pub fn at(mut self, time: u64, act: Act) -> Self {
        self.acts.push((time, act));
        self
    }

    /// Adds pods that come one by one, `every` milliseconds apart, and run for `runs`. Each is named after the pod, numbered.
    #[must_use]
    pub fn pods(mut self, start: u64, every: u64, count: usize, pod: &Pod, runs: Option<u64>) -> Self {
        let like = PodInfo::of(pod);
        for number in 0..count {
            let name = Name::new(format!("{}{number}", like.key.name));
            let mut pod = like.clone();
            pod.uid = Name::new(format!("{}/{name}@{start}", pod.key.namespace_str()));
            pod.key.name = name;
            self.acts.push((start + every * number as u64, Act::Pod(Job { pod: Arc::new(pod), runs })));
        }
        self
    }

    /// The tasks of a trace by its times, in seconds. Those without times come at once and stay.
    pub fn of_trace(trace: &Trace) -> Self {
        let start = trace.tasks.iter().filter_map(|task| task.created).fold(f64::MAX, f64::min);
        let milli = |seconds: f64| (seconds * 1000.0) as u64;
        let acts = trace.tasks.iter().map(|task| {
            let came = task.created.map_or(0, |created| milli(created - start));
            let runs = task.created.zip(task.deleted).map(|(created, deleted)| milli(deleted - created));
            (came, Act::Pod(Job { pod: task.pod(&task.name), runs }))
        });
        Self { acts: acts.collect() }
    }

    /// Lets random nodes fail: `mean` milliseconds apart on average (exponentially distributed), until `until`; each is back
    /// after `repair`.
    #[must_use]
    pub fn failures(mut self, nodes: &[Arc<NodeInfo>], mean: u64, repair: u64, until: u64, seed: u64) -> Self {
        let rng = Rng::seeded(seed);
        let mut time = 0;
        while !nodes.is_empty() && mean > 0 {
            let draw = (rng.below(1 << 52) + 1) as f64 / (1u64 << 52) as f64;
            time += ((-draw.ln() * mean as f64) as u64).max(1);
            if time > until {
                break;
            }
            let node = &nodes[usize::try_from(rng.below(nodes.len() as u64)).unwrap_or_default()];
            self.acts.push((time, Act::NodeGone(node.name.clone())));
            self.acts.push((time + repair, Act::Node(node.clone())));
        }
        self
    }

    /// What happens here and there; acts of this one first.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.acts.extend(other.acts);
        self
    }

    /// When the last act happens.
    pub fn end(&self) -> u64 {
        self.acts.iter().map(|(time, _)| *time).max().unwrap_or_default()
    }

    /// What happens, with the times.
    pub fn acts(&self) -> impl Iterator<Item = &(u64, Act)> {
        self.acts.iter()
    }

    /// The pods that come.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.acts.iter().filter_map(|(_, act)| match act {
            Act::Pod(job) => Some(job),
            _ => None,
        })
    }
}
