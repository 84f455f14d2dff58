//! Plans of daemon sets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

use super::place::{self, Place, target};
use super::plan::{State, Write, plan};
use crate::controllers::history;
use crate::controllers::support::Plan;

fn set(more: Value) -> DaemonSet {
    let mut spec = json!({"selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [], "nodeSelector": {"os": "linux"}}}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(json!({"metadata": {"name": "d", "namespace": "n", "uid": "d-1"}, "spec": spec})).unwrap()
}

fn node(name: &str, os: &str, taints: Value) -> Arc<Node> {
    let meta = json!({"name": name, "labels": {"os": os}});
    Arc::new(serde_json::from_value(json!({"metadata": meta, "spec": {"taints": taints}})).unwrap())
}

fn nodes() -> Vec<Arc<Node>> {
    ["n1", "n2", "n3"].map(|name| node(name, "linux", json!([]))).into()
}

fn ready(set: &DaemonSet, hash: &str, node: &str) -> Arc<Pod> {
    let mut pod = place::pod(set, hash, node).pod;
    pod.metadata.uid = Some(format!("{node}-{hash}"));
    pod.metadata.name = pod.metadata.uid.clone();
    let status = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    pod.status = serde_json::from_value(status).unwrap();
    Arc::new(pod)
}

fn of(set: &DaemonSet, pods: &[Arc<Pod>]) -> Plan<Write, DaemonSetStatus> {
    let template = &set.spec.as_ref().unwrap().template;
    let revisions = vec![Arc::new(history::revision(set, template, 1, 0, history::DAEMON_HASH))];
    let (candidates, leaving, held) = (pods.to_vec(), BTreeSet::new(), BTreeMap::new());
    let state = State { set, candidates, leaving, revisions, taken: &|_| false, nodes: nodes(), held };
    plan(state, Timestamp::from_second(1_000_000).unwrap())
}

fn told(plan: &Plan<Write, DaemonSetStatus>) -> Vec<String> {
    let name = |write: &Write| match write {
        Write::Create(new) => format!("+{}", target(&new.pod).unwrap()),
        Write::Delete(pod) => format!("-{}", target(pod).unwrap()),
        other => format!("{other:?}"),
    };
    plan.writes.iter().map(name).collect()
}

#[test]
fn a_node_is_wanted_by_labels_and_taints() {
    let set = set(json!({}));
    let place =
        |os: &str, key: &str, effect: &str| place::place(&set, &node("n", os, json!([{"key": key, "effect": effect}])));
    assert_eq!(place("linux", "node.kubernetes.io/unschedulable", "NoSchedule"), Place::Wanted);
    assert_eq!(place("linux", "x", "PreferNoSchedule"), Place::Wanted);
    assert_eq!(place("linux", "x", "NoSchedule"), Place::Kept);
    assert_eq!(place("linux", "x", "NoExecute"), Place::Unwanted);
    assert_eq!(place("windows", "x", "PreferNoSchedule"), Place::Unwanted);
}

#[test]
fn every_node_gets_one_pod_and_pods_without_a_node_go() {
    let set = set(json!({}));
    let plan = of(&set, &[ready(&set, "old", "n2"), ready(&set, "old", "gone")]);
    assert_eq!(told(&plan), ["-gone", "+n1", "+n3"]);
    let status = plan.status.unwrap();
    assert_eq!((status.desired_number_scheduled, status.number_ready, status.number_unavailable), (3, 1, Some(2)));
}

#[test]
fn a_rollout_keeps_its_bounds() {
    let rolling = |bounds: Value| set(json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": bounds}}));
    let old = |set: &DaemonSet| ["n1", "n2", "n3"].map(|node| ready(set, "old", node));
    let two = rolling(json!({"maxUnavailable": 2}));
    assert_eq!(told(&of(&two, &old(&two))), ["-n1", "-n2"]);
    let surge = rolling(json!({"maxSurge": 1, "maxUnavailable": 0}));
    let mut pods = old(&surge).to_vec();
    let first = of(&surge, &pods);
    assert_eq!(told(&first), ["+n1"]);
    let hash = match &first.writes[0] {
        Write::Create(new) => new.pod.metadata.labels.as_ref().unwrap()[history::DAEMON_HASH].clone(),
        other => panic!("{other:?}"),
    };
    pods.push(ready(&surge, &hash, "n1"));
    assert_eq!(told(&of(&surge, &pods)), ["-n1", "+n2"], "the successor is available");
    let kept = set(json!({"updateStrategy": {"type": "OnDelete"}}));
    assert!(of(&kept, &old(&kept)).writes.is_empty());
}
