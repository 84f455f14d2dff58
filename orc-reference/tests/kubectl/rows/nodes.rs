//! `cordon`, `uncordon`, `drain`, `taint`: on the second node, one row at a time.

use super::DEPLOYMENT;
use crate::row::{Row, row};

const STATE: &str = "kubectl get node node-2 --no-headers | awk '{print $2}'";

pub fn rows() -> Vec<Row> {
    [cordon(), drain(), taint()].concat()
}

fn cordon() -> Vec<Row> {
    vec![
        row("cordon", "kubectl cordon node-2")
            .alone()
            .is("node/node-2 cordoned")
            .then(STATE, "Ready,SchedulingDisabled")
            .then("kubectl get node node-2 -o jsonpath='{.spec.taints[*].key}'", "node.kubernetes.io/unschedulable")
            .then("kubectl uncordon node-2", "node/node-2 uncordoned"),
        row("cordon", "kubectl cordon none").fails(1, "nodes \"none\" not found"),
        row("uncordon", "kubectl uncordon node-2")
            .alone()
            .given("kubectl cordon node-2")
            .is("node/node-2 uncordoned")
            .then(STATE, "Ready"),
        row("uncordon", "kubectl uncordon node-2").alone().is("node/node-2 already uncordoned"),
        row("uncordon", "kubectl uncordon none").fails(1, "nodes \"none\" not found"),
    ]
}

fn drain() -> Vec<Row> {
    vec![
        row("drain", "kubectl drain node-2 --ignore-daemonsets --delete-emptydir-data --force --pod-selector=app=d --timeout=80s")
            .alone()
            .file("d.yaml", DEPLOYMENT)
            .given("kubectl cordon node-1 && kubectl apply -f d.yaml && kubectl rollout status deployment/d --timeout=60s && kubectl uncordon node-1")
            .says("evicting pod $NS/d-")
            .fits("it ends", |said| said.contains("node/node-2 drained") || said.contains("node/node-2 evicted"))
            .then("kubectl get pods -o jsonpath='{range .items[*]}{.spec.nodeName} {.status.phase},{end}'", "node-1 Running,node-1 Running,")
            .then("kubectl uncordon node-2", "node/node-2 uncordoned"),
        row("drain", "kubectl drain node-2 --pod-selector=app=d --timeout=3s; code=$?; kubectl uncordon node-2 >/dev/null; exit $code")
            .alone()
            .since(21)
            .file("d.yaml", DEPLOYMENT)
            .given("kubectl cordon node-1 && kubectl apply -f d.yaml && kubectl rollout status deployment/d --timeout=60s && kubectl uncordon node-1")
            .given("kubectl create pdb b --selector=app=d --min-available=2 && try sh -c \"kubectl get pdb b -o jsonpath={.status.currentHealthy} | grep 2\"")
            .fails(1, "Cannot evict pod as it would violate the pod's disruption budget."),
        row("drain", "kubectl drain node-2 --pod-selector=app=bare; code=$?; kubectl uncordon node-2 >/dev/null; exit $code")
            .alone()
            .file("p.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: p, labels: {app: bare}}, spec: {nodeName: node-2, containers: [{name: c, image: host, command: [sleep, '86400']}]}}")
            .given("kubectl apply -f p.yaml && kubectl wait --for=condition=Ready pod/p --timeout=60s")
            .fails(1, "use --force to override"),
        // What kubectl before 1.22 sends for each pod.
        row("drain", "kubectl create --raw /api/v1/namespaces/$NS/pods/p/eviction -f e.json")
            .file("p.yaml", super::POD)
            .file("e.json", r#"{"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "p"}}"#)
            .given("kubectl apply -f p.yaml")
            .says("\"status\":\"Success\"")
            .then("kubectl get pods -o name", ""),
        row("drain", "kubectl drain none").fails(1, "nodes \"none\" not found"),
    ]
}

fn taint() -> Vec<Row> {
    vec![
        row("taint", "kubectl taint node node-2 only=me:NoExecute")
            .alone()
            .file("d.yaml", DEPLOYMENT)
            .given("kubectl cordon node-1 && kubectl apply -f d.yaml && kubectl rollout status deployment/d --timeout=60s && kubectl uncordon node-1")
            .is("node/node-2 tainted")
            .then("kubectl get pods -o jsonpath='{range .items[*]}{.spec.nodeName} {.status.phase},{end}'", "node-1 Running,node-1 Running,")
            .then("kubectl taint node node-2 only-", "node/node-2 untainted"),
        row("taint", "kubectl taint node node-2 soon=yes:NoExecute")
            .alone()
            .file("p.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {nodeName: node-2, terminationGracePeriodSeconds: 1, tolerations: [{key: soon, operator: Exists, effect: NoExecute, tolerationSeconds: 2}], containers: [{name: c, image: host, command: [sleep, '86400']}]}}")
            .given("kubectl apply -f p.yaml && kubectl wait --for=condition=Ready pod/p --timeout=60s")
            .is("node/node-2 tainted")
            .then("kubectl get pod p --ignore-not-found", "")
            .then_holds("kubectl get events --field-selector=reason=TaintManagerEviction", "Marking for deletion Pod $NS/p")
            .then("kubectl taint node node-2 soon-", "node/node-2 untainted"),
        row("taint", "kubectl taint node node-2 only=you:NoSchedule; code=$?; kubectl taint node node-2 only- >&2; exit $code")
            .alone()
            .given("kubectl taint node node-2 only=me:NoSchedule")
            .fails(1, "already has only taint(s) with same effect(s) and --overwrite is false"),
        row("taint", "kubectl taint node node-2 only=me:Never").fails(1, "invalid taint effect: Never, unsupported taint effect"),
        row("taint", "kubectl taint node node-2 none-such-").fails(1, "taint \"none-such\" not found"),
    ]
}
