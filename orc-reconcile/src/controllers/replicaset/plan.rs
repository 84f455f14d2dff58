//! What a replica set needs next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use orc_core::labels::Selector;

use super::rank;
use crate::controllers::support::{Claim, Plan, meta, pods, some};

/// The most pods that one pass creates or deletes, as upstream's.
const BURST: usize = 500;

/// What a pass looks at.
pub(crate) struct State<'a> {
    /// The replica set.
    pub(crate) set: &'a ReplicaSet,
    /// Pods that name it as their owner, and pods of its namespace that nobody controls.
    pub(crate) candidates: Vec<Arc<Pod>>,
    /// Uids of pods that were deleted although the cache does not show it yet.
    pub(crate) leaving: BTreeSet<String>,
    /// Active pods of the same application on each node.
    pub(crate) neighbours: BTreeMap<String, usize>,
    /// Why the last creation or deletion failed: reason and message.
    pub(crate) failure: Option<(&'static str, String)>,
}

/// A write of a replica set.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Write {
    /// Take an orphan in.
    Adopt(Arc<Pod>),
    /// Let a pod go that is no longer selected.
    Release(Arc<Pod>),
    /// Make so many pods.
    Create(usize),
    /// Delete a pod.
    Delete(Arc<Pod>),
}

/// One stage: ownership, then number, then status.
pub(crate) fn plan(state: State<'_>, now: Timestamp) -> Plan<Write, ReplicaSetStatus> {
    let Some(spec) = &state.set.spec else { return Plan::default() };
    let selector = Selector::from_label_selector(Some(&spec.selector)).unwrap_or_else(|_| Selector::nothing());
    let claim = Claim::sort(
        &state.set.metadata,
        &selector,
        state.candidates.iter().filter(|pod| !pods::is_terminal(pod)).cloned(),
    );
    let releases = claim.release.into_iter().map(Write::Release);
    let ownership: Vec<Write> = releases.chain(claim.adopt.into_iter().map(Write::Adopt)).collect();
    if !ownership.is_empty() {
        return Plan::stage(ownership);
    }
    let (ending, active): (Vec<_>, Vec<_>) = claim
        .owned
        .into_iter()
        .partition(|pod| meta::is_terminating(&pod.metadata) || state.leaving.contains(meta::uid(&pod.metadata)));
    let before = active.clone();
    let wake = next_available(&active, spec.min_ready_seconds.unwrap_or_default(), now);
    let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or_default();
    let writes = match active.len() {
        _ if meta::is_terminating(&state.set.metadata) => Vec::new(),
        have if have < wanted => vec![Write::Create((wanted - have).min(BURST))],
        have if have > wanted => {
            let victims = rank::victims(active, (have - wanted).min(BURST), &state.neighbours, now);
            victims.into_iter().map(Write::Delete).collect()
        }
        _ => Vec::new(),
    };
    // A failure stands as long as something is left to do.
    let failure = state.failure.filter(|_| !writes.is_empty());
    let status = status(state.set, &before, ending.len(), failure, now);
    let changed = state.set.status.as_ref() != Some(&status);
    Plan { writes, status: changed.then_some(status), wake }
}

fn status(
    set: &ReplicaSet,
    active: &[Arc<Pod>],
    ending: usize,
    failure: Option<(&'static str, String)>,
    now: Timestamp,
) -> ReplicaSetStatus {
    let spec = set.spec.clone().unwrap_or_default();
    let min_ready = spec.min_ready_seconds.unwrap_or_default();
    let wanted_labels =
        spec.template.and_then(|template| template.metadata).and_then(|meta| meta.labels).unwrap_or_default();
    let labelled = |pod: &Pod| {
        let labels = pod.metadata.labels.as_ref();
        wanted_labels.iter().all(|(key, value)| labels.is_some_and(|labels| labels.get(key) == Some(value)))
    };
    let count = |holds: &dyn Fn(&Pod) -> bool| number(active.iter().filter(|pod| holds(pod)).count());
    let before = set.status.clone().unwrap_or_default();
    ReplicaSetStatus {
        replicas: number(active.len()),
        fully_labeled_replicas: some(count(&labelled)),
        ready_replicas: some(count(&pods::is_ready)),
        available_replicas: some(count(&|pod| pods::available_at(pod, min_ready).is_some_and(|at| at <= now))),
        terminating_replicas: Some(number(ending)),
        observed_generation: set.metadata.generation,
        conditions: conditions(before.conditions, failure, now),
        ..Default::default()
    }
}

fn number(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn conditions(
    before: Option<Vec<ReplicaSetCondition>>,
    failure: Option<(&'static str, String)>,
    now: Timestamp,
) -> Option<Vec<ReplicaSetCondition>> {
    let mut conditions = before.unwrap_or_default();
    let stands = conditions.iter().any(|condition| condition.type_ == "ReplicaFailure");
    match failure {
        None => conditions.retain(|condition| condition.type_ != "ReplicaFailure"),
        Some(_) if stands => {}
        Some((reason, message)) => conditions.push(ReplicaSetCondition {
            type_: "ReplicaFailure".to_owned(),
            status: "True".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: Some(meta::time(now)),
            ..Default::default()
        }),
    }
    Some(conditions).filter(|conditions| !conditions.is_empty())
}

/// When the next ready pod becomes available.
fn next_available(active: &[Arc<Pod>], min_ready: i32, now: Timestamp) -> Option<Timestamp> {
    active.iter().filter_map(|pod| pods::available_at(pod, min_ready)).filter(|at| *at > now).min()
}
