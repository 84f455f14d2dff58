//! `wait` and `events`.

use super::{DEPLOYMENT, MAP, POD};
use crate::row::{Row, row};

pub fn rows() -> Vec<Row> {
    [wait(), events()].concat()
}

fn wait() -> Vec<Row> {
    let pod = |row: Row| row.file("p.yaml", POD).given("kubectl apply -f p.yaml");
    vec![
        pod(row("wait", "kubectl wait --for=condition=Ready pod/p --timeout=60s")).is("pod/p condition met"),
        pod(row("wait", "kubectl wait --for=condition=Ready=true pod -l app=p --timeout=60s")).is("pod/p condition met"),
        row("wait", "kubectl wait --for=condition=Available deployment --all --timeout=60s").file("d.yaml", DEPLOYMENT).given("kubectl apply -f d.yaml").is("deployment.apps/d condition met"),
        row("wait", "kubectl wait --for=jsonpath='{.status.readyReplicas}'=2 deployment/d --timeout=60s")
            .since(23)
            .file("d.yaml", DEPLOYMENT)
            .given("kubectl apply -f d.yaml")
            .is("deployment.apps/d condition met"),
        pod(row("wait", "kubectl wait --for=jsonpath='{.status.conditions[?(@.type==\"Ready\")].status}'=True pod/p --timeout=60s"))
            .since(31)
            .is("pod/p condition met"),
        pod(row("wait", "kubectl delete pod p --wait=false >&2; kubectl wait --for=delete pod/p --timeout=60s"))
            .given("kubectl wait --for=condition=Ready pod/p --timeout=60s")
            // Older ones fail where it is gone already.
            .since(24)
            .fits("it is gone", |said| said.trim().is_empty() || said.trim() == "pod/p condition met"),
        row("wait", "(has said waiting; kubectl create -f m.yaml >&2) & echo waiting > said; kubectl wait --for=create cm/m --timeout=60s; wait")
            .since(31)
            .file("m.yaml", MAP)
            .is("configmap/m condition met"),
        pod(row("wait", "kubectl wait --for=condition=Nonsense pod/p --timeout=1s")).fails(1, "timed out waiting for the condition on pods/p"),
        row("wait", "kubectl wait --for=condition=Ready pod/none --timeout=1s").fails(1, "pods \"none\" not found"),
    ]
}

fn events() -> Vec<Row> {
    vec![
        row("events", "kubectl events --for pod/talker").seen().since(26).says("Scheduled").says("Successfully assigned seen/talker").lacks("web"),
        row("events", "kubectl events --types=Warning --no-headers")
            .since(26)
            .file("p.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: stranger}, spec: {containers: [{name: c, image: none-such}]}}")
            .given("kubectl apply -f p.yaml && try sh -c 'kubectl events --types=Warning | grep stranger'")
            .fits("warnings of the one pod only", |said| said.lines().all(|line| line.contains(" Warning ") && line.contains(" Pod/stranger "))),
        row("events", "kubectl events -w > said & has said SuccessfulCreate; stop; cat said")
            .since(26)
            .file("d.yaml", DEPLOYMENT)
            .given("kubectl apply -f d.yaml")
            .says("ScalingReplicaSet"),
        row("events", "kubectl events --types=Loud").seen().since(26).fails(1, "valid --types are Normal or Warning"),
        row("get", "kubectl get events --field-selector=reason=ScalingReplicaSet,involvedObject.kind=Deployment -o jsonpath='{.items[0].message}'")
            .seen()
            .says("Scaled up replica set web-"),
    ]
}
