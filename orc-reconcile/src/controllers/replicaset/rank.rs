//! Which pods go first when a replica set shrinks: `ActivePodsWithRanks` of `k8s.io/kubernetes/pkg/controller`.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::controllers::support::{meta, pods};

const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Takes `count` pods to delete. `neighbours` counts, for each node, the active pods of the same application: the more
/// there are, the sooner one of them goes, so that what stays is spread.
pub(crate) fn victims(
    mut pods: Vec<Arc<Pod>>,
    count: usize,
    neighbours: &BTreeMap<String, usize>,
    now: Timestamp,
) -> Vec<Arc<Pod>> {
    if count < pods.len() {
        sort(&mut pods, neighbours, now);
        pods.truncate(count);
    }
    pods
}

/// Puts the pods that go first in front.
pub(crate) fn sort(pods: &mut [Arc<Pod>], neighbours: &BTreeMap<String, usize>, now: Timestamp) {
    pods.sort_by(|a, b| earlier(a, b, neighbours, now));
}

/// `Less` when `a` goes before `b`.
fn earlier(a: &Pod, b: &Pod, neighbours: &BTreeMap<String, usize>, now: Timestamp) -> Ordering {
    let on_node = |pod: &Pod| neighbours.get(pods::node(pod)).copied().unwrap_or_default();
    let assigned = |pod: &Pod| !pods::node(pod).is_empty();
    (assigned(a).cmp(&assigned(b)))
        .then_with(|| phase(a).cmp(&phase(b)))
        .then_with(|| pods::is_ready(a).cmp(&pods::is_ready(b)))
        .then_with(|| cost(a).cmp(&cost(b)))
        .then_with(|| on_node(b).cmp(&on_node(a)))
        .then_with(|| age(ready_time(a), ready_time(b), a, b, now))
        .then_with(|| restarts(b).cmp(&restarts(a)))
        .then_with(|| age(created(a), created(b), a, b, now))
        .then_with(|| meta::uid(&a.metadata).cmp(meta::uid(&b.metadata)))
}

fn phase(pod: &Pod) -> u8 {
    match pods::phase(pod) {
        "Unknown" => 1,
        "Running" => 2,
        _ => 0,
    }
}

fn cost(pod: &Pod) -> i32 {
    meta::annotation(&pod.metadata, COST).and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn ready_time(pod: &Pod) -> Option<Timestamp> {
    pods::ready_since(pod)
}

fn created(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

/// The most restarts of a container of the pod.
fn restarts(pod: &Pod) -> i32 {
    let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    containers.map(|container| container.restart_count).max().unwrap_or_default()
}

/// The newer goes first. Ages within the same power of two are alike, and the uid decides, so that repeated scaling up and
/// down does not always take the newest (KEP-2185).
fn age(a_time: Option<Timestamp>, b_time: Option<Timestamp>, a: &Pod, b: &Pod, now: Timestamp) -> Ordering {
    match (a_time, b_time) {
        (Some(at), Some(bt)) if at != bt => {
            magnitude(now, at).cmp(&magnitude(now, bt)).then_with(|| meta::uid(&a.metadata).cmp(meta::uid(&b.metadata)))
        }
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        _ => Ordering::Equal,
    }
}

fn magnitude(now: Timestamp, at: Timestamp) -> i32 {
    match now.duration_since(at).as_nanos() {
        passed if passed <= 0 => -1,
        passed => passed.ilog2().cast_signed(),
    }
}
