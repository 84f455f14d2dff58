//! Pods of a realistic size: what a Deployment's pod looks like on a running cluster, about 2.5 KB of JSON.

use bytes::Bytes;
use orc_core::{Doc, ObjectKey, ResourceId};
use serde_json::{Value, json};

/// The key of pod `number`: a thousand pods a namespace.
pub fn key(number: usize) -> ObjectKey {
    ObjectKey::namespaced(ResourceId::new("", "pods"), format!("ns-{}", number / 1000), name(number))
}

fn name(number: usize) -> String {
    format!("web-{:x}-{number:07}", 0x5d9c_7f6d_u64 + (number / 10) as u64)
}

/// The canonical body of pod `number` on node `node`. `turn` changes its status, as a kubelet's update does.
pub fn body(number: usize, node: usize, turn: usize) -> Bytes {
    let doc = Doc::from_value(pod(number, node, turn));
    doc.map(|doc| doc.to_body()).unwrap_or_else(|error| unreachable!("a pod is an object: {error}"))
}

/// A pod as a client makes it, for a scheduler that is not there.
///
/// # Errors
/// None is expected.
pub fn new(name: &str) -> serde_json::Result<Bytes> {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web", "tier": "frontend"}},
        "spec": {
            "schedulerName": "nobody",
            "containers": [{
                "name": "web", "image": "registry.example.com/web:1", "ports": [{"containerPort": 8080}],
                "env": [{"name": "LOG_LEVEL", "value": "info"}],
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}
            }]
        }
    });
    serde_json::to_vec(&pod).map(Bytes::from)
}

/// The act of a scheduler.
///
/// # Errors
/// None is expected.
pub fn binding(pod: &str, node: &str) -> serde_json::Result<Bytes> {
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node}
    });
    serde_json::to_vec(&binding).map(Bytes::from)
}

/// What a node's agent writes of a pod that runs: a merge patch of its status.
///
/// # Errors
/// None is expected.
pub fn running() -> serde_json::Result<Bytes> {
    let since = "2026-11-21T10:00:05Z";
    let kinds = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
    let conditions = kinds.map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": since}));
    let container = json!({
        "name": "web", "image": "registry.example.com/web:1", "imageID": "host", "containerID": "orc://4f2a", "ready": true,
        "started": true, "restartCount": 0, "lastState": {}, "state": {"running": {"startedAt": since}}
    });
    let status = json!({
        "phase": "Running", "conditions": conditions, "containerStatuses": [container], "startTime": since,
        "hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.1"}], "podIP": "10.1.0.7", "podIPs": [{"ip": "10.1.0.7"}]
    });
    serde_json::to_vec(&json!({"status": status})).map(Bytes::from)
}

fn pod(number: usize, node: usize, turn: usize) -> Value {
    let (set, app) = (number / 10, number % 50);
    let started = "2026-11-21T10:00:05Z";
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": started});
    let probe = json!({
        "httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"},
        "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3
    });
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name(number), "namespace": format!("ns-{}", number / 1000), "generateName": format!("web-{set:x}-"),
            "uid": format!("6b1c2d3e-4f50-4a6b-8c7d-{number:012x}"), "generation": 1,
            "creationTimestamp": "2026-11-21T10:00:00Z",
            "labels": {
                "app": format!("web-{app}"), "pod-template-hash": format!("{set:x}"), "tier": "frontend",
                "app.kubernetes.io/managed-by": "helm"
            },
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("web-{set:x}"),
                "uid": format!("0a1b2c3d-0000-4000-8000-{set:012x}"), "controller": true, "blockOwnerDeletion": true
            }]
        },
        "spec": {
            "volumes": [{"name": "kube-api-access-x7k2p", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
            ]}}],
            "containers": [{
                "name": "web", "image": "registry.example.com/shop/web:v1.42.0", "imagePullPolicy": "IfNotPresent",
                "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                "env": [{"name": "LOG_LEVEL", "value": "info"}],
                "resources": {"limits": {"memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
                "readinessProbe": probe,
                "volumeMounts": [{
                    "name": "kube-api-access-x7k2p", "readOnly": true,
                    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"
                }],
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"
            }],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default", "serviceAccount": "default", "nodeName": format!("node-{node}"),
            "securityContext": {}, "schedulerName": "default-scheduler", "priority": 0, "enableServiceLinks": true,
            "preemptionPolicy": "PreemptLowerPriority"
        },
        "status": {
            "phase": "Running", "observedGeneration": 1, "qosClass": "Burstable", "startTime": "2026-11-21T10:00:01Z",
            "hostIP": "10.0.3.7", "podIP": format!("10.{}.{}.{}", 1 + number / 65536, number / 256 % 256, number % 256),
            "conditions": [condition("PodScheduled"), condition("Initialized"), condition("ContainersReady"), condition("Ready")],
            "containerStatuses": [{
                "name": "web", "ready": true, "started": true, "restartCount": turn,
                "state": {"running": {"startedAt": started}}, "lastState": {},
                "image": "registry.example.com/shop/web:v1.42.0",
                "imageID": "registry.example.com/shop/web@sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
                "containerID": format!("containerd://{number:064x}")
            }]
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_of_a_realistic_size() {
        let size = body(123_456, 7, 0).len();
        assert!((2200..2800).contains(&size), "{size} bytes");
    }
}
