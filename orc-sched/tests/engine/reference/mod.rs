//! The slow reference: asks about every node, from the objects alone, with nothing kept between decisions. It reads the nodes
//! and pods of the view and none of its columns, plugins or candidate sets.

mod affinity;
mod devices;
mod spread;

use std::collections::BTreeMap;
use std::sync::Arc;

use orc_core::Name;
use orc_core::env::Rng;
use orc_sched::pod::{Effect, HostPort, Taint, Toleration};
use orc_sched::{NodeInfo, PodInfo, View};

/// The node and its score, or how many nodes were refused for each reason.
pub(crate) type Answer = Result<(String, i64), Vec<(String, usize)>>;

/// A node with the pods on it.
#[derive(Clone)]
pub(crate) struct Candidate<'a> {
    node: &'a NodeInfo,
    pods: Vec<&'a Arc<PodInfo>>,
}

pub(crate) fn decide(view: &View, pod: &PodInfo, seed: u64) -> Answer {
    let (fitting, refused) = judged(view, pod);
    let cluster = cluster(view);
    if fitting.is_empty() {
        return Err(refused.into_iter().collect());
    }
    let scores = scores(view, &cluster, &fitting, pod);
    let wanted = view.nominations().find(|nominated| nominated.pod.uid == pod.uid).map(|nominated| &nominated.node);
    if let Some(at) = fitting.iter().position(|at| Some(&cluster[*at].node.name) == wanted) {
        return Ok((cluster[fitting[at]].node.name.to_string(), scores[at]));
    }
    let best = *scores.iter().max().unwrap();
    let ties: Vec<_> = scores.iter().zip(&fitting).filter(|(score, _)| **score == best).collect();
    let chosen = *ties[Rng::seeded(seed).below(ties.len() as u64) as usize].1;
    Ok((cluster[chosen].node.name.to_string(), best))
}

fn cluster(view: &View) -> Vec<Candidate<'_>> {
    view.nodes().map(|(slot, node)| Candidate { node, pods: view.pods_on(slot).collect() }).collect()
}

/// The nodes that will do, and how many will not for each reason: alone, and with the pods nominated for the node.
fn judged(view: &View, pod: &PodInfo) -> (Vec<usize>, BTreeMap<String, usize>) {
    let cluster = cluster(view);
    let (mut fitting, mut refused) = (Vec::new(), BTreeMap::new());
    for at in 0..cluster.len() {
        match refused_by(view, &cluster, at, pod) {
            None => fitting.push(at),
            Some(why) => why.into_iter().for_each(|text| *refused.entry(text).or_insert(0) += 1),
        }
    }
    (fitting, refused)
}

/// Why a node will not do, as it is or else with the pods that are nominated for it and go first.
fn refused_by(view: &View, cluster: &[Candidate<'_>], at: usize, pod: &PodInfo) -> Option<Vec<String>> {
    let mut crowded = cluster.to_vec();
    let nominated = view
        .nominations()
        .filter(|n| n.node == cluster[at].node.name && n.pod.uid != pod.uid && n.pod.priority >= pod.priority);
    crowded[at].pods.extend(nominated.map(|n| &n.pod));
    let why = [refusals(view, cluster, at, pod), refusals(view, &crowded, at, pod)];
    why.into_iter().find(|why| !why.is_empty())
}

/// What is said of each node, in slot order; nothing of those that will do.
pub(crate) fn verdicts(view: &View, pod: &PodInfo) -> Vec<(String, Vec<String>)> {
    let cluster = cluster(view);
    let verdict =
        |at: usize| (cluster[at].node.name.to_string(), refused_by(view, &cluster, at, pod).unwrap_or_default());
    (0..cluster.len()).map(verdict).collect()
}

/// Whether a node would do if these pods had left it.
pub(crate) fn fits_without(view: &View, node: &str, gone: &[Name], pod: &PodInfo) -> bool {
    let mut cluster = cluster(view);
    let at = cluster.iter().position(|at| at.node.name == *node).unwrap();
    cluster[at].pods.retain(|pod| !gone.contains(&pod.uid));
    refused_by(view, &cluster, at, pod).is_none()
}

fn tolerated(pod: &PodInfo, taint: &Taint) -> bool {
    pod.tolerations.iter().any(|toleration: &Toleration| toleration.tolerates(taint))
}

fn refusals(view: &View, cluster: &[Candidate], at: usize, pod: &PodInfo) -> Vec<String> {
    let at_index = at;
    let at = &cluster[at];
    let cordon = Taint { key: "node.kubernetes.io/unschedulable".into(), value: "".into(), effect: Effect::NoSchedule };
    if at.node.unschedulable && !tolerated(pod, &cordon) {
        return vec!["node(s) were unschedulable".into()];
    }
    if at.node.taints.iter().any(|taint| taint.effect != Effect::PreferNoSchedule && !tolerated(pod, taint)) {
        return vec!["node(s) had untolerated taint(s)".into()];
    }
    if !pod.rule.allows(&at.node.name, &at.node.labels) {
        return vec!["node(s) didn't match Pod's node affinity/selector".into()];
    }
    let taken: Vec<&HostPort> = at.pods.iter().flat_map(|pod| &pod.ports).collect();
    if pod.ports.iter().any(|port| taken.iter().any(|taken| port.conflicts(taken))) {
        return vec!["node(s) didn't have free ports for the requested pod ports".into()];
    }
    let has = |name: &str| at.node.allocatable.get(name).copied().unwrap_or_default();
    let used = |of: &dyn Fn(&PodInfo) -> i64| at.pods.iter().map(|pod| of(pod)).sum::<i64>();
    let mut why = Vec::new();
    if at.pods.len() as i64 + 1 > has("pods") {
        why.push("Too many pods".to_owned());
    }
    if pod.requests.cpu > 0 && pod.requests.cpu > has("cpu") - used(&|pod| pod.requests.cpu) {
        why.push("Insufficient cpu".to_owned());
    }
    if pod.requests.memory > 0 && pod.requests.memory > has("memory") - used(&|pod| pod.requests.memory) {
        why.push("Insufficient memory".to_owned());
    }
    for (name, amount) in &pod.requests.other {
        let others = used(&|pod| pod.requests.other.iter().filter(|(other, _)| other == name).map(|(_, n)| n).sum());
        if *amount > has(name) - others {
            why.push(format!("Insufficient {name}"));
        }
    }
    if why.is_empty() {
        why.extend(affinity::refusal(view, cluster, at_index, pod));
    }
    if why.is_empty() {
        why.extend(devices::refusal(view, at.node, pod));
    }
    // The engine asks about classes of nodes after all filters by node.
    if why.is_empty() {
        why.extend(spread::refusal(view, cluster, at_index, pod));
    }
    why
}

fn scores(view: &View, cluster: &[Candidate], fitting: &[usize], pod: &PodInfo) -> Vec<i64> {
    let near = affinity::scores(view, cluster, fitting, pod);
    let spread = spread::scores(view, cluster, fitting, pod);
    let fitting: Vec<&Candidate> = fitting.iter().map(|at| &cluster[*at]).collect();
    let unwelcome = |at: &Candidate| {
        let taints = at.node.taints.iter();
        taints.filter(|taint| taint.effect == Effect::PreferNoSchedule && !tolerated(pod, taint)).count() as i64
    };
    let most_unwelcome = fitting.iter().map(|at| unwelcome(at)).max().unwrap_or(0);
    let preference = |at: &Candidate| pod.rule.preference(&at.node.name, &at.node.labels);
    let most_preferred = fitting.iter().map(|at| preference(at)).max().unwrap_or(0);
    let score = |at: &Candidate| {
        let taints = if most_unwelcome == 0 { 100 } else { 100 - 100 * unwelcome(at) / most_unwelcome };
        let affinity = if most_preferred == 0 { 0 } else { 100 * preference(at) / most_preferred };
        3 * taints + 2 * affinity + least_allocated(at, pod) + balanced(at, pod)
    };
    let others = near.into_iter().zip(spread).map(|(near, spread)| 2 * near + 2 * spread);
    fitting.iter().zip(others).map(|(at, others)| score(at) + others).collect()
}

fn least_allocated(at: &Candidate, pod: &PodInfo) -> i64 {
    let all = || at.pods.iter().map(|pod| &***pod).chain([pod]);
    let used =
        [all().map(|pod| pod.requests.scored_cpu).sum::<i64>(), all().map(|pod| pod.requests.scored_memory).sum()];
    let has = ["cpu", "memory"].map(|name| at.node.allocatable.get(name).copied().unwrap_or_default());
    let shares: Vec<i64> = has
        .into_iter()
        .zip(used)
        .filter(|(has, _)| *has != 0)
        .map(|(has, used)| if used > has { 0 } else { (has - used) * 100 / has })
        .collect();
    if shares.is_empty() { 0 } else { shares.iter().sum::<i64>() / shares.len() as i64 }
}

fn balanced(at: &Candidate, pod: &PodInfo) -> i64 {
    if pod.requests.cpu == 0 && pod.requests.memory == 0 {
        return 0;
    }
    let even = |with: bool| {
        let all = || at.pods.iter().map(|pod| &***pod).chain(with.then_some(pod));
        let used = [all().map(|pod| pod.requests.cpu).sum::<i64>(), all().map(|pod| pod.requests.memory).sum()];
        let has = ["cpu", "memory"].map(|name| at.node.allocatable.get(name).copied().unwrap_or_default());
        let shares: Vec<f64> = has
            .into_iter()
            .zip(used)
            .filter(|(has, _)| *has != 0)
            .map(|(has, used)| (used as f64 / has as f64).min(1.0))
            .collect();
        let deviation = if let [a, b] = shares[..] { ((a - b) / 2.0).abs() } else { 0.0 };
        ((1.0 - deviation) * 100.0) as i64
    };
    50 + (50 + even(true) - even(false)) / 2
}
