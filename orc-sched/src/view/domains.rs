//! Places: the values of node labels that pods name as topology keys, as numbers by slot.
//!
//! A cache of the nodes' labels, not state of its own: it follows every change of a node, and going back from a mark leads it
//! back as well. A value keeps its number for as long as the table lives, since a candidate set that is behind may still have
//! to hear of pods in a place that is gone.

use std::collections::{BTreeMap, HashMap};

use orc_core::Name;

use crate::node::NodeInfo;
use crate::set::NodeSet;

/// The number of a value.
pub type DomainId = u32;

/// The number of the nodes that do not have the label.
pub const NO_DOMAIN: DomainId = DomainId::MAX;

/// The places of one topology key.
#[derive(Clone, Debug, Default)]
pub struct Domains {
    of: Vec<DomainId>,
    ids: HashMap<String, DomainId>,
    members: Vec<NodeSet>,
    live: usize,
}

impl Domains {
    /// The place of a slot; [`NO_DOMAIN`] when its node does not have the label, or there is no node.
    pub fn at(&self, slot: usize) -> DomainId {
        self.of.get(slot).copied().unwrap_or(NO_DOMAIN)
    }

    /// The place of a label value; [`NO_DOMAIN`] for one that no node had so far.
    pub fn id(&self, value: Option<&String>) -> DomainId {
        value.and_then(|value| self.ids.get(value)).copied().unwrap_or(NO_DOMAIN)
    }

    /// The nodes of a place.
    pub fn members(&self, id: DomainId) -> Option<&NodeSet> {
        self.members.get(id as usize)
    }

    /// How many places have nodes.
    pub fn live(&self) -> usize {
        self.live
    }

    /// One more than the largest number of a place.
    pub fn bound(&self) -> usize {
        self.members.len()
    }

    /// Puts a slot's node, or none, where its label says.
    fn put(&mut self, key: &str, slot: usize, node: Option<&NodeInfo>) {
        let before = self.at(slot);
        let value = node.and_then(|node| node.labels.get(key));
        let after = value.map_or(NO_DOMAIN, |value| self.intern(value));
        if before == after {
            return;
        }
        if slot >= self.of.len() {
            self.of.resize(slot + 1, NO_DOMAIN);
        }
        self.of[slot] = after;
        if let Some(left) = self.members.get_mut(before as usize) {
            left.remove(slot);
            self.live -= usize::from(left.is_empty());
        }
        if let Some(joined) = self.members.get_mut(after as usize) {
            self.live += usize::from(joined.is_empty());
            joined.insert(slot);
        }
    }

    fn intern(&mut self, value: &str) -> DomainId {
        if let Some(id) = self.ids.get(value) {
            return *id;
        }
        // Four billion values do not fit into memory.
        let id = DomainId::try_from(self.members.len()).unwrap_or(NO_DOMAIN - 1);
        self.ids.insert(value.to_owned(), id);
        self.members.push(NodeSet::new());
        id
    }

    /// Whether most of the table is of places that are gone.
    fn stale(&self) -> bool {
        self.members.len() > 2 * self.live + 4096
    }
}

/// The places of all topology keys that pods have named.
#[derive(Clone, Debug, Default)]
pub(super) struct Topology {
    by_key: BTreeMap<Name, Domains>,
    /// Counts how often numbers were given anew.
    pub(super) epoch: u64,
}

impl Topology {
    pub(super) fn domains(&self, key: &str) -> Option<&Domains> {
        self.by_key.get(key)
    }

    /// Starts to keep a key; `nodes` are all nodes.
    pub(super) fn know<'a>(&mut self, key: &Name, nodes: impl Iterator<Item = (usize, &'a NodeInfo)>) {
        if !self.by_key.contains_key(key) {
            self.by_key.insert(key.clone(), build(key, nodes));
        }
    }

    pub(super) fn put(&mut self, slot: usize, node: Option<&NodeInfo>) {
        for (key, domains) in &mut self.by_key {
            domains.put(key, slot, node);
        }
    }

    /// Gives numbers anew where most belong to places that are gone.
    pub(super) fn tidy<'a, I: Iterator<Item = (usize, &'a NodeInfo)>>(&mut self, nodes: impl Fn() -> I) {
        for (key, domains) in &mut self.by_key {
            if domains.stale() {
                *domains = build(key, nodes());
                self.epoch += 1;
            }
        }
    }
}

fn build<'a>(key: &str, nodes: impl Iterator<Item = (usize, &'a NodeInfo)>) -> Domains {
    let mut domains = Domains::default();
    nodes.for_each(|(slot, node)| domains.put(key, slot, Some(node)));
    domains
}
