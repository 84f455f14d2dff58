//! `rollout`.

use super::DEPLOYMENT;
use crate::row::{Row, row};

pub fn rows() -> Vec<Row> {
    [status(), history(), undo(), pause(), restart()].concat()
}

fn deployment(row: Row) -> Row {
    row.file("d.yaml", DEPLOYMENT).given("kubectl apply -f d.yaml")
}

/// A Deployment with a second revision, `GEN=2`.
fn second(row: Row) -> Row {
    deployment(row)
        .given("kubectl rollout status deployment/d --timeout=60s")
        .given("kubectl set env deployment/d GEN=2 && kubectl rollout status deployment/d --timeout=60s")
}

fn status() -> Vec<Row> {
    const DAEMONS: &str = "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a}, spec: {selector: {matchLabels: {a: a}}, template: {metadata: {labels: {a: a}}, spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: host, command: [sleep, '86400']}]}}}}";
    const SET: &str = "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s}, spec: {serviceName: s, replicas: 2, selector: {matchLabels: {a: s}}, template: {metadata: {labels: {a: s}}, spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: host, command: [sleep, '86400']}]}}}}";
    vec![
        deployment(row("rollout status", "kubectl rollout status deployment/d --timeout=60s")).says("deployment \"d\" successfully rolled out"),
        row("rollout status", "kubectl rollout status daemonset/a --timeout=60s")
            .file("a.yaml", DAEMONS)
            .given("kubectl apply -f a.yaml")
            .says("daemon set \"a\" successfully rolled out")
            .then("kubectl get ds a -o jsonpath='{.status.numberReady}'", "2"),
        row("rollout status", "kubectl rollout restart sts/s && kubectl rollout status sts/s --timeout=60s")
            .file("s.yaml", SET)
            .given("kubectl apply -f s.yaml && kubectl rollout status sts/s --timeout=60s")
            .says("statefulset.apps/s restarted")
            .says("partitioned roll out complete: 2 new pods have been updated..."),
        deployment(row("rollout status", "kubectl rollout status deployment/d --watch=false"))
            .given("kubectl set image deployment/d c=none-such")
            .says("Waiting for deployment \"d\" rollout to finish"),
        deployment(row("rollout status", "kubectl rollout status deployment/d --timeout=60s"))
            .given("kubectl patch deployment d -p '{\"spec\":{\"progressDeadlineSeconds\":2}}' && kubectl set image deployment/d c=none-such")
            .fails(1, "error: deployment \"d\" exceeded its progress deadline"),
        row("rollout status", "kubectl rollout status deployment/none").fails(1, "deployments.apps \"none\" not found"),
    ]
}

fn history() -> Vec<Row> {
    vec![
        second(row("rollout history", "kubectl annotate deployment d kubernetes.io/change-cause='gen 2' >&2 && try sh -c \"kubectl rollout history deployment/d | grep 'gen 2'\" && kubectl rollout history deployment/d"))
            .says("REVISION  CHANGE-CAUSE\n1         <none>\n2         gen 2\n"),
        second(row("rollout history", "kubectl rollout history deployment/d --revision=2")).says("with revision #2").says("GEN:\t2"),
        deployment(row("rollout history", "kubectl rollout history deployment/d --revision=9")).given("kubectl rollout status deployment/d").fails(1, "unable to find the specified revision"),
    ]
}

fn undo() -> Vec<Row> {
    const ENV: &str = "kubectl rollout status deployment/d --timeout=60s >&2; kubectl get deployment d -o jsonpath='{..env}{.metadata.annotations.deployment\\.kubernetes\\.io/revision}'";
    vec![
        second(row("rollout undo", "kubectl rollout undo deployment/d"))
            .is("deployment.apps/d rolled back")
            .then(ENV, "3"),
        second(row("rollout undo", "kubectl rollout undo deployment/d --to-revision=2"))
            .given("kubectl set env deployment/d GEN=3 && kubectl rollout status deployment/d --timeout=60s")
            .is("deployment.apps/d rolled back")
            .then(ENV, r#"[{"name":"GEN","value":"2"}]4"#),
        second(row("rollout undo", "kubectl rollout undo deployment/d --to-revision=9"))
            .fails(1, "error: unable to find specified revision 9 in history"),
    ]
}

fn pause() -> Vec<Row> {
    vec![
        deployment(row("rollout pause", "kubectl rollout pause deployment/d"))
            .given("kubectl rollout status deployment/d --timeout=60s")
            .is("deployment.apps/d paused")
            .then("kubectl set env deployment/d GEN=2 >&2; kubectl get deployment d -o jsonpath='{.spec.paused} {.status.updatedReplicas}'", "true"),
        deployment(row("rollout pause", "kubectl rollout pause deployment/d")).given("kubectl rollout pause deployment/d").fails(1, "is already paused"),
        deployment(row("rollout resume", "kubectl rollout resume deployment/d"))
            .given("kubectl rollout status deployment/d --timeout=60s && kubectl rollout pause deployment/d && kubectl set env deployment/d GEN=2")
            .is("deployment.apps/d resumed")
            .then("kubectl get deployment d -o jsonpath='{.status.updatedReplicas} {.status.replicas} {.status.readyReplicas}'", "2 2 2"),
        deployment(row("rollout resume", "kubectl rollout resume deployment/d")).fails(1, "is not paused"),
    ]
}

fn restart() -> Vec<Row> {
    vec![
        deployment(row(
            "rollout restart",
            "kubectl rollout restart deployment/d && kubectl rollout status deployment/d --timeout=60s >&2",
        ))
        .given("kubectl rollout status deployment/d --timeout=60s && kubectl get pods -o name > before")
        .is("deployment.apps/d restarted")
        .then("kubectl get pods -o name | grep -c -F -f before; kubectl get pods -o name | wc -l", "0\n2"),
        deployment(row("rollout restart", "kubectl rollout restart deployment/d"))
            .given("kubectl rollout pause deployment/d")
            .fails(1, "can't restart paused deployment (run rollout resume first)"),
    ]
}
