//! Builders of pods and nodes.
#![allow(dead_code, reason = "each test target uses some of them")]

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use orc_sched::{NodeInfo, PodInfo};
use serde_json::{Value, json};

/// A node with so many thousandths of a CPU, GiB of memory and pods.
pub(crate) fn node(name: &str, cpu: i64, memory: i64, pods: i64) -> Node {
    typed(json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": format!("{cpu}m"), "memory": format!("{memory}Gi"), "pods": pods.to_string()}},
    }))
}

/// A pod that asks for so many thousandths of a CPU.
pub(crate) fn pod(name: &str, cpu: i64) -> Pod {
    typed(json!({
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": format!("{cpu}m"), "memory": "1Mi"}}}]},
    }))
}

/// An object with parts of it replaced, as by a merge patch.
pub(crate) fn with<K: serde::Serialize + serde::de::DeserializeOwned>(object: &K, patch: Value) -> K {
    let mut value = serde_json::to_value(object).unwrap();
    merge(&mut value, patch);
    typed(value)
}

pub(crate) fn node_info(node: &Node) -> Arc<NodeInfo> {
    Arc::new(NodeInfo::of(node))
}

/// What scheduling reads of a pod whose uid is its name.
pub(crate) fn pod_info(pod: &Pod) -> Arc<PodInfo> {
    let mut pod = pod.clone();
    pod.metadata.uid.clone_from(&pod.metadata.name);
    Arc::new(PodInfo::of(&pod))
}

fn typed<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch,
    }
}
