//! Numbers by resource and slot.

use std::collections::BTreeMap;

use orc_core::Name;

use crate::node::NodeInfo;
use crate::pod::{HostPort, PodInfo};

/// The column of CPU, in thousandths.
pub const CPU: usize = 0;
/// The column of memory, in bytes.
pub const MEMORY: usize = 1;
/// The column of ephemeral storage, in bytes.
pub const EPHEMERAL: usize = 2;
/// The column of the number of pods.
pub const PODS: usize = 3;

/// What nodes have and what their pods ask for: one array a resource, indexed by slot. Extended resources get their column
/// when a node or a pod on a node first names them.
#[derive(Debug)]
pub struct Columns {
    slots: usize,
    names: BTreeMap<Name, usize>,
    allocatable: Vec<Vec<i64>>,
    requested: Vec<Vec<i64>>,
    scored_cpu: Vec<i64>,
    scored_memory: Vec<i64>,
    ports: Vec<BTreeMap<HostPort, u32>>,
}

impl Default for Columns {
    fn default() -> Self {
        let fixed = [("cpu", CPU), ("memory", MEMORY), ("ephemeral-storage", EPHEMERAL), ("pods", PODS)];
        Self {
            slots: 0,
            names: fixed.into_iter().map(|(name, column)| (Name::new(name), column)).collect(),
            allocatable: vec![Vec::new(); fixed.len()],
            requested: vec![Vec::new(); fixed.len()],
            scored_cpu: Vec::new(),
            scored_memory: Vec::new(),
            ports: Vec::new(),
        }
    }
}

impl Columns {
    /// The column of a resource; `None` when nothing has or holds it.
    pub fn column(&self, resource: &str) -> Option<usize> {
        self.names.get(resource).copied()
    }

    /// What the nodes have, by slot.
    pub fn allocatable(&self, column: usize) -> &[i64] {
        &self.allocatable[column]
    }

    /// What pods ask for, by slot; in [`PODS`] how many they are.
    pub fn requested(&self, column: usize) -> &[i64] {
        &self.requested[column]
    }

    /// CPU and memory as counted in scores, where pods that ask for nothing count with a default.
    pub fn scored(&self) -> (&[i64], &[i64]) {
        (&self.scored_cpu, &self.scored_memory)
    }

    /// The host ports taken on a node.
    pub fn ports(&self, slot: usize) -> impl Iterator<Item = &HostPort> {
        self.ports[slot].keys()
    }

    pub(super) fn push(&mut self) {
        self.slots += 1;
        let slots = self.slots;
        self.each(|column| column.resize(slots, 0));
        self.ports.push(BTreeMap::new());
    }

    pub(super) fn pop(&mut self) {
        self.slots -= 1;
        let slots = self.slots;
        self.each(|column| column.truncate(slots));
        self.ports.pop();
    }

    fn each(&mut self, mut act: impl FnMut(&mut Vec<i64>)) {
        let all = self.allocatable.iter_mut().chain(&mut self.requested);
        all.chain([&mut self.scored_cpu, &mut self.scored_memory]).for_each(&mut act);
    }

    pub(super) fn set_allocatable(&mut self, slot: usize, node: Option<&NodeInfo>) {
        self.allocatable.iter_mut().for_each(|column| column[slot] = 0);
        for (name, amount) in node.into_iter().flat_map(|node| &node.allocatable) {
            let column = self.intern(name);
            self.allocatable[column][slot] = *amount;
        }
    }

    /// Counts a pod in (`sign` 1) or out (-1).
    pub(super) fn count(&mut self, slot: usize, pod: &PodInfo, sign: i64) {
        let asked = &pod.requests;
        for (column, amount) in [(CPU, asked.cpu), (MEMORY, asked.memory), (EPHEMERAL, asked.ephemeral), (PODS, 1)] {
            self.requested[column][slot] += sign * amount;
        }
        for (name, amount) in &asked.other {
            let column = self.intern(name);
            self.requested[column][slot] += sign * amount;
        }
        self.scored_cpu[slot] += sign * asked.scored_cpu;
        self.scored_memory[slot] += sign * asked.scored_memory;
        for port in &pod.ports {
            self.count_port(slot, port, sign);
        }
    }

    fn count_port(&mut self, slot: usize, port: &HostPort, sign: i64) {
        let taken = &mut self.ports[slot];
        let users = taken.get(port).copied().unwrap_or_default();
        match if sign > 0 { users + 1 } else { users.saturating_sub(1) } {
            0 => drop(taken.remove(port)),
            users => drop(taken.insert(port.clone(), users)),
        }
    }

    fn intern(&mut self, resource: &Name) -> usize {
        if let Some(column) = self.names.get(resource) {
            return *column;
        }
        let column = self.allocatable.len();
        self.names.insert(resource.clone(), column);
        self.allocatable.push(vec![0; self.slots]);
        self.requested.push(vec![0; self.slots]);
        column
    }

    /// The columns that are not all zero, by name.
    fn meaning(&self) -> BTreeMap<&Name, (&[i64], &[i64])> {
        let of = |column: usize| (self.allocatable(column), self.requested(column));
        let all = self.names.iter().map(|(name, column)| (name, of(*column)));
        all.filter(|(_, (a, r))| a.iter().chain(*r).any(|n| *n != 0)).collect()
    }
}

impl PartialEq for Columns {
    /// Equal numbers; a column that has become all zero is as good as none.
    fn eq(&self, other: &Self) -> bool {
        self.slots == other.slots
            && self.meaning() == other.meaning()
            && self.scored() == other.scored()
            && self.ports == other.ports
    }
}
