//! `apply` by the client and by the server, `diff`, `kustomize`.

use super::MAP;
use crate::row::{Row, row};

const LESS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m, labels: {app: m}}\ndata: {a: '3'}\n";
const SECOND: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: second, labels: {app: m}}\n";
const DATA: &str = "kubectl get cm m -o jsonpath='{.data}'";

pub fn rows() -> Vec<Row> {
    [by_client(), by_server(), diff(), kustomize()].concat()
}

fn by_client() -> Vec<Row> {
    let both = |row: Row| row.file("m.yaml", MAP).file("less.yaml", LESS).given("kubectl apply -f m.yaml");
    vec![
        row("apply", "kubectl apply -f m.yaml").file("m.yaml", MAP).is("configmap/m created").then(DATA, r#"{"a":"1","b":"2"}"#),
        both(row("apply", "kubectl apply -f m.yaml")).is("configmap/m unchanged"),
        both(row("apply", "kubectl apply -f less.yaml")).is("configmap/m configured").then(DATA, r#"{"a":"3"}"#),
        both(row("apply", "kubectl apply -f less.yaml --dry-run=server -o jsonpath='{.data}'"))
            .is(r#"{"a":"3"}"#)
            .then(DATA, r#"{"a":"1","b":"2"}"#),
        both(row("apply", "kubectl apply view-last-applied cm/m -o json")).says(r#""a": "1""#),
        row("apply", "kubectl apply set-last-applied -f m.yaml --create-annotation")
            .file("m.yaml", MAP)
            .given("kubectl create -f m.yaml")
            .is("configmap/m configured")
            .then("kubectl apply view-last-applied cm/m -o json | grep -c '\"a\"'", "1"),
        both(row("apply", "kubectl apply -f second.yaml --prune -l app=m --prune-allowlist=core/v1/ConfigMap"))
            .file("second.yaml", SECOND)
            .since(26)
            .is("configmap/second created\nconfigmap/m pruned")
            .then("kubectl get cm m --ignore-not-found", ""),
        row("apply", "KUBECTL_APPLYSET=true kubectl apply -f second.yaml --prune --applyset=own -n $NS")
            .file("first.yaml", MAP)
            .file("second.yaml", SECOND)
            .given("KUBECTL_APPLYSET=true kubectl apply -f first.yaml --prune --applyset=own -n $NS")
            .since(27)
            .is("configmap/second created\nconfigmap/m pruned")
            .then("kubectl get secret own -o jsonpath='{.metadata.annotations.applyset\\.kubernetes\\.io/contains-group-kinds}'", "ConfigMap"),
        both(row("apply", "kubectl apply -f second.yaml --prune -l app=m --prune-whitelist=core/v1/ConfigMap"))
            .file("second.yaml", SECOND)
            .until(26)
            .is("configmap/second created\nconfigmap/m pruned")
            .then("kubectl get cm m --ignore-not-found", ""),
        row("apply", "kubectl apply -f bad.yaml").file("bad.yaml", "a: [\n").fails(1, "error converting YAML to JSON"),
        row("apply", "kubectl apply -f e.yaml")
            .file("d.yaml", super::DEPLOYMENT)
            .file("e.yaml", "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {selector: {matchLabels: {app: e}}, template: {metadata: {labels: {app: e}}, spec: {containers: [{name: c, image: host}]}}}}")
            .given("kubectl apply -f d.yaml")
            .fails(1, "The Deployment \"d\" is invalid: ")
            .warns("field is immutable"),
    ]
}

fn by_server() -> Vec<Row> {
    let owned =
        |row: Row| row.file("m.yaml", MAP).file("less.yaml", LESS).given("kubectl apply --server-side -f m.yaml");
    vec![
        row("apply --server-side", "kubectl apply --server-side -f m.yaml")
            .file("m.yaml", MAP)
            .is("configmap/m serverside-applied")
            .then(
                "kubectl get --raw /api/v1/namespaces/$NS/configmaps/m | grep -o '\"operation\":\"[A-Za-z]*\"'",
                "\"operation\":\"Apply\"",
            ),
        owned(row("apply --server-side", "kubectl apply --server-side -f less.yaml"))
            .is("configmap/m serverside-applied")
            .then(DATA, r#"{"a":"3"}"#),
        owned(row("apply --server-side", "kubectl apply --server-side --field-manager=rival -f less.yaml"))
            .fails(1, "Apply failed with 1 conflict: conflict with \"kubectl\"")
            .warns(".data.a"),
        owned(row(
            "apply --server-side",
            "kubectl apply --server-side --field-manager=rival --force-conflicts -f less.yaml",
        ))
        .is("configmap/m serverside-applied")
        .then(DATA, r#"{"a":"3","b":"2"}"#),
        row("apply --server-side", "kubectl apply --server-side -f less.yaml")
            .file("m.yaml", MAP)
            .file("less.yaml", LESS)
            .given("kubectl apply -f m.yaml && kubectl apply --server-side -f m.yaml")
            .since(26)
            .is("configmap/m serverside-applied")
            .then(DATA, r#"{"a":"3"}"#),
        row("apply --server-side", "kubectl apply --server-side -f c.yaml")
            .file("c.yaml", "{apiVersion: example.com/v1, kind: Nothing, metadata: {name: nn}}")
            .fails(1, "no matches for kind \"Nothing\" in version \"example.com/v1\""),
    ]
}

fn diff() -> Vec<Row> {
    let both = |row: Row| row.file("m.yaml", MAP).file("less.yaml", LESS).given("kubectl apply -f m.yaml");
    vec![
        both(row("diff", "kubectl diff -f m.yaml")).is(""),
        both(row("diff", "kubectl diff -f less.yaml"))
            .fits("both changes", |said| said.contains("-  b: \"2\"") && said.contains("+  a: \"3\""))
            .exits(1),
        both(row("diff", "kubectl diff --server-side --force-conflicts -f less.yaml")).says("+  a: \"3\"").exits(1),
        row("diff", "kubectl diff -f m.yaml")
            .file("m.yaml", MAP)
            .says("+kind: ConfigMap")
            .exits(1)
            .then("kubectl get cm m --ignore-not-found", ""),
        row("diff", "kubectl diff -f none.yaml").code_any().warns("the path \"none.yaml\" does not exist"),
    ]
}

fn kustomize() -> Vec<Row> {
    let folder =
        |row: Row| row.file("k/kustomization.yaml", "namePrefix: k-\nresources: [m.yaml]\n").file("k/m.yaml", MAP);
    vec![
        folder(row("kustomize", "kubectl kustomize k")).says("name: k-m"),
        folder(row("apply -k", "kubectl apply -k k"))
            .is("configmap/k-m created")
            .then("kubectl get -k k -o name", "configmap/k-m"),
        folder(row("apply -k", "kubectl delete -k k")).given("kubectl apply -k k").says("configmap \"k-m\" deleted"),
        row("kustomize", "kubectl kustomize k")
            .file("k/kustomization.yaml", "resources: [none.yaml]\n")
            .fails(1, "none.yaml"),
        row("apply -k", "kubectl apply -k none").fails(1, "none"),
    ]
}
