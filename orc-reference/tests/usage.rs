//! What nodes and pods use: `metrics.k8s.io`, `kubectl top`, and autoscalers that follow it.

mod support;

use serde_json::Value;
use support::{As, Cluster};

/// A busy loop with a request of a tenth of a CPU.
const BUSY: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: busy}
spec:
  replicas: 1
  selector: {matchLabels: {app: busy}}
  template:
    metadata: {labels: {app: busy}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: loop
        image: host
        command: [sh, -c, "while :; do :; done"]
        resources: {requests: {cpu: 100m, memory: 16Mi}}
"#;

fn cluster() -> Cluster {
    Cluster::up(As::Me, &["--nodes", "1"])
}

fn raw(cluster: &Cluster, path: &str) -> Value {
    let output = cluster.kubectl(&["get", "--raw", path]);
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

#[test]
fn kubectl_top_shows_nodes_and_pods() {
    let cluster = cluster();
    cluster.ok_with(&["apply", "-f", "-"], BUSY);
    let top = ["top", "pods", "-l", "app=busy", "--containers", "--no-headers"];
    cluster.until(&top, "the busy pod's use is known", |text| {
        let cpu = text.split_whitespace().nth(2).and_then(|cpu| cpu.strip_suffix('m')?.parse::<u32>().ok());
        cpu.is_some_and(|milli| milli > 50)
    });
    let nodes = cluster.until(&["top", "nodes", "--no-headers"], "the node's use is known", |text| text.contains('%'));
    let fields: Vec<&str> = nodes.split_whitespace().collect();
    assert_eq!((fields[0], fields.len()), ("node-1", 5), "{nodes}");
    assert!(fields[1].strip_suffix('m').is_some_and(|cpu| cpu.parse::<u32>().unwrap() > 50), "{nodes}");
    assert!(cluster.ok(&["get", "apiservice", "v1beta1.metrics.k8s.io", "--no-headers"]).contains("True"));
    let table = cluster.ok(&["get", "pods.metrics.k8s.io"]);
    assert!(table.lines().next().unwrap().split_whitespace().eq(["NAME", "CPU", "MEMORY", "WINDOW"]), "{table}");
    let one = raw(&cluster, "/apis/metrics.k8s.io/v1beta1/nodes/node-1");
    assert_eq!((&one["kind"], &one["metadata"]["name"]), (&"NodeMetrics".into(), &"node-1".into()));
    let missing = cluster.kubectl(&["get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes/none"]);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("NotFound"), "{missing:?}");
    let text = cluster.ok(&["get", "--raw", "/api/v1/nodes/node-1/proxy/metrics/resource"]);
    assert!(text.contains("container_cpu_usage_seconds_total{container=\"loop\""), "{text}");
    let trust =
        cluster.ok(&["get", "configmap", "-n", "kube-system", "extension-apiserver-authentication", "-o", "yaml"]);
    for key in [
        "client-ca-file",
        "requestheader-client-ca-file",
        "requestheader-allowed-names",
        "requestheader-username-headers",
    ] {
        assert!(trust.contains(key), "{key} is not in\n{trust}");
    }
}

#[test]
fn an_autoscaler_follows_the_load() {
    let cluster = cluster();
    cluster.ok_with(&["apply", "-f", "-"], BUSY);
    cluster.ok(&["autoscale", "deployment", "busy", "--min", "1", "--max", "3", "--cpu-percent", "50"]);
    let replicas = ["get", "deployment", "busy", "-o", "jsonpath={.spec.replicas}"];
    cluster.until(&replicas, "the deployment is scaled up", |text| text == "3");
    let reasons = ["get", "hpa", "busy", "-o", "jsonpath={.metadata.annotations}{.status}"];
    let shown = cluster.until(&reasons, "the autoscaler says what it did", |text| text.contains("ValidMetricFound"));
    assert!(shown.contains("desiredReplicas"), "{shown}");
    cluster.until(&["get", "events", "-o", "jsonpath={.items[*].reason}"], "the event is there", |text| {
        text.contains("SuccessfulRescale")
    });
}
