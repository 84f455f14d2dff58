//! The pods of one constraint, by place.

use std::collections::{BTreeMap, HashMap};

use super::super::classes::COARSE;
use crate::pod::{PodInfo, SpreadConstraint};
use crate::view::{DomainId, NO_DOMAIN, View};

/// The label whose places are single nodes when nodes are scored.
const HOSTNAME: &str = "kubernetes.io/hostname";
/// What Kubernetes takes for the least where nothing is counted: nothing is too many then.
const NO_LEAST: i64 = i32::MAX as i64;

/// A constraint with what is counted for it.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) constraint: SpreadConstraint,
    /// Whether the pod itself counts.
    own: i64,
    /// Whether classes name places; else they hold the number of a place.
    pub(super) coarse: bool,
    places: HashMap<DomainId, Place>,
    /// How many places, that have nodes to count, have how many pods.
    by_pods: BTreeMap<i64, usize>,
    live: usize,
    /// Pods by slot, kept where places are single nodes.
    by_slot: HashMap<usize, i64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    pods: i64,
    nodes: i64,
}

impl Counted {
    pub(super) fn new(constraint: SpreadConstraint, view: &View, pod: &PodInfo) -> Self {
        let domains = view.domains(&constraint.topology_key);
        Self {
            own: constraint.counts(&pod.labels).into(),
            coarse: domains.is_none_or(|domains| domains.live() <= COARSE),
            constraint,
            places: HashMap::new(),
            by_pods: BTreeMap::new(),
            live: 0,
            by_slot: HashMap::new(),
        }
    }

    /// Whether scores count by node.
    pub(super) fn by_node(&self) -> bool {
        *self.constraint.topology_key == *HOSTNAME
    }

    pub(super) fn add_pod(&mut self, place: DomainId, n: i64) {
        self.change(place, |place| place.pods += n);
    }

    pub(super) fn add_node(&mut self, place: DomainId, n: i64) {
        self.change(place, |place| place.nodes += n);
    }

    pub(super) fn add_on_slot(&mut self, slot: usize, n: i64) {
        let count = self.by_slot.entry(slot).or_default();
        *count += n;
        if *count == 0 {
            self.by_slot.remove(&slot);
        }
    }

    fn change(&mut self, id: DomainId, act: impl FnOnce(&mut Place)) {
        if id == NO_DOMAIN {
            return;
        }
        let place = self.places.entry(id).or_default();
        let before = *place;
        act(place);
        let after = *place;
        if after.nodes == 0 && after.pods == 0 {
            self.places.remove(&id);
        }
        if before.nodes > 0 {
            self.live -= 1;
            let places = self.by_pods.entry(before.pods).or_default();
            *places -= 1;
            if *places == 0 {
                self.by_pods.remove(&before.pods);
            }
        }
        if after.nodes > 0 {
            self.live += 1;
            *self.by_pods.entry(after.pods).or_default() += 1;
        }
    }

    pub(super) fn pods(&self, place: DomainId) -> i64 {
        self.places.get(&place).map_or(0, |place| place.pods)
    }

    pub(super) fn pods_on(&self, slot: usize) -> i64 {
        self.by_slot.get(&slot).copied().unwrap_or_default()
    }

    /// Whether one more pod in a place with so many is too many.
    pub(super) fn exceeded(&self, pods: i64) -> bool {
        let least = self.by_pods.keys().next().copied().unwrap_or(NO_LEAST);
        let least = if self.live < self.constraint.min_domains { 0 } else { least };
        pods + self.own - least > self.constraint.max_skew
    }
}
