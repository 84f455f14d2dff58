//! Affinity between pods, counted anew for each question.

use std::collections::BTreeMap;

use orc_sched::pod::PodTerm;
use orc_sched::{PodInfo, View};

use super::Candidate;

type Pair = (String, String);

fn means(view: &View, term: &PodTerm, pod: &PodInfo) -> bool {
    term.matches(pod.key.namespace_str(), &pod.labels, |name| view.facts().namespace(name))
}

fn pair(at: &Candidate, term: &PodTerm) -> Option<Pair> {
    let value = at.node.labels.get(&*term.topology_key)?;
    Some((term.topology_key.to_string(), value.clone()))
}

fn all<'a>(cluster: &'a [Candidate<'a>]) -> impl Iterator<Item = (&'a Candidate<'a>, &'a PodInfo)> {
    cluster.iter().flat_map(|at| at.pods.iter().map(move |pod| (at, &***pod)))
}

pub(super) fn refusal(view: &View, cluster: &[Candidate], at: usize, pod: &PodInfo) -> Option<String> {
    let node = &cluster[at];
    let required = &pod.affinity.required;
    let meets_all = |other: &PodInfo| required.iter().all(|term| means(view, term, other));
    let near: Vec<Pair> = all(cluster)
        .filter(|(_, other)| !required.is_empty() && meets_all(other))
        .flat_map(|(there, _)| required.iter().filter_map(|term| pair(there, term)).collect::<Vec<_>>())
        .collect();
    let pairs: Option<Vec<Pair>> = required.iter().map(|term| pair(node, term)).collect();
    let near_enough = match pairs {
        None => false,
        Some(pairs) => pairs.iter().all(|pair| near.contains(pair)) || (near.is_empty() && meets_all(pod)),
    };
    if !near_enough {
        return Some("node(s) didn't match pod affinity rules".into());
    }
    let too_near = all(cluster).any(|(there, other)| {
        pod.affinity.apart.iter().any(|term| {
            // As upstream, places of all terms of one key are one.
            means(view, term, other) && pair(there, term).is_some() && pair(there, term) == pair(node, term)
        })
    });
    if too_near {
        return Some("node(s) didn't match pod anti-affinity rules".into());
    }
    let unwelcome =
        all(cluster).any(|(there, other)| {
            other.affinity.apart.iter().any(|term| {
                means(view, term, pod) && pair(there, term).is_some() && pair(there, term) == pair(node, term)
            })
        });
    unwelcome.then(|| "node(s) didn't satisfy existing pods anti-affinity rules".into())
}

pub(super) fn scores(view: &View, cluster: &[Candidate], fitting: &[usize], pod: &PodInfo) -> Vec<i64> {
    let mut weights: BTreeMap<Pair, i64> = BTreeMap::new();
    for (there, other) in all(cluster) {
        let own = pod.affinity.preferred.iter().filter(|(_, term)| means(view, term, other));
        let hard = other.affinity.required.iter().filter(|term| means(view, term, pod)).map(|term| (1, term));
        let soft = other.affinity.preferred.iter().filter(|(_, term)| means(view, term, pod));
        let weighed = own.chain(soft).map(|(weight, term)| (*weight, term)).chain(hard);
        for (weight, term) in weighed {
            if let Some(pair) = pair(there, term) {
                *weights.entry(pair).or_default() += weight;
            }
        }
    }
    let raw = |at: &usize| {
        let labels = cluster[*at].node.labels.iter();
        labels.filter_map(|(k, v)| weights.get(&(k.clone(), v.clone()))).sum::<i64>()
    };
    let raws: Vec<i64> = fitting.iter().map(raw).collect();
    let (low, high) = (*raws.iter().min().unwrap(), *raws.iter().max().unwrap());
    raws.iter()
        .map(|raw| if high == low { 0 } else { (100.0 * ((raw - low) as f64 / (high - low) as f64)) as i64 })
        .collect()
}
