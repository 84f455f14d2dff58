//! What a silent or unready node means: conditions and taints. Follows `node_lifecycle_controller.go` of upstream.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeStatus, Taint};

use crate::controllers::support::meta;

/// How long a node may be silent before it counts as unreachable.
pub(crate) const GRACE: Duration = Duration::from_secs(40);
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Conditions that a silent node can no longer vouch for.
const REPORTED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];
/// Conditions that keep pods away while they hold.
const PRESSURES: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];

/// A condition's state, `Unknown` when it was never reported.
pub(crate) fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

fn state<'a>(node: &'a Node, kind: &str) -> &'a str {
    condition(node, kind).map_or("Unknown", |condition| condition.status.as_str())
}

/// Whether pods on the node cannot be told to be ready.
pub(crate) fn is_ready(node: &Node) -> bool {
    state(node, "Ready") == "True"
}

/// The status of a node that has been silent for too long, `None` when it says so already.
pub(crate) fn silent(node: &Node, now: Timestamp) -> Option<NodeStatus> {
    let mut status = node.status.clone().unwrap_or_default();
    let conditions = status.conditions.get_or_insert_default();
    let mut changed = false;
    for kind in REPORTED {
        match conditions.iter_mut().find(|condition| condition.type_ == kind) {
            Some(stands) if stands.status == "Unknown" => {}
            Some(stands) => {
                stands.status = "Unknown".to_owned();
                stands.reason = Some("NodeStatusUnknown".to_owned());
                stands.message = Some("Kubelet stopped posting node status.".to_owned());
                stands.last_transition_time = Some(meta::time(now));
                changed = true;
            }
            None => {
                conditions.push(NodeCondition {
                    type_: kind.to_owned(),
                    status: "Unknown".to_owned(),
                    reason: Some("NodeStatusNeverUpdated".to_owned()),
                    message: Some("Kubelet never posted node status.".to_owned()),
                    last_heartbeat_time: node.metadata.creation_timestamp.clone(),
                    last_transition_time: Some(meta::time(now)),
                });
                changed = true;
            }
        }
    }
    changed.then_some(status)
}

/// The taints that a node should have; those that are not this loop's stay, and those that stand keep their time.
pub(crate) fn taints(node: &Node, now: Timestamp) -> Vec<Taint> {
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    match state(node, "Ready") {
        "True" => {}
        "False" => wanted.extend([(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")]),
        _ => wanted.extend([(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")]),
    }
    wanted
        .extend(PRESSURES.iter().filter(|(kind, _)| state(node, kind) == "True").map(|(_, key)| (*key, "NoSchedule")));
    if node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true)) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let ours = |taint: &Taint| {
        let key = taint.key.as_str();
        let timed = matches!(key, NOT_READY | UNREACHABLE) && taint.effect != "PreferNoSchedule";
        timed || (taint.effect == "NoSchedule" && (key == UNSCHEDULABLE || PRESSURES.iter().any(|(_, of)| *of == key)))
    };
    let is = |taint: &Taint, (key, effect): &(&str, &str)| taint.key == *key && taint.effect == *effect;
    let present = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let mut next: Vec<Taint> =
        present.iter().filter(|taint| !ours(taint) || wanted.iter().any(|want| is(taint, want))).cloned().collect();
    for (key, effect) in wanted {
        if !next.iter().any(|taint| is(taint, &(key, effect))) {
            let time_added = Some(meta::time(now));
            next.push(Taint { key: key.to_owned(), effect: effect.to_owned(), time_added, ..Default::default() });
        }
    }
    next
}
