//! `patch`, `edit`, `replace`.

use super::{DEPLOYMENT, MAP, POD};
use crate::row::{Row, row};

const DATA: &str = "kubectl get cm m -o jsonpath='{.data}'";

pub fn rows() -> Vec<Row> {
    [patch(), edit(), replace()].concat()
}

fn map(row: Row) -> Row {
    row.file("m.yaml", MAP).given("kubectl create -f m.yaml")
}

fn patch() -> Vec<Row> {
    vec![
        row("patch", r#"kubectl patch deployment d -p '{"spec":{"template":{"spec":{"containers":[{"name":"second","image":"host","command":["sleep","1d"]}]}}}}'"#)
            .file("d.yaml", DEPLOYMENT)
            .given("kubectl apply -f d.yaml")
            .is("deployment.apps/d patched")
            .then("kubectl get deployment d -o jsonpath='{..containers[*].name}'", "second c"),
        map(row("patch", r#"kubectl patch cm m --type=merge -p '{"data":{"a":null,"c":"3"}}'"#)).is("configmap/m patched").then(DATA, r#"{"b":"2","c":"3"}"#),
        map(row("patch", r#"kubectl patch cm m --type=json -p '[{"op":"test","path":"/data/a","value":"1"},{"op":"move","from":"/data/a","path":"/data/z"}]'"#))
            .is("configmap/m patched")
            .then(DATA, r#"{"b":"2","z":"1"}"#),
        map(row("patch", "kubectl patch -f m.yaml --patch-file p.yaml")).file("p.yaml", "data: {a: '9'}\n").is("configmap/m patched").then(DATA, r#"{"a":"9","b":"2"}"#),
        map(row("patch", r#"kubectl patch cm m -p '{"data":{"a":"1"}}'"#)).is("configmap/m patched (no change)"),
        row("patch", r#"kubectl patch pod p --subresource=status --type=merge -p '{"status":{"message":"told"}}'"#)
            .since(24)
            .file("p.yaml", super::POD)
            .given("kubectl apply -f p.yaml && kubectl wait --for=condition=Ready pod/p --timeout=60s")
            .is("pod/p patched"),
        row("patch", r#"kubectl patch deployment d --subresource=scale --type=merge -p '{"spec":{"replicas":3}}'"#)
            .since(24)
            .file("d.yaml", DEPLOYMENT)
            .given("kubectl apply -f d.yaml")
            .says("patched")
            .then("kubectl get deployment d -o jsonpath='{.status.readyReplicas}'", "3"),
        map(row("patch", r#"kubectl patch cm m --type=json -p '[{"op":"test","path":"/data/a","value":"7"}]'"#)).fails(1, "The request is invalid"),
        map(row("patch", r#"kubectl patch cm m --type=merge -p '{"data":{"a":7}}'"#)).fails(1, "cannot unmarshal number into Go struct field"),
        map(row("patch", r#"kubectl patch cm m -p '{"metadata":{"name":"n"}}'"#)).fails(1, "the name of the object (n) does not match the name on the URL (m)"),
        row("patch", r#"kubectl patch cm none -p '{}'"#).fails(1, "Error from server (NotFound): configmaps \"none\" not found"),
    ]
}

fn edit() -> Vec<Row> {
    vec![
        map(row("edit", "EDITOR='sed -i s/\\\"1\\\"/\\\"one\\\"/' kubectl edit cm m"))
            .is("configmap/m edited")
            .then(DATA, r#"{"a":"one","b":"2"}"#),
        map(row("edit", "EDITOR=true kubectl edit cm m")).warns("Edit cancelled, no changes made."),
        map(row("edit", "KUBE_EDITOR='sed -i s/\\\"1\\\"/\\\"one\\\"/' kubectl edit cm m --save-config"))
            .is("configmap/m edited")
            .then_holds("kubectl apply view-last-applied cm m", "one"),
        row("edit", "EDITOR='sed -i s/replicas:.2/replicas:\\ 1/' kubectl edit deployment d")
            .file("d.yaml", DEPLOYMENT)
            .given("kubectl apply -f d.yaml")
            .is("deployment.apps/d edited")
            .then("kubectl get deployment d -o jsonpath='{.status.replicas}'", "1"),
        // What the server refuses is offered to the editor again, with its reason; the second time nothing changes.
        row("edit", "EDITOR='sed -i s/replicas:.2/replicas:\\ -1/' kubectl edit deployment d")
            .file("d.yaml", DEPLOYMENT)
            .given("kubectl apply -f d.yaml")
            .fails(1, "deployments.apps \"d\" is invalid")
            .then("kubectl get deployment d -o jsonpath='{.spec.replicas}'", "2"),
        row("edit", "EDITOR=true kubectl edit cm none").fails(1, "configmaps \"none\" not found"),
    ]
}

fn replace() -> Vec<Row> {
    vec![
        map(row("replace", "sed \"s/'1'/one/\" m.yaml | kubectl replace -f -")).is("configmap/m replaced").then(DATA, r#"{"a":"one","b":"2"}"#),
        row("replace", "kubectl replace --force --grace-period=0 -f p.yaml")
            .file("p.yaml", POD)
            .given("kubectl apply -f p.yaml && kubectl wait --for=condition=Ready pod/p --timeout=60s")
            .given("kubectl get pod p -o jsonpath={.metadata.uid} > uid")
            .says("pod \"p\" ")
            .says("pod/p replaced")
            .then("kubectl get pod p -o jsonpath='{.status.phase} {.metadata.uid}' | grep -v -c -f uid", "1")
            .then("kubectl get pod p -o jsonpath='{.status.phase}'", "Running"),
        map(row("replace", "kubectl replace -f old.yaml"))
            .given("kubectl get cm m -o yaml > old.yaml && kubectl label cm m x=y")
            .fails(1, "Error from server (Conflict): error when replacing \"old.yaml\": Operation cannot be fulfilled on configmaps \"m\": the object has been modified; please apply your changes to the latest version and try again"),
        row("replace", "kubectl replace -f m.yaml").file("m.yaml", MAP).fails(1, "Error from server (NotFound): error when replacing \"m.yaml\": configmaps \"m\" not found"),
        row("replace", "sed s/86400/1/ p.yaml | kubectl replace -f -")
            .file("p.yaml", POD)
            .given("kubectl apply -f p.yaml")
            .fails(1, "pod updates may not change fields other than"),
    ]
}
