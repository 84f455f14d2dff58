//! The cluster as scheduling sees it: nodes as columns, the pods on them, and a way back.
//!
//! A node has a *slot*, given in the order of events and kept while the node exists; every column is indexed by it. All
//! changes go through two primitives whose inverse is known. While a [`Mark`] is open they are written to a journal, so that
//! "what if this pod were gone" changes the columns, runs the very code that decides for real, and is taken back exactly.
//! Each change is also appended to a bounded log from which candidate sets catch up.

mod change;
mod columns;
mod journal;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orc_core::Name;

use self::change::ChangeLog;
pub use self::change::{Change, ChangeKind};
pub use self::columns::{CPU, Columns, EPHEMERAL, MEMORY, PODS};
use self::journal::Journal;
pub use self::journal::Mark;
use crate::node::NodeInfo;
use crate::pod::PodInfo;
use crate::set::NodeSet;

/// A pod that has a node.
#[derive(Clone, PartialEq, Debug)]
pub struct Placed {
    /// The pod.
    pub pod: Arc<PodInfo>,
    /// The node's name; the node may not be known (yet, or any more).
    pub node: Name,
    /// Whether this is only a decision that the API has not confirmed.
    pub assumed: bool,
}

/// A pod that waits for others to leave a node.
#[derive(Clone, PartialEq, Debug)]
pub struct Nominated {
    /// The pod.
    pub pod: Arc<PodInfo>,
    /// The node's name.
    pub node: Name,
}

/// Nodes, pods and nominations.
#[derive(Debug, Default)]
pub struct View {
    nodes: Vec<Option<Arc<NodeInfo>>>,
    on: Vec<BTreeMap<Name, Arc<PodInfo>>>,
    slots: BTreeMap<Name, usize>,
    free: BTreeSet<usize>,
    present: NodeSet,
    columns: Columns,
    pods: BTreeMap<Name, Placed>,
    /// Pods by the name of a node that is not known.
    homeless: BTreeMap<Name, BTreeMap<Name, Arc<PodInfo>>>,
    nominated: BTreeMap<Name, Nominated>,
    journal: Journal,
    log: ChangeLog,
}

impl View {
    /// An empty cluster.
    pub fn new() -> Self {
        Self::default()
    }

    /// The slots that hold a node.
    pub fn present(&self) -> &NodeSet {
        &self.present
    }

    /// How many slots there are, free ones included: the length of every column.
    pub fn slot_count(&self) -> usize {
        self.nodes.len()
    }

    /// The node of a slot.
    pub fn node(&self, slot: usize) -> Option<&Arc<NodeInfo>> {
        self.nodes.get(slot)?.as_ref()
    }

    /// The nodes with their slots, in slot order.
    pub fn nodes(&self) -> impl Iterator<Item = (usize, &Arc<NodeInfo>)> {
        self.nodes.iter().enumerate().filter_map(|(slot, node)| Some((slot, node.as_ref()?)))
    }

    /// The slot of a node.
    pub fn slot(&self, node: &str) -> Option<usize> {
        self.slots.get(node).copied()
    }

    /// The pods on a node by uid, assumed ones included.
    pub fn pods_on(&self, slot: usize) -> impl Iterator<Item = &Arc<PodInfo>> {
        self.on.get(slot).into_iter().flat_map(BTreeMap::values)
    }

    /// A pod that has a node.
    pub fn placed(&self, uid: &str) -> Option<&Placed> {
        self.pods.get(uid)
    }

    /// All pods that have a node, by uid.
    pub fn all_placed(&self) -> impl Iterator<Item = &Placed> {
        self.pods.values()
    }

    /// The nominations by the pod's uid.
    pub fn nominations(&self) -> impl Iterator<Item = &Nominated> {
        self.nominated.values()
    }

    /// The numbers.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Adds or replaces a node. Says whether scheduling can tell the difference.
    pub(crate) fn put_node(&mut self, node: Arc<NodeInfo>) -> bool {
        if let Some(slot) = self.slot(&node.name) {
            let differs = self.nodes[slot].as_deref() != Some(&*node);
            if differs {
                self.swap_node(slot, Some(node));
            }
            return differs;
        }
        let slot = self.free.pop_first().unwrap_or_else(|| self.push_slot());
        self.swap_node(slot, Some(node));
        true
    }

    /// Takes a node out. Its pods stay known, without a slot.
    pub(crate) fn take_node(&mut self, name: &str) -> bool {
        let Some(slot) = self.slot(name) else { return false };
        self.swap_node(slot, None);
        true
    }

    /// Adds or replaces a pod with a node; returns what was known of it.
    pub(crate) fn put_pod(&mut self, placed: Placed) -> Option<Placed> {
        let uid = placed.pod.uid.clone();
        self.swap_pod(uid, Some(placed))
    }

    /// Takes a pod out.
    pub(crate) fn take_pod(&mut self, uid: &Name) -> Option<Placed> {
        self.pods.contains_key(uid).then(|| self.swap_pod(uid.clone(), None)).flatten()
    }

    /// Sets or clears the nomination of a pod; returns the one before.
    pub(crate) fn swap_nominated(&mut self, uid: Name, nominated: Option<Nominated>) -> Option<Nominated> {
        let before = match nominated {
            Some(nominated) => self.nominated.insert(uid.clone(), nominated),
            None => self.nominated.remove(&uid),
        };
        self.journal.nominated(uid, before.as_ref());
        before
    }

    /// The number of the next change.
    pub(crate) fn now(&self) -> u64 {
        self.log.next()
    }

    /// The changes from a number on; `None` when they are no longer kept.
    pub(crate) fn changes_since(&self, seen: u64) -> Option<impl Iterator<Item = &Change>> {
        self.log.since(seen)
    }

    fn push_slot(&mut self) -> usize {
        self.nodes.push(None);
        self.on.push(BTreeMap::new());
        self.columns.push();
        self.log.allow(self.nodes.len());
        self.journal.pushed();
        self.nodes.len() - 1
    }

    fn pop_slot(&mut self) {
        let slot = self.nodes.len() - 1;
        self.free.remove(&slot);
        self.nodes.pop();
        self.on.pop();
        self.columns.pop();
    }

    /// Puts another node, or none, into a slot: pods follow by the node's name.
    fn swap_node(&mut self, slot: usize, node: Option<Arc<NodeInfo>>) {
        let before = self.nodes[slot].take();
        let same = before.as_ref().map(|node| &node.name) == node.as_ref().map(|node| &node.name);
        if let (Some(old), false) = (&before, same) {
            self.empty(slot, old);
        }
        self.columns.set_allocatable(slot, node.as_deref());
        self.nodes[slot].clone_from(&node);
        self.log.push(Change { slot, kind: ChangeKind::Node { before: before.clone(), after: node.clone() } });
        match (&node, same) {
            (Some(new), false) => self.fill(slot, new),
            (None, _) => drop(self.free.insert(slot)),
            _ => {}
        }
        self.journal.node(slot, before);
    }

    fn empty(&mut self, slot: usize, old: &Arc<NodeInfo>) {
        let pods = std::mem::take(&mut self.on[slot]);
        for pod in pods.values() {
            self.columns.count(slot, pod, -1);
            self.log.push(Change::pod(slot, pod, old, false));
        }
        if !pods.is_empty() {
            self.homeless.insert(old.name.clone(), pods);
        }
        self.slots.remove(&old.name);
        self.present.remove(slot);
    }

    fn fill(&mut self, slot: usize, new: &Arc<NodeInfo>) {
        self.free.remove(&slot);
        self.slots.insert(new.name.clone(), slot);
        self.present.insert(slot);
        for (uid, pod) in self.homeless.remove(&new.name).unwrap_or_default() {
            self.columns.count(slot, &pod, 1);
            self.log.push(Change::pod(slot, &pod, new, true));
            self.on[slot].insert(uid, pod);
        }
    }

    /// Puts another state, or none, in the place of a pod.
    fn swap_pod(&mut self, uid: Name, placed: Option<Placed>) -> Option<Placed> {
        let before = self.pods.remove(&uid);
        let quiet =
            matches!((&before, &placed), (Some(a), Some(b)) if a.node == b.node && a.pod.same_footprint(&b.pod));
        if let Some(before) = &before {
            self.detach(&uid, before, quiet);
        }
        if let Some(placed) = placed {
            self.attach(&uid, &placed, quiet);
            self.pods.insert(uid.clone(), placed);
        }
        self.journal.pod(uid, before.as_ref());
        before
    }

    fn detach(&mut self, uid: &Name, placed: &Placed, quiet: bool) {
        let Some(slot) = self.slot(&placed.node) else {
            let left = self.homeless.get_mut(&placed.node);
            if left.is_some_and(|pods| pods.remove(uid).is_some() && pods.is_empty()) {
                self.homeless.remove(&placed.node);
            }
            return;
        };
        self.on[slot].remove(uid);
        if let (false, Some(node)) = (quiet, &self.nodes[slot]) {
            self.columns.count(slot, &placed.pod, -1);
            self.log.push(Change::pod(slot, &placed.pod, node, false));
        }
    }

    fn attach(&mut self, uid: &Name, placed: &Placed, quiet: bool) {
        let Some(slot) = self.slot(&placed.node) else {
            self.homeless.entry(placed.node.clone()).or_default().insert(uid.clone(), placed.pod.clone());
            return;
        };
        self.on[slot].insert(uid.clone(), placed.pod.clone());
        if let (false, Some(node)) = (quiet, &self.nodes[slot]) {
            self.columns.count(slot, &placed.pod, 1);
            self.log.push(Change::pod(slot, &placed.pod, node, true));
        }
    }
}

impl PartialEq for View {
    /// Equal state: what was logged or journaled on the way does not count.
    fn eq(&self, other: &Self) -> bool {
        self.nodes == other.nodes
            && self.on == other.on
            && self.slots == other.slots
            && self.free == other.free
            && self.present == other.present
            && self.columns == other.columns
            && self.pods == other.pods
            && self.homeless == other.homeless
            && self.nominated == other.nominated
    }
}
