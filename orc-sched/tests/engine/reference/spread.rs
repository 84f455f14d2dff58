//! Topology spread, counted anew for each question.

use std::collections::{BTreeMap, BTreeSet};

use orc_core::labels::Selector;
use orc_sched::facts::{Fact, FactKind};
use orc_sched::{PodInfo, View};

use super::{Candidate, tolerated};

struct Constraint {
    skew: i64,
    key: String,
    hard: bool,
    selector: Selector,
    least: usize,
    affinity: bool,
    taints: bool,
}

/// The constraints of a pod, or the system's defaults by the services that mean it; and whether nodes need all labels.
fn constraints(view: &View, pod: &PodInfo) -> (Vec<Constraint>, bool) {
    if !pod.spread.is_empty() {
        let own = pod.spread.iter().map(|c| Constraint {
            skew: c.max_skew,
            key: c.topology_key.to_string(),
            hard: c.hard,
            selector: c.selector.clone(),
            least: c.min_domains,
            affinity: c.honor_affinity,
            taints: c.honor_taints,
        });
        return (own.collect(), true);
    }
    let mut requirements = Vec::new();
    for (key, fact) in view.facts().all(FactKind::Service) {
        if let Fact::Selecting(selector) = fact
            && key.namespace == *pod.key.namespace_str()
            && selector.matches(&pod.labels)
        {
            requirements.extend(selector.requirements().to_vec());
        }
    }
    if requirements.is_empty() {
        return (Vec::new(), false);
    }
    let selector = Selector::of(requirements);
    let default = |skew, key: &str| Constraint {
        skew,
        key: key.into(),
        hard: false,
        selector: selector.clone(),
        least: 1,
        affinity: true,
        taints: false,
    };
    (vec![default(3, "kubernetes.io/hostname"), default(5, "topology.kubernetes.io/zone")], false)
}

fn counts(c: &Constraint, labels: &BTreeMap<String, String>) -> bool {
    !c.selector.requirements().is_empty() && c.selector.matches(labels)
}

fn matching(at: &Candidate, c: &Constraint, pod: &PodInfo) -> i64 {
    let same =
        |other: &&PodInfo| other.key.namespace == pod.key.namespace && !other.deleting && counts(c, &other.labels);
    at.pods.iter().map(|pod| &***pod).filter(same).count() as i64
}

/// Pods by value of the label, over the nodes that are counted.
fn by_value(
    cluster: &[Candidate],
    all: &[&Constraint],
    c: &Constraint,
    pod: &PodInfo,
    whole: bool,
) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for at in cluster {
        let labelled = all.iter().all(|c| at.node.labels.contains_key(&c.key)) || !whole;
        let allowed = !c.affinity || pod.rule.allows(&at.node.name, &at.node.labels);
        let welcome = !c.taints || at.node.taints.iter().all(|taint| !taint.effect.forbids() || tolerated(pod, taint));
        if let Some(value) = at.node.labels.get(&c.key)
            && labelled
            && allowed
            && welcome
        {
            *counts.entry(value.clone()).or_default() += matching(at, c, pod);
        }
    }
    counts
}

pub(super) fn refusal(view: &View, cluster: &[Candidate], at: usize, pod: &PodInfo) -> Option<String> {
    let (all, _) = constraints(view, pod);
    let hard: Vec<&Constraint> = all.iter().filter(|c| c.hard).collect();
    for c in &hard {
        let Some(value) = cluster[at].node.labels.get(&c.key) else {
            return Some("node(s) didn't match pod topology spread constraints (missing required label)".into());
        };
        let by_value = by_value(cluster, &hard, c, pod, true);
        let least =
            if by_value.len() < c.least { 0 } else { by_value.values().copied().min().unwrap_or(i32::MAX.into()) };
        let own = i64::from(counts(c, &pod.labels));
        if by_value.get(value).copied().unwrap_or(0) + own - least > c.skew {
            return Some("node(s) didn't match pod topology spread constraints".into());
        }
    }
    None
}

pub(super) fn scores(view: &View, cluster: &[Candidate], fitting: &[usize], pod: &PodInfo) -> Vec<i64> {
    let (all, whole) = constraints(view, pod);
    let soft: Vec<&Constraint> = all.iter().filter(|c| !c.hard).collect();
    if soft.is_empty() {
        return vec![0; fitting.len()];
    }
    let labels = |at: usize| &cluster[at].node.labels;
    let ignored = |at: usize| whole && !soft.iter().all(|c| labels(at).contains_key(&c.key));
    let scored: Vec<usize> = fitting.iter().copied().filter(|at| !ignored(*at)).collect();
    let raw = |at: usize| {
        let mut sum = 0.0;
        for c in &soft {
            let Some(value) = labels(at).get(&c.key) else { continue };
            let by_node = c.key == "kubernetes.io/hostname";
            let values: BTreeSet<_> = scored.iter().map(|at| labels(*at).get(&c.key)).collect();
            let size = if by_node { scored.len() } else { values.len() };
            let pods = if by_node {
                matching(&cluster[at], c, pod)
            } else {
                by_value(cluster, &soft, c, pod, whole).get(value).copied().unwrap_or(0)
            };
            sum += pods as f64 * ((size + 2) as f64).ln() + (c.skew - 1) as f64;
        }
        sum.round() as i64
    };
    let raws: Vec<i64> = scored.iter().map(|at| raw(*at)).collect();
    let (low, high) = (raws.iter().min().copied().unwrap_or(0), raws.iter().max().copied().unwrap_or(0));
    let score = |at: &usize| match () {
        () if ignored(*at) => 0,
        () if high == 0 => 100,
        () => 100 * (high + low - raw(*at)) / high,
    };
    fitting.iter().map(score).collect()
}
