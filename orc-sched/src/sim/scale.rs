//! Adding and taking away nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use orc_core::Name;

use crate::node::NodeInfo;
use crate::pod::PodInfo;
use crate::view::{PODS, View};

/// How often an autoscaler is asked once nothing else is due: long enough for one that waits for idle nodes.
pub(super) const IDLE_ROUNDS: u32 = 100;

/// What an autoscaler sees.
#[derive(Debug)]
pub struct Load<'a> {
    /// The time in milliseconds.
    pub now: u64,
    /// The cluster.
    pub view: &'a View,
    /// Pods that fit nowhere, in the order in which they are tried.
    pub waiting: &'a [Arc<PodInfo>],
    /// Nodes that were asked for and have not come yet.
    pub coming: usize,
}

/// What an autoscaler wants.
#[derive(Clone, PartialEq, Debug)]
pub enum Scale {
    /// A node; it comes after so many milliseconds.
    Add(Arc<NodeInfo>, u64),
    /// No longer a node; its pods are made anew.
    Remove(Name),
}

/// Decides how many nodes there are. Asked again each [`Autoscaler::every`] milliseconds while something goes on.
pub trait Autoscaler: Send {
    /// How often it is asked, in milliseconds; not 0.
    fn every(&self) -> u64;

    /// What should change now.
    fn scale(&mut self, load: &Load<'_>) -> Vec<Scale>;
}

/// Nodes of one sort: as many as the waiting pods' CPU and memory come to, and none that has been empty for a while.
#[derive(Clone, Debug)]
pub struct Grow {
    /// What a node is like; its name gets a number.
    pub like: NodeInfo,
    /// The most that are added.
    pub most: usize,
    /// How long a node takes to come, in milliseconds.
    pub boot: u64,
    /// How long a node must be empty to go, in milliseconds.
    pub idle: u64,
    made: u64,
    /// Since when nodes of ours are empty.
    empty: BTreeMap<Name, u64>,
}

impl Grow {
    /// Nodes like `like`, at most `most`; they take a minute to come, and go when they were empty for ten.
    pub fn new(like: NodeInfo, most: usize) -> Self {
        Self { like, most, boot: 60_000, idle: 600_000, made: 0, empty: BTreeMap::new() }
    }

    fn ours<'a>(&self, view: &'a View) -> Vec<(usize, &'a Arc<NodeInfo>)> {
        let prefix = format!("{}-scaled-", self.like.name);
        view.nodes().filter(|(_, node)| node.name.starts_with(&prefix)).collect()
    }

    /// How many nodes the waiting pods come to.
    fn wanted(&self, waiting: &[Arc<PodInfo>]) -> usize {
        let has = |name: &str| self.like.allocatable.get(name).copied().unwrap_or_default().max(1);
        let fits = |pod: &&Arc<PodInfo>| pod.requests.cpu <= has("cpu") && pod.requests.memory <= has("memory");
        let sum = |of: fn(&PodInfo) -> i64| waiting.iter().filter(fits).map(|pod| of(pod)).sum::<i64>();
        let cpu = (sum(|pod| pod.requests.cpu) + has("cpu") - 1) / has("cpu");
        let memory = (sum(|pod| pod.requests.memory) + has("memory") - 1) / has("memory");
        let some = i64::from(waiting.iter().any(|pod| fits(&pod)));
        usize::try_from(cpu.max(memory).max(some)).unwrap_or_default()
    }
}

impl Autoscaler for Grow {
    fn every(&self) -> u64 {
        10_000
    }

    fn scale(&mut self, load: &Load<'_>) -> Vec<Scale> {
        let ours = self.ours(load.view);
        let used = load.view.columns().requested(PODS);
        self.empty.retain(|name, _| ours.iter().any(|(slot, node)| node.name == *name && used[*slot] == 0));
        for (_, node) in ours.iter().filter(|(slot, _)| used[*slot] == 0) {
            self.empty.entry(node.name.clone()).or_insert(load.now);
        }
        let room = self.most.saturating_sub(ours.len() + load.coming);
        let more = self.wanted(load.waiting).saturating_sub(load.coming).min(room);
        let mut scales: Vec<Scale> = Vec::new();
        for _ in 0..more {
            let name = Name::new(format!("{}-scaled-{}", self.like.name, self.made));
            self.made += 1;
            scales.push(Scale::Add(Arc::new(NodeInfo { name, ..self.like.clone() }), self.boot));
        }
        if load.waiting.is_empty() {
            let old = self.empty.iter().filter(|(_, since)| load.now - **since >= self.idle);
            scales.extend(old.map(|(name, _)| Scale::Remove(name.clone())));
        }
        scales
    }
}
