//! What is known for pods of one signature.

use std::collections::BTreeSet;

use orc_core::Name;

use super::super::classes::{Tuples, add_members};
use super::counted::Counted;
use super::{MISSING, SKEW};
use crate::node::NodeInfo;
use crate::plugin::{IGNORED, Refusal, Touched};
use crate::pod::{NodeRule, PodInfo, SpreadConstraint, Toleration};
use crate::set::NodeSet;
use crate::view::{DomainId, NO_DOMAIN, View};

/// Marks a node without the label in a class, where places are told by number.
const NO_LABEL: i64 = -1;

/// Constraints with their counts.
pub(super) struct State {
    hard: Vec<Counted>,
    soft: Vec<Counted>,
    /// Whether nodes without all labels of the soft constraints are neither counted nor scored.
    whole: bool,
    namespace: Name,
    rule: NodeRule,
    tolerations: Vec<Toleration>,
    classes: Tuples,
}

impl State {
    pub(super) fn new(view: &View, pod: &PodInfo, constraints: Vec<SpreadConstraint>, whole: bool) -> Self {
        let counted = constraints.into_iter().map(|constraint| Counted::new(constraint, view, pod));
        let (hard, soft): (Vec<_>, Vec<_>) = counted.partition(|counted| counted.constraint.hard);
        let mut state = Self {
            hard,
            soft,
            whole,
            namespace: Name::new(pod.key.namespace_str()),
            rule: pod.rule.clone(),
            tolerations: pod.tolerations.clone(),
            classes: Tuples::default(),
        };
        if state.concerned() {
            for (slot, node) in view.nodes() {
                state.node(view, node, 1);
                view.pods_on(slot).for_each(|other| drop(state.pod(view, other, node, slot, 1)));
            }
        }
        state
    }

    pub(super) fn concerned(&self) -> bool {
        !self.hard.is_empty() || self.scores()
    }

    pub(super) fn scores(&self) -> bool {
        !self.soft.is_empty()
    }

    /// Counts a node in (`sign` 1) or out (-1).
    pub(super) fn node(&mut self, view: &View, node: &NodeInfo, sign: i64) {
        let included = self.included(node);
        let State { hard, .. } = self;
        for (counted, included) in hard.iter_mut().zip(included) {
            if included {
                counted.add_node(place(view, counted, node), sign);
            }
        }
    }

    /// Counts a pod on a node in (`sign` 1) or out (-1).
    pub(super) fn pod(&mut self, view: &View, other: &PodInfo, node: &NodeInfo, slot: usize, sign: i64) -> Touched {
        if other.deleting || *self.namespace != *other.key.namespace_str() {
            return Touched::None;
        }
        let included = self.included(node);
        let (mut nodes, mut here) = (NodeSet::new(), false);
        let hard = self.hard.len();
        for (at, counted) in self.hard.iter_mut().chain(&mut self.soft).enumerate() {
            if !counted.constraint.counts(&other.labels) {
                continue;
            }
            if at >= hard && counted.by_node() {
                counted.add_on_slot(slot, sign);
                here = true;
            } else if included[at] {
                let id = place(view, counted, node);
                counted.add_pod(id, sign);
                if at < hard && !counted.coarse {
                    add_members(view, &counted.constraint.topology_key, id, &mut nodes);
                }
            }
        }
        if self.classes.crowded(view) {
            return Touched::All;
        }
        match (here, nodes.is_empty()) {
            (false, true) => Touched::None,
            (true, true) => Touched::Node,
            (here, false) => {
                if here && view.present().contains(slot) {
                    nodes.insert(slot);
                }
                Touched::Nodes(nodes)
            }
        }
    }

    /// For each constraint whether the pods of a node count: the node must have all labels, and meet the policies.
    fn included(&self, node: &NodeInfo) -> Vec<bool> {
        let all = |counted: &[Counted]| {
            counted.iter().all(|counted| node.labels.contains_key(&*counted.constraint.topology_key))
        };
        let (hard, soft) = (all(&self.hard), !self.whole || all(&self.soft));
        let allowed = self.rule.allows(&node.name, &node.labels);
        let tolerated = || {
            let forbidding = node.taints.iter().filter(|taint| taint.effect.forbids());
            forbidding.into_iter().all(|taint| self.tolerations.iter().any(|own| own.tolerates(taint)))
        };
        let meets = |counted: &Counted| {
            let policies = &counted.constraint;
            (allowed || !policies.honor_affinity) && (!policies.honor_taints || tolerated())
        };
        let hard = self.hard.iter().map(|counted| hard && meets(counted));
        hard.chain(self.soft.iter().map(|counted| soft && meets(counted))).collect()
    }

    /// The class of a node: a number for each constraint, and whether it is scored at all.
    pub(super) fn classify(&mut self, view: &View, nodes: &NodeSet, out: &mut [i64]) {
        let mut tuple = Vec::new();
        for slot in nodes.iter() {
            tuple.clear();
            let mut scored = true;
            for counted in &self.hard {
                let id = view.domains(&counted.constraint.topology_key).map_or(NO_DOMAIN, |domains| domains.at(slot));
                tuple.push(match id {
                    NO_DOMAIN => NO_LABEL,
                    id if counted.coarse => id.into(),
                    id => counted.pods(id),
                });
            }
            for counted in &self.soft {
                let key = &*counted.constraint.topology_key;
                let labelled = view.node(slot).is_some_and(|node| node.labels.contains_key(key));
                scored &= labelled || !self.whole;
                tuple.push(match labelled {
                    false => NO_LABEL,
                    true if counted.by_node() => counted.pods_on(slot),
                    true => view.domains(key).map_or(NO_LABEL, |domains| domains.at(slot).into()),
                });
            }
            tuple.push(scored.into());
            out[slot] = self.classes.id(&tuple);
        }
    }

    /// The first hard constraint that the nodes of a class break.
    pub(super) fn judge(&self, class: i64) -> Option<Refusal> {
        let tuple = self.classes.get(class);
        self.hard.iter().zip(tuple).find_map(|(counted, number)| {
            if *number == NO_LABEL {
                return Some(MISSING);
            }
            let pods = if counted.coarse { counted.pods(domain(*number)) } else { *number };
            counted.exceeded(pods).then_some(SKEW)
        })
    }

    /// The raw scores of classes: pods counted by place, each constraint weighed by how many places there are.
    pub(super) fn weigh(&self, classes: &[(i64, usize)], out: &mut [i64]) {
        let first = self.hard.len();
        let tuple = |class: i64| self.classes.get(class).get(first..).unwrap_or_default();
        let scored = |class: i64| tuple(class).last() == Some(&1);
        let taking_part = || classes.iter().filter(|(class, _)| scored(*class));
        let nodes: usize = taking_part().map(|(_, nodes)| nodes).sum();
        let weights: Vec<f64> = (0..self.soft.len())
            .map(|at| {
                let places = || taking_part().map(|(class, _)| tuple(*class)[at]).collect::<BTreeSet<_>>().len();
                let size = if self.soft[at].by_node() { nodes } else { places() };
                ((size + 2) as f64).ln()
            })
            .collect();
        for (raw, (class, _)) in out.iter_mut().zip(classes) {
            *raw = if scored(*class) { self.raw(tuple(*class), &weights) } else { IGNORED };
        }
    }

    fn raw(&self, tuple: &[i64], weights: &[f64]) -> i64 {
        let mut score = 0.0;
        for ((counted, number), weight) in self.soft.iter().zip(tuple).zip(weights) {
            if *number != NO_LABEL {
                let pods = if counted.by_node() { *number } else { counted.pods(domain(*number)) };
                score += pods as f64 * weight + (counted.constraint.max_skew - 1) as f64;
            }
        }
        score.round() as i64
    }
}

fn domain(number: i64) -> DomainId {
    DomainId::try_from(number).unwrap_or(NO_DOMAIN)
}

fn place(view: &View, counted: &Counted, node: &NodeInfo) -> DomainId {
    let key = &*counted.constraint.topology_key;
    view.domains(key).map_or(NO_DOMAIN, |domains| domains.id(node.labels.get(key)))
}
