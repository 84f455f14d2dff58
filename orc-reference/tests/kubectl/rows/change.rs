//! `label`, `annotate`, `scale`, `autoscale`.

use super::{DEPLOYMENT, MAP};
use crate::row::{Row, row};

pub fn rows() -> Vec<Row> {
    [label(), annotate(), scale(), autoscale()].concat()
}

fn map(row: Row) -> Row {
    row.file("m.yaml", MAP).given("kubectl create -f m.yaml")
}

fn deployment(row: Row) -> Row {
    row.file("d.yaml", DEPLOYMENT).given("kubectl apply -f d.yaml")
}

fn label() -> Vec<Row> {
    const LABELS: &str = "kubectl get cm m -o jsonpath='{.metadata.labels}'";
    vec![
        map(row("label", "kubectl label cm m tier=front x-"))
            .says("configmap/m ")
            .then(LABELS, r#"{"app":"m","tier":"front"}"#),
        map(row("label", "kubectl label cm m app=n --overwrite"))
            .is("configmap/m labeled")
            .then(LABELS, r#"{"app":"n"}"#),
        map(row("label", "kubectl label cm m app-")).says("configmap/m ").then(LABELS, ""),
        map(row("label", "kubectl label cm -l app=m new=1"))
            .is("configmap/m labeled")
            .then("kubectl get cm -l new -o name", "configmap/m"),
        map(row("label", "kubectl label cm --all new=1"))
            .says("configmap/kube-root-ca.crt labeled")
            .says("configmap/m labeled"),
        map(row("label", "kubectl label cm m --list")).says("app=m"),
        map(row("label", "kubectl label cm m app=n"))
            .fails(1, "error: 'app' already has a value (m), and --overwrite is false"),
        map(row("label", "kubectl label cm m app=n --overwrite --resource-version=1"))
            .fails(1, "the object has been modified"),
        map(row("label", "kubectl label cm m 'bad key=1'")).fails(1, "bad key"),
    ]
}

fn annotate() -> Vec<Row> {
    vec![
        map(row("annotate", "kubectl annotate cm m note='a long text'"))
            .is("configmap/m annotated")
            .then("kubectl get cm m -o jsonpath='{.metadata.annotations.note}'", "a long text"),
        map(row("annotate", "kubectl annotate cm m note-"))
            .given("kubectl annotate cm m note=1")
            .says("configmap/m annotated")
            .then("kubectl get cm m -o jsonpath='{.metadata.annotations}'", ""),
        map(row("annotate", "kubectl annotate cm m note=2")).given("kubectl annotate cm m note=1").fails(
            1,
            "--overwrite is false but found the following declared annotation(s): 'note' already has a value (1)",
        ),
        row("annotate", "kubectl annotate cm none note=2").fails(1, "configmaps \"none\" not found"),
    ]
}

fn scale() -> Vec<Row> {
    const READY: &str = "kubectl get deployment d -o jsonpath='{.status.replicas}/{.status.readyReplicas}'";
    vec![
        deployment(row("scale", "kubectl scale deployment d --replicas=3")).is("deployment.apps/d scaled").then(READY, "3/3"),
        deployment(row("scale", "kubectl scale deployment d --replicas=0")).is("deployment.apps/d scaled").then(READY, "/").then("kubectl get pods -o name", ""),
        deployment(row("scale", "kubectl scale deployment d --current-replicas=2 --replicas=1 --timeout=60s")).is("deployment.apps/d scaled").then(READY, "1/1"),
        row("scale", "kubectl scale statefulset s --replicas=2")
            .file("s.yaml", "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s}, spec: {serviceName: s, replicas: 1, selector: {matchLabels: {a: s}}, template: {metadata: {labels: {a: s}}, spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: host, command: [sleep, '86400']}]}}}}")
            .given("kubectl apply -f s.yaml")
            .is("statefulset.apps/s scaled")
            .then("kubectl get pods -o name", "pod/s-0\npod/s-1"),
        deployment(row("scale", "kubectl scale deployment d --current-replicas=7 --replicas=1")).fails(1, "Expected replicas to be 7, was 2"),
        row("scale", "kubectl scale deployment none --replicas=1").fails(1, "deployments.apps \"none\" not found"),
        map(row("scale", "kubectl scale cm m --replicas=1")).fails(1, "could not find the requested resource"),
    ]
}

fn autoscale() -> Vec<Row> {
    vec![
        deployment(row("autoscale", "kubectl autoscale deployment d --min=2 --max=4 --cpu-percent=80"))
            .is("horizontalpodautoscaler.autoscaling/d autoscaled")
            .then(
                "kubectl get hpa d -o jsonpath='{.spec.minReplicas} {.spec.maxReplicas} {.spec.scaleTargetRef.kind}'",
                "2 4 Deployment",
            ),
        deployment(row("autoscale", "kubectl autoscale deployment d --min=3 --max=4 --cpu-percent=80"))
            .is("horizontalpodautoscaler.autoscaling/d autoscaled")
            .then("kubectl get deployment d -o jsonpath='{.status.readyReplicas}'", "3"),
        deployment(row("autoscale", "kubectl autoscale deployment d --min=4 --max=3"))
            .fails(1, "--max=MAXPODS must be larger or equal to --min=MINPODS"),
        row("autoscale", "kubectl autoscale deployment none --max=3").fails(1, "deployments.apps \"none\" not found"),
    ]
}
