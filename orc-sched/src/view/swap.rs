//! The two primitives that change nodes and pods.

use std::sync::Arc;

use orc_core::Name;

use super::change::{Change, ChangeKind};
use super::residents::Residents;
use super::{Placed, View};
use crate::node::NodeInfo;

impl View {
    pub(super) fn push_slot(&mut self) -> usize {
        self.nodes.push(None);
        self.on.push(Residents::default());
        self.columns.push();
        self.log.allow(self.nodes.len());
        self.journal.pushed();
        self.nodes.len() - 1
    }

    pub(super) fn pop_slot(&mut self) {
        let slot = self.nodes.len() - 1;
        self.free.remove(&slot);
        self.nodes.pop();
        self.on.pop();
        self.columns.pop();
    }

    /// Puts another node, or none, into a slot: pods follow by the node's name.
    pub(super) fn swap_node(&mut self, slot: usize, node: Option<Arc<NodeInfo>>) {
        let before = self.nodes[slot].take();
        let same = before.as_ref().map(|node| &node.name) == node.as_ref().map(|node| &node.name);
        // Pods of a node that is described differently leave the places of the old labels and come to those of the new.
        let moved = same && before.as_ref().zip(node.as_ref()).is_some_and(|(old, new)| differs_to_pods(old, new));
        match &before {
            Some(old) if !same => self.empty(slot, old),
            Some(old) if moved => self.tell_pods(slot, old, false),
            _ => {}
        }
        self.columns.set_allocatable(slot, node.as_deref());
        self.nodes[slot].clone_from(&node);
        self.topology.put(slot, node.as_deref());
        self.log.push(Change { slot, kind: ChangeKind::Node { before: before.clone(), after: node.clone() } });
        match &node {
            Some(new) if !same => self.fill(slot, new),
            Some(new) if moved => self.tell_pods(slot, new, true),
            Some(_) => {}
            None => drop(self.free.insert(slot)),
        }
        self.journal.node(slot, before);
    }

    fn tell_pods(&mut self, slot: usize, node: &Arc<NodeInfo>, added: bool) {
        for pod in self.on[slot].pods() {
            self.log.push(Change::pod(slot, pod, node, added));
        }
    }

    fn empty(&mut self, slot: usize, old: &Arc<NodeInfo>) {
        let pods = std::mem::take(&mut self.on[slot]);
        for pod in pods.pods() {
            self.columns.count(slot, pod, -1);
            self.live.count(pod, -1);
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
        let pods = self.homeless.remove(&new.name).unwrap_or_default();
        for pod in pods.pods() {
            self.columns.count(slot, pod, 1);
            self.live.count(pod, 1);
            self.log.push(Change::pod(slot, pod, new, true));
        }
        if !pods.is_empty() {
            self.on[slot] = pods;
        }
    }

    /// Puts another state, or none, in the place of a pod.
    pub(super) fn swap_pod(&mut self, uid: Name, placed: Option<Placed>) -> Option<Placed> {
        let before = match &placed {
            Some(placed) => self.pods.insert(uid.clone(), placed.clone()),
            None => self.pods.remove(&uid),
        };
        let quiet =
            matches!((&before, &placed), (Some(a), Some(b)) if a.node == b.node && a.pod.same_footprint(&b.pod));
        if let Some(before) = &before {
            self.detach(&uid, before, quiet);
        }
        if let Some(placed) = &placed {
            self.know_keys(placed.pod.affinity.terms().map(|term| &term.topology_key));
            self.attach(placed, quiet);
        }
        self.journal.pod(uid, before.as_ref());
        before
    }

    fn detach(&mut self, uid: &Name, placed: &Placed, quiet: bool) {
        let Some(slot) = self.slot(&placed.node) else {
            let left = self.homeless.get_mut(&placed.node);
            if left.is_some_and(|pods| pods.remove(uid) && pods.is_empty()) {
                self.homeless.remove(&placed.node);
            }
            return;
        };
        self.on[slot].remove(uid);
        if let (false, Some(node)) = (quiet, &self.nodes[slot]) {
            self.columns.count(slot, &placed.pod, -1);
            self.live.count(&placed.pod, -1);
            self.log.push(Change::pod(slot, &placed.pod, node, false));
        }
    }

    fn attach(&mut self, placed: &Placed, quiet: bool) {
        let Some(slot) = self.slot(&placed.node) else {
            self.homeless.entry(placed.node.clone()).or_default().insert(placed.pod.clone());
            return;
        };
        self.on[slot].insert(placed.pod.clone());
        if let (false, Some(node)) = (quiet, &self.nodes[slot]) {
            self.columns.count(slot, &placed.pod, 1);
            self.live.count(&placed.pod, 1);
            self.log.push(Change::pod(slot, &placed.pod, node, true));
        }
    }
}

/// Whether pods on a node count elsewhere, or not as before, because of its labels or taints.
fn differs_to_pods(old: &NodeInfo, new: &NodeInfo) -> bool {
    old.labels != new.labels || old.taints != new.taints
}
