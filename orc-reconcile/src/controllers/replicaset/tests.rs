//! Plans of replica sets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::plan::{State, Write, plan};

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

fn set(replicas: i32) -> ReplicaSet {
    serde_json::from_value(
        json!({"metadata": {"name": "r", "uid": "r-1", "generation": 1}, "spec": {"replicas": replicas,
        "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}}}}),
    )
    .unwrap()
}

fn pod(uid: &str, owner: Option<&str>, more: serde_json::Value) -> Arc<Pod> {
    let owners = owner.map(
        |uid| json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": uid, "controller": true}]),
    );
    let mut pod = json!({"metadata": {"name": uid, "uid": uid, "labels": {"a": "b"}, "ownerReferences": owners,
        "creationTimestamp": "1970-01-12T00:00:00Z"}});
    pod.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn running(ready: &str) -> serde_json::Value {
    let conditions = json!([{"type": "Ready", "status": ready, "lastTransitionTime": "1970-01-12T13:46:35Z"}]);
    json!({"spec": {"nodeName": "n", "containers": []}, "status": {"phase": "Running", "conditions": conditions}})
}

fn state<'a>(set: &'a ReplicaSet, pods: &[Arc<Pod>]) -> State<'a> {
    State { set, candidates: pods.to_vec(), leaving: BTreeSet::new(), neighbours: BTreeMap::new(), failure: None }
}

#[test]
fn missing_pods_are_created_and_ended_ones_replaced() {
    let set = set(3);
    let pods = [pod("a", Some("r-1"), running("True")), pod("b", Some("r-1"), json!({"status": {"phase": "Failed"}}))];
    let plan = plan(state(&set, &pods), now());
    assert_eq!(plan.writes, [Write::Create(2)]);
    let status = plan.status.unwrap();
    assert_eq!((status.replicas, status.ready_replicas, status.available_replicas), (1, Some(1), Some(1)));
}

#[test]
fn ownership_comes_first() {
    let set = set(1);
    let other = Pod {
        metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
            labels: None,
            ..pod("x", Some("r-1"), json!({})).metadata.clone()
        },
        ..Default::default()
    };
    let pods = [pod("a", None, json!({})), Arc::new(other), pod("c", Some("other"), json!({}))];
    let plan = plan(state(&set, &pods), now());
    assert_eq!(plan.writes, [Write::Release(pods[1].clone()), Write::Adopt(pods[0].clone())]);
}

#[test]
fn the_least_useful_pods_go_first() {
    let set = set(1);
    let pods = [
        pod("ready", Some("r-1"), running("True")),
        pod("unready", Some("r-1"), running("False")),
        pod("unassigned", Some("r-1"), json!({"status": {"phase": "Pending"}})),
    ];
    let writes = plan(state(&set, &pods), now()).writes;
    assert_eq!(writes, [Write::Delete(pods[2].clone()), Write::Delete(pods[1].clone())]);
    let mut leaving = state(&set, &pods);
    leaving.leaving = ["unassigned".to_owned(), "unready".to_owned()].into();
    assert!(plan(leaving, now()).writes.is_empty(), "what was deleted already counts as gone");
}

#[test]
fn availability_waits_for_its_time() {
    let mut set = set(1);
    set.spec.as_mut().unwrap().min_ready_seconds = Some(10);
    let pods = [pod("a", Some("r-1"), running("True"))];
    let plan = plan(state(&set, &pods), now());
    assert_eq!(plan.status.unwrap().available_replicas, None);
    assert_eq!(plan.wake, Some(Timestamp::from_second(1_000_005).unwrap()));
}

#[test]
fn a_failure_stands_while_pods_are_missing() {
    let set = set(1);
    let mut failing = state(&set, &[]);
    failing.failure = Some(("FailedCreate", "quota".to_owned()));
    let conditions = plan(failing, now()).status.unwrap().conditions.unwrap();
    assert_eq!(conditions[0].reason.as_deref(), Some("FailedCreate"));
    let pods = [pod("a", Some("r-1"), running("True"))];
    let mut whole = state(&set, &pods);
    whole.failure = Some(("FailedCreate", "quota".to_owned()));
    assert_eq!(plan(whole, now()).status.unwrap().conditions, None);
}
