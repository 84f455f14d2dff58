//! The slow reference: asks about every node, from the objects alone, with nothing kept between decisions. It reads the nodes
//! and pods of the view and none of its columns, plugins or candidate sets.

use std::sync::Arc;

use orc_core::env::Rng;
use orc_sched::pod::{Effect, HostPort, Taint, Toleration};
use orc_sched::{NodeInfo, PodInfo, View};

/// The node and its score, or how many nodes were refused for each reason.
pub(crate) type Answer = Result<(String, i64), Vec<(String, usize)>>;

struct Candidate<'a> {
    node: &'a NodeInfo,
    pods: Vec<&'a Arc<PodInfo>>,
}

pub(crate) fn decide(view: &View, pod: &PodInfo, seed: u64) -> Answer {
    let (mut fitting, mut refused) = (Vec::new(), std::collections::BTreeMap::new());
    for (slot, node) in view.nodes() {
        let candidate = Candidate { node, pods: view.pods_on(slot).collect() };
        let nominated = view
            .nominations()
            .filter(|n| n.node == node.name && n.pod.uid != pod.uid && n.pod.priority >= pod.priority);
        let mut crowded = Candidate { node, pods: candidate.pods.clone() };
        crowded.pods.extend(nominated.map(|n| &n.pod));
        let why = [refusals(&crowded, pod), refusals(&candidate, pod)].into_iter().find(|why| !why.is_empty());
        match why {
            None => fitting.push(candidate),
            Some(why) => why.into_iter().for_each(|text| *refused.entry(text).or_insert(0) += 1),
        }
    }
    if fitting.is_empty() {
        return Err(refused.into_iter().collect());
    }
    // Kubernetes normalizes over the nodes that are left when nominated pods are counted in; so does the reference.
    let scores = scores(&fitting, pod);
    let best = *scores.iter().max().unwrap();
    let ties: Vec<_> = scores.iter().zip(&fitting).filter(|(score, _)| **score == best).collect();
    let chosen = ties[Rng::seeded(seed).below(ties.len() as u64) as usize].1;
    Ok((chosen.node.name.to_string(), best))
}

fn tolerated(pod: &PodInfo, taint: &Taint) -> bool {
    pod.tolerations.iter().any(|toleration: &Toleration| toleration.tolerates(taint))
}

fn refusals(at: &Candidate, pod: &PodInfo) -> Vec<String> {
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
    why
}

fn scores(fitting: &[Candidate], pod: &PodInfo) -> Vec<i64> {
    let unwelcome = |at: &Candidate| {
        let taints = at.node.taints.iter();
        taints.filter(|taint| taint.effect == Effect::PreferNoSchedule && !tolerated(pod, taint)).count() as i64
    };
    let most_unwelcome = fitting.iter().map(unwelcome).max().unwrap_or(0);
    let preference = |at: &Candidate| pod.rule.preference(&at.node.name, &at.node.labels);
    let most_preferred = fitting.iter().map(preference).max().unwrap_or(0);
    let score = |at: &Candidate| {
        let taints = if most_unwelcome == 0 { 100 } else { 100 - 100 * unwelcome(at) / most_unwelcome };
        let affinity = if most_preferred == 0 { 0 } else { 100 * preference(at) / most_preferred };
        3 * taints + 2 * affinity + least_allocated(at, pod) + balanced(at, pod)
    };
    fitting.iter().map(score).collect()
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
