//! `managedFields` of managers that speak different versions.

use std::sync::Arc;

use orc_core::env::System;
use orc_store::backend::MemoryBackend;
use serde_json::{Value, json};

use crate::conversion::set_up;
use crate::support::{AUTOSCALERS, WIDGETS, server, widget};

/// The fields of a manager below `f:spec`, with the version that they are of.
fn owned(object: &Value, manager: &str) -> Vec<(String, Value)> {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let own = entries.iter().filter(|entry| entry["manager"] == manager);
    own.map(|e| (e["apiVersion"].as_str().unwrap().to_owned(), e["fieldsV1"]["f:spec"].clone())).collect()
}

#[tokio::test]
async fn a_webhook_tells_what_a_manager_of_another_version_loses() {
    let (one, _) = set_up().await;
    one.apply("m1", WIDGETS, widget("v1", "a", json!({"address": "h:1"}))).await.unwrap();
    let kept = vec![("example.com/v1".to_owned(), json!({"f:address": {}}))];
    // Another field is changed through v2, which has no `address`: the manager keeps it.
    let patched = one.patch("v2", (WIDGETS, "a"), json!({"metadata": {"labels": {"x": "y"}}})).await.unwrap();
    assert_eq!(owned(&patched, "m1"), kept);
    // Another applier of v2 wants what v1 calls `address`.
    let error = one.apply("m2", WIDGETS, widget("v2", "a", json!({"port": "2"}))).await.unwrap_err();
    assert_eq!(error.message(), "Apply failed with 1 conflict: conflict with \"m1\": .spec.address");
    // The same applier goes over to v2, and is one manager still.
    let moved = one.apply("m1", WIDGETS, widget("v2", "a", json!({"host": "h", "port": "2"}))).await.unwrap();
    assert_eq!(moved["spec"], json!({"host": "h", "port": "2"}));
    assert_eq!(owned(&moved, "m1"), [("example.com/v2".to_owned(), json!({"f:host": {}, "f:port": {}}))]);
    // A write through v1 takes both from it.
    let patched = one.patch("v1", (WIDGETS, "a"), json!({"spec": {"address": "i:3"}})).await.unwrap();
    assert_eq!(owned(&patched, "m1"), []);
    // One entry a version: that of v2 holds the label.
    let both = [("example.com/v2".to_owned(), json!(null)), ("example.com/v1".to_owned(), json!({"f:address": {}}))];
    let mut owned = owned(&patched, "test");
    owned.sort_by(|a, b| b.0.cmp(&a.0));
    assert_eq!(owned, both);
}

fn autoscaler(version: &str, spec: Value) -> Value {
    let mut object = json!({"apiVersion": format!("autoscaling/{version}"), "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h", "namespace": "d"}, "spec": spec});
    object["spec"]["scaleTargetRef"] = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"});
    object
}

#[tokio::test]
async fn autoscalers_have_owners_in_both_versions() {
    let one = server(Arc::new(MemoryBackend::new()), &System::real()).await;
    let spec = json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 50});
    one.apply("m1", AUTOSCALERS, autoscaler("v1", spec)).await.unwrap();
    let target = json!({"f:scaleTargetRef": {}, "f:maxReplicas": {}, "f:targetCPUUtilizationPercentage": {}});
    let patched = one.patch("autoscaling/v2", (AUTOSCALERS, "h"), json!({"spec": {"minReplicas": 2}})).await.unwrap();
    assert_eq!(owned(&patched, "m1"), [("autoscaling/v1".to_owned(), target)]);
    assert_eq!(owned(&patched, "test"), [("autoscaling/v2".to_owned(), json!({"f:minReplicas": {}}))]);
    // The share of the CPU is a metric in v2: who changes it there takes it from the manager of v1.
    let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}});
    let patch = json!({"spec": {"metrics": [metric]}});
    let patched = one.patch("autoscaling/v2", (AUTOSCALERS, "h"), patch).await.unwrap();
    let left = json!({"f:scaleTargetRef": {}, "f:maxReplicas": {}});
    assert_eq!(owned(&patched, "m1"), [("autoscaling/v1".to_owned(), left)]);
    let read = one.get("autoscaling/v1", AUTOSCALERS, "h").await.unwrap();
    assert_eq!(read["spec"]["targetCPUUtilizationPercentage"], 70);
}
