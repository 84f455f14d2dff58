//! The cluster as scheduling sees it: nodes as columns, the pods on them, and a way back.
//!
//! A node has a *slot*, given in the order of events and kept while the node exists; every column is indexed by it. All
//! changes go through two primitives whose inverse is known. While a [`Mark`] is open they are written to a journal, so that
//! "what if this pod were gone" changes the columns, runs the very code that decides for real, and is taken back exactly.
//! Each change is also appended to a bounded log from which candidate sets catch up.

mod change;
mod columns;
mod domains;
mod hash;
mod journal;
mod live;
mod residents;
mod swap;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orc_core::Name;

use self::change::ChangeLog;
pub use self::change::{Change, ChangeKind, NO_SLOT};
pub use self::columns::{CPU, Columns, EPHEMERAL, MEMORY, PODS};
use self::domains::Topology;
pub use self::domains::{DomainId, Domains, NO_DOMAIN};
pub(crate) use self::hash::ByName;
use self::journal::Journal;
pub use self::journal::Mark;
use self::live::LiveTerms;
pub use self::live::{Roles, TermId};
use self::residents::Residents;
use crate::facts::{Fact, FactKey, Facts};
use crate::node::NodeInfo;
use crate::pod::{PodInfo, PodTerm};
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
    on: Vec<Residents>,
    slots: ByName<Name, usize>,
    free: BTreeSet<usize>,
    present: NodeSet,
    columns: Columns,
    pods: ByName<Name, Placed>,
    /// Pods by the name of a node that is not known.
    homeless: BTreeMap<Name, Residents>,
    nominated: BTreeMap<Name, Nominated>,
    facts: Facts,
    topology: Topology,
    live: LiveTerms,
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
        self.on.get(slot).into_iter().flat_map(Residents::pods)
    }

    /// A pod that has a node.
    pub fn placed(&self, uid: &str) -> Option<&Placed> {
        self.pods.get(uid)
    }

    /// All pods that have a node, by the node's slot; those of nodes that are not known last.
    pub fn all_placed(&self) -> impl Iterator<Item = &Placed> {
        let known = self.on.iter().flat_map(Residents::uids);
        let homeless = self.homeless.values().flat_map(Residents::uids);
        known.chain(homeless).filter_map(|uid| self.pods.get(uid))
    }

    /// The nomination of a pod.
    pub fn nomination(&self, uid: &str) -> Option<&Nominated> {
        self.nominated.get(uid)
    }

    /// What there is beside nodes and pods.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The places of a topology key; `None` for a key that no pod has named.
    pub fn domains(&self, key: &str) -> Option<&Domains> {
        self.topology.domains(key)
    }

    /// The affinity terms of placed pods that mean a pod, in the order of their numbers.
    pub fn terms_meaning<'a>(&'a self, pod: &'a PodInfo) -> Vec<(TermId, &'a PodTerm, Roles)> {
        if self.live.is_empty() {
            return Vec::new();
        }
        let namespace = |name: &str| self.facts.namespace(name);
        let found = self.live.candidates(pod);
        let mut found: Vec<_> =
            found.filter(|(_, term, _)| term.matches(pod.key.namespace_str(), &pod.labels, namespace)).collect();
        found.sort_unstable_by_key(|(id, _, _)| *id);
        found
    }

    /// Whether a term means a pod.
    pub fn means(&self, term: &PodTerm, pod: &PodInfo) -> bool {
        term.matches(pod.key.namespace_str(), &pod.labels, |name| self.facts.namespace(name))
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

    /// Sets or removes a fact; returns the one before.
    pub(crate) fn swap_fact(&mut self, key: &FactKey, fact: Option<Arc<Fact>>) -> Option<Arc<Fact>> {
        let same = self.facts.get(key).map(|fact| &**fact) == fact.as_deref();
        let before = self.facts.swap(key, fact);
        if !same {
            self.log.push(Change { slot: NO_SLOT, kind: ChangeKind::Fact(key.clone(), before.clone()) });
        }
        self.journal.fact(key, before.as_ref());
        before
    }

    /// Starts to keep the places of the topology keys that a pod names.
    pub(crate) fn know_keys<'a>(&mut self, keys: impl Iterator<Item = &'a Name>) {
        for key in keys {
            if self.topology.domains(key).is_none() {
                let nodes = self.nodes.iter().enumerate();
                self.topology.know(key, nodes.filter_map(|(slot, node)| Some((slot, node.as_deref()?))));
            }
        }
    }

    /// Numbers places anew where most numbers belong to places that are gone; [`View::epoch`] tells.
    pub(crate) fn tidy(&mut self) {
        let nodes = &self.nodes;
        self.topology.tidy(|| nodes.iter().enumerate().filter_map(|(slot, node)| Some((slot, node.as_deref()?))));
    }

    /// Counts how often places were numbered anew.
    pub(crate) fn epoch(&self) -> u64 {
        self.topology.epoch
    }

    /// Forgets the changes from a number on: those of a "what if" that was taken back before anybody but the caller followed
    /// it.
    pub(crate) fn rewind(&mut self, to: u64) {
        self.log.rewind(to);
    }

    /// The number of the next change.
    pub(crate) fn now(&self) -> u64 {
        self.log.next()
    }

    /// The changes from a number on; `None` when they are no longer kept.
    pub(crate) fn changes_since(&self, seen: u64) -> Option<impl Iterator<Item = &Change>> {
        self.log.since(seen)
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
            && self.facts == other.facts
            && self.live == other.live
    }
}
