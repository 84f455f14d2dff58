//! Plans of stateful sets.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::identity;
use super::plan::{State, Write, plan};
use crate::controllers::history;
use crate::controllers::support::Plan;

fn set(more: Value) -> StatefulSet {
    let mut spec = json!({"replicas": 3, "serviceName": "svc", "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(json!({"metadata": {"name": "s", "namespace": "d", "uid": "s-1"}, "spec": spec})).unwrap()
}

fn revision(set: &StatefulSet) -> Arc<ControllerRevision> {
    Arc::new(history::revision(set, &set.spec.as_ref().unwrap().template, 1, 0, history::HASH))
}

fn ready(set: &StatefulSet, ordinal: i32, of: &str) -> Arc<Pod> {
    let mut pod = identity::pod(set, &set.spec.as_ref().unwrap().template, of, ordinal);
    pod.metadata.uid = pod.metadata.name.clone();
    let status = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    pod.status = serde_json::from_value(status).unwrap();
    Arc::new(pod)
}

fn of(set: &StatefulSet, pods: &[Arc<Pod>]) -> Plan<Write, StatefulSetStatus> {
    let revisions = vec![revision(set)];
    let (claim, taken) = (|_: &str| None, |_: &str| false);
    let candidates = pods.to_vec();
    let state = State { set, candidates, leaving: BTreeSet::new(), revisions, claim: &claim, taken: &taken };
    plan(state, Timestamp::from_second(1_000_000).unwrap())
}

fn names(plan: &Plan<Write, StatefulSetStatus>) -> Vec<String> {
    let name = |write: &Write| match write {
        Write::Create(pod) => format!("+{}", pod.metadata.name.as_ref().unwrap()),
        Write::Delete(pod) => format!("-{}", pod.metadata.name.as_ref().unwrap()),
        other => format!("{other:?}"),
    };
    plan.writes.iter().map(name).collect()
}

#[test]
fn pods_come_in_order_or_all_at_once() {
    let ordered = set(json!({}));
    assert_eq!(names(&of(&ordered, &[])), ["+s-0"]);
    assert_eq!(names(&of(&ordered, &[ready(&ordered, 0, "x")])), ["+s-1"]);
    let parallel = set(json!({"podManagementPolicy": "Parallel", "ordinals": {"start": 5}}));
    assert_eq!(names(&of(&parallel, &[])), ["+s-5", "+s-6", "+s-7"]);
}

#[test]
fn a_pod_has_its_identity() {
    let set = set(json!({}));
    let pod = serde_json::to_value(&*ready(&set, 0, "rev")).unwrap();
    let labels = json!({"a": "b", "apps.kubernetes.io/pod-index": "0", "statefulset.kubernetes.io/pod-name": "s-0",
        "controller-revision-hash": "rev"});
    assert_eq!(pod["metadata"]["labels"], labels);
    assert_eq!((&pod["spec"]["hostname"], &pod["spec"]["subdomain"]), (&json!("s-0"), &json!("svc")));
}

#[test]
fn old_pods_go_from_the_last_down_to_the_partition() {
    let rolling = |partition: i32, most: i32| {
        set(json!({"updateStrategy": {"type": "RollingUpdate",
            "rollingUpdate": {"partition": partition, "maxUnavailable": most}}}))
    };
    let old = |set: &StatefulSet| [ready(set, 0, "old"), ready(set, 1, "old"), ready(set, 2, "old")];
    let one = rolling(0, 1);
    assert_eq!(names(&of(&one, &old(&one))), ["-s-2"]);
    let two = rolling(0, 2);
    assert_eq!(names(&of(&two, &old(&two))), ["-s-2", "-s-1"]);
    let partitioned = rolling(2, 3);
    assert_eq!(names(&of(&partitioned, &old(&partitioned))), ["-s-2"]);
    let kept = set(json!({"updateStrategy": {"type": "OnDelete"}}));
    assert!(of(&kept, &old(&kept)).writes.is_empty());
}

#[test]
fn a_settled_set_writes_nothing() {
    let mut set = set(json!({"replicas": 2}));
    let name = revision(&set).metadata.name.clone().unwrap();
    let pods = [ready(&set, 0, &name), ready(&set, 1, &name)];
    let first = of(&set, &pods);
    assert!(first.writes.is_empty());
    set.status = first.status;
    assert_eq!(of(&set, &pods).status, None);
    let status = set.status.unwrap();
    assert_eq!((status.replicas, status.current_replicas, status.collision_count), (2, Some(2), Some(0)));
}
