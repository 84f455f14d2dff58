//! `delete`.

use super::{DEPLOYMENT, MAP, POD};
use crate::row::{Row, row};

pub fn rows() -> Vec<Row> {
    [pods(), owners(), choices(), bad()].concat()
}

fn pods() -> Vec<Row> {
    let pod = |row: Row| {
        row.file("p.yaml", POD)
            .given("kubectl apply -f p.yaml && kubectl wait --for=condition=Ready pod/p --timeout=60s")
    };
    const GONE: &str = "kubectl get pods -o name";
    vec![
        pod(row("delete", "kubectl delete pod p")).says("pod \"p\" deleted").then(GONE, ""),
        pod(row("delete", "kubectl delete pod p --now")).says("pod \"p\" deleted").then(GONE, ""),
        pod(row("delete", "kubectl delete pod p --grace-period=0 --force"))
            .says("pod \"p\" force deleted")
            .warns("Immediate deletion does not wait for confirmation")
            .then(GONE, ""),
        pod(row("delete", "kubectl delete -f p.yaml --wait=false")).says("pod \"p\" deleted").then(GONE, ""),
        pod(row("delete", "kubectl delete pod p --dry-run=server")).says("pod \"p\" deleted").then(GONE, "pod/p"),
        pod(row("delete", "kubectl delete pod p --timeout=1s"))
            .given("kubectl patch pod p -p '{\"metadata\":{\"finalizers\":[\"example.com/hold\"]}}'")
            .fails(1, "timed out waiting for the condition on pods/p")
            .then(
                "kubectl patch pod p -p '{\"metadata\":{\"finalizers\":null}}' >/dev/null; kubectl get pods -o name",
                "",
            ),
    ]
}

fn owners() -> Vec<Row> {
    let deployment = |row: Row| {
        row.file("d.yaml", DEPLOYMENT)
            .given("kubectl apply -f d.yaml && kubectl rollout status deployment/d --timeout=60s")
    };
    vec![
        deployment(row("delete", "kubectl delete deployment d")).says("deployment.apps \"d\" deleted").then("kubectl get rs,pods -o name", ""),
        deployment(row("delete", "kubectl delete deployment d --cascade=foreground"))
            .says("deployment.apps \"d\" deleted")
            .then("kubectl get rs,pods -o name", ""),
        deployment(row("delete", "kubectl delete deployment d --cascade=orphan"))
            .says("deployment.apps \"d\" deleted")
            .then("kubectl get rs -o name | wc -l; kubectl get rs -o jsonpath='{..ownerReferences}'; kubectl get pods -o name | wc -l", "1\n2"),
        row("delete", "kubectl delete namespace $NS-gone --timeout=80s")
            .file("m.yaml", MAP)
            .file("p.yaml", POD)
            .given("kubectl create ns $NS-gone && kubectl apply -n $NS-gone -f m.yaml && try kubectl apply -n $NS-gone -f p.yaml")
            .says("namespace \"$NS-gone\" deleted")
            .then("kubectl get ns $NS-gone --ignore-not-found", ""),
    ]
}

fn choices() -> Vec<Row> {
    let maps = |row: Row| row.given("for i in 1 2 3; do kubectl create cm m$i; done; kubectl label cm m1 m2 go=yes");
    const LEFT: &str = "kubectl get cm -o name | grep /m";
    vec![
        maps(row("delete", "kubectl delete cm -l go=yes"))
            .says("configmap \"m1\" deleted")
            .says("configmap \"m2\" deleted")
            .then(LEFT, "configmap/m3"),
        maps(row("delete", "kubectl delete cm --field-selector=metadata.name=m2"))
            .says("configmap \"m2\" deleted")
            .lacks("m1")
            .then(LEFT, "configmap/m1\nconfigmap/m3"),
        maps(row("delete", "kubectl delete cm --all"))
            .says("configmap \"m1\" deleted")
            .says("configmap \"m3\" deleted")
            .then("kubectl get cm -o name", "configmap/kube-root-ca.crt"),
        maps(row("delete", "kubectl delete cm m1 m3 -o name"))
            .is("configmap/m1\nconfigmap/m3")
            .then(LEFT, "configmap/m2"),
        maps(row("delete", "kubectl delete --raw /api/v1/namespaces/$NS/configmaps/m1"))
            .says("\"status\":\"Success\"")
            .then(LEFT, "configmap/m2\nconfigmap/m3"),
        row("delete", "kubectl delete cm none --ignore-not-found").is(""),
    ]
}

fn bad() -> Vec<Row> {
    vec![
        row("delete", "kubectl delete cm none").fails(1, "Error from server (NotFound): configmaps \"none\" not found"),
        row("delete", "kubectl delete cm").fails(1, "error: resource(s) were provided, but no name"),
        row("delete", "kubectl delete ns kube-system").fails(1, "Error from server (Forbidden): namespaces \"kube-system\" is forbidden: this namespace may not be deleted"),
        row("delete", "kubectl delete node node-1 --as=ann").fails(1, "nodes \"node-1\" is forbidden: User \"ann\" cannot delete resource \"nodes\" in API group \"\" at the cluster scope"),
    ]
}
