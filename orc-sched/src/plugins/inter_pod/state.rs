//! Counts of pods by place, for one signature.

use std::collections::HashSet;

use orc_core::Name;

use super::super::classes::{COARSE, Tally, Tuples};
use super::{InterPodAffinity, Place};
use crate::node::NodeInfo;
use crate::plugin::Touched;
use crate::pod::{PodAffinity, PodInfo, PodTerm};
use crate::set::NodeSet;
use crate::view::{NO_DOMAIN, View};

/// What is known for pods of one signature.
pub(super) struct State {
    own: PodAffinity,
    /// Whether the pod meets all of its own required terms, so that it may be the first of its group.
    first: bool,
    /// Terms of placed pods that mean the pod.
    existing: HashSet<PodTerm>,
    /// Pods that meet all required terms.
    pub(super) near: Tally,
    /// Pods that meet a term of what must be apart.
    far: Tally,
    /// Pods that must be apart from this one.
    unwelcome: Tally,
    /// Summed weights.
    weights: Tally,
    /// The keys of `weights` whose places are few.
    coarse: Vec<Name>,
    pub(super) classes: Tuples,
    hard_weight: i64,
}

impl State {
    pub(super) fn new(plugin: &InterPodAffinity, view: &View, pod: &PodInfo) -> Self {
        let own = pod.affinity.clone();
        let meaning = view.terms_meaning(pod);
        let hard_weight = plugin.hard_pod_affinity_weight;
        // As upstream: others' opinions are left out only for pods that have none themselves, and all of them then.
        let silent = plugin.ignore_preferred_terms_of_existing_pods && own.preferred.is_empty();
        let keys = |terms: &[PodTerm]| Tally::of(terms.iter().map(|term| term.topology_key.clone()));
        let apart = meaning.iter().filter(|(_, _, roles)| roles.apart > 0);
        let weighing = meaning
            .iter()
            .filter(|(_, _, roles)| !silent && ((roles.required > 0 && hard_weight > 0) || roles.preferred > 0));
        let weighing = weighing.map(|(_, term, _)| *term).chain(own.preferred.iter().map(|(_, term)| term));
        let weights = Tally::of(weighing.map(|term| term.topology_key.clone()));
        let few = |key: &&Name| view.domains(key).is_none_or(|domains| domains.live() <= COARSE);
        let mut state = Self {
            first: own.required.iter().all(|term| view.means(term, pod)),
            near: keys(&own.required),
            far: keys(&own.apart),
            unwelcome: Tally::of(apart.map(|(_, term, _)| term.topology_key.clone())),
            coarse: weights.keys().filter(few).cloned().collect(),
            weights,
            existing: meaning.into_iter().map(|(_, term, _)| term.clone()).collect(),
            own,
            classes: Tuples::default(),
            hard_weight,
        };
        if state.concerned() {
            for (slot, node) in view.nodes() {
                view.pods_on(slot).for_each(|placed| drop(state.count(view, placed, node, 1)));
            }
        }
        state
    }

    pub(super) fn concerned(&self) -> bool {
        !self.own.is_empty() || !self.existing.is_empty()
    }

    pub(super) fn scores(&self) -> bool {
        !self.weights.is_empty()
    }

    /// Counts a pod on a node in (`sign` 1) or out (-1). Returns the places whose nodes have to be asked again.
    pub(super) fn count(&mut self, view: &View, other: &PodInfo, node: &NodeInfo, sign: i64) -> Vec<Place> {
        let mut places = Vec::new();
        let mut flip = |tally: &mut Tally, key: &Name| {
            if let Some((id, before, after)) = tally.add(view, key, node, sign)
                && (before > 0) != (after > 0)
            {
                places.push(Place { key: key.clone(), id });
            }
        };
        if !self.own.required.is_empty() && self.own.required.iter().all(|term| view.means(term, other)) {
            self.own.required.iter().for_each(|term| flip(&mut self.near, &term.topology_key));
        }
        for term in self.own.apart.iter().filter(|term| view.means(term, other)) {
            flip(&mut self.far, &term.topology_key);
        }
        for term in other.affinity.apart.iter().filter(|term| self.existing.contains(*term)) {
            flip(&mut self.unwelcome, &term.topology_key);
        }
        self.weigh_pod(view, other, node, sign, &mut places);
        places
    }

    fn weigh_pod(&mut self, view: &View, other: &PodInfo, node: &NodeInfo, sign: i64, places: &mut Vec<Place>) {
        let Self { own, existing, weights, coarse, .. } = self;
        if weights.is_empty() {
            return;
        }
        let mut weigh = |key: &Name, weight: i64| {
            if let Some((id, ..)) = weights.add(view, key, node, weight * sign)
                && !coarse.contains(key)
            {
                places.push(Place { key: key.clone(), id });
            }
        };
        for (weight, term) in own.preferred.iter().filter(|(_, term)| view.means(term, other)) {
            weigh(&term.topology_key, *weight);
        }
        for term in other.affinity.required.iter().filter(|term| existing.contains(*term)) {
            weigh(&term.topology_key, self.hard_weight);
        }
        for (weight, term) in other.affinity.preferred.iter().filter(|(_, term)| existing.contains(term)) {
            weigh(&term.topology_key, *weight);
        }
    }

    /// Whether the pods that must be near are: a node must have all labels, and be in a place with such a pod for each, or
    /// there is no such pod anywhere and this is the first.
    pub(super) fn near_enough(&self, view: &View, slot: usize) -> bool {
        let mut all_near = true;
        for term in &self.own.required {
            match self.near.at(view, &term.topology_key, slot) {
                None => return false,
                Some(count) => all_near &= count > 0,
            }
        }
        all_near || (self.near.total == 0 && self.first)
    }

    pub(super) fn too_near(&self, view: &View, slot: usize) -> bool {
        self.far.keys().any(|key| self.far.at(view, key, slot).is_some_and(|count| count > 0))
    }

    pub(super) fn unwelcome(&self, view: &View, slot: usize) -> bool {
        self.unwelcome.keys().any(|key| self.unwelcome.at(view, key, slot).is_some_and(|count| count > 0))
    }

    /// The class of a node: its places of the coarse keys, and the summed weights of the others.
    pub(super) fn classify(&mut self, view: &View, nodes: &NodeSet, out: &mut [i64]) {
        let mut tuple = Vec::new();
        for slot in nodes.iter() {
            tuple.clear();
            for key in &self.coarse {
                tuple.push(view.domains(key).map_or(NO_DOMAIN, |domains| domains.at(slot)).into());
            }
            let fine = self.weights.keys().filter(|key| !self.coarse.contains(key));
            tuple.push(fine.filter_map(|key| self.weights.at(view, key, slot)).sum());
            out[slot] = self.classes.id(&tuple);
        }
    }

    /// The summed weights of a class.
    pub(super) fn weight(&self, class: i64) -> i64 {
        let tuple = self.classes.get(class);
        let (fine, places) = tuple.split_last().map_or((0, tuple), |(fine, places)| (*fine, places));
        let coarse = self.coarse.iter().zip(places).map(|(key, place)| {
            let id = u32::try_from(*place).unwrap_or(NO_DOMAIN);
            if id == NO_DOMAIN { 0 } else { self.weights.get(key, id) }
        });
        coarse.sum::<i64>() + fine
    }

    /// Labels of a namespace changed: terms that select namespaces mean other pods now.
    pub(super) fn after_namespace(&self) -> Touched {
        let selecting = self.own.terms().any(|term| !term.namespace_selector.is_nothing());
        if selecting { Touched::All } else { Touched::None }
    }
}
