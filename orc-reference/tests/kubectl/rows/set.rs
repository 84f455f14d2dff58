//! `set`, all its kinds.

use super::DEPLOYMENT;
use crate::row::{Row, row};

pub fn rows() -> Vec<Row> {
    [containers(), others()].concat()
}

fn deployment(row: Row) -> Row {
    row.file("d.yaml", DEPLOYMENT).given("kubectl apply -f d.yaml")
}

fn containers() -> Vec<Row> {
    const ENV: &str = "kubectl get deployment d -o jsonpath='{..env}'";
    vec![
        deployment(row("set image", "kubectl set image deployment/d c=other:2"))
            .is("deployment.apps/d image updated")
            .then("kubectl get deployment d -o jsonpath='{..image} {.status.updatedReplicas}'", "other:2 1"),
        deployment(row("set image", "kubectl set image deployment d '*=host'")).is("").then("kubectl get rs -o name | wc -l", "1"),
        deployment(row("set image", "kubectl set image deployment/d none=x")).fails(1, "error: unable to find container named \"none\""),
        deployment(row("set env", "kubectl set env deployment/d A=1 B=2 && kubectl set env deployment/d A-"))
            .says("deployment.apps/d env updated")
            .then(ENV, r#"[{"name":"B","value":"2"}]"#),
        deployment(row("set env", "kubectl set env deployment/d --from=configmap/m --prefix=M_"))
            .given("kubectl create cm m --from-literal=a=1")
            .is("deployment.apps/d env updated")
            .then_holds(ENV, r#""name":"M_A","valueFrom":{"configMapKeyRef":{"key":"a","name":"m""#),
        deployment(row("set env", "kubectl set env deployment/d --list --resolve")).given("kubectl set env deployment/d A=1").says("A=1"),
        deployment(row("set env", "kubectl set env deployment/d --from=configmap/none")).fails(1, "configmaps \"none\" not found"),
        deployment(row("set resources", "kubectl set resources deployment d --limits=cpu=200m,memory=64Mi --requests=cpu=1m"))
            .is("deployment.apps/d resource requirements updated")
            .then("kubectl get deployment d -o jsonpath='{..resources}'", r#"{"limits":{"cpu":"200m","memory":"64Mi"},"requests":{"cpu":"1m"}}"#),
        deployment(row("set resources", "kubectl set resources deployment d --limits=cpu=1 --requests=cpu=2"))
            .fails(1, "spec.template.spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"),
    ]
}

fn others() -> Vec<Row> {
    vec![
        row("set selector", "kubectl set selector service s app=other")
            .given("kubectl create service clusterip s --tcp=80")
            .is("service/s selector updated")
            .then("kubectl get svc s -o jsonpath='{.spec.selector}'", r#"{"app":"other"}"#),
        row("set selector", "kubectl set selector service s 'a=!'")
            .given("kubectl create service clusterip s --tcp=80")
            .fails(1, "a=!"),
        deployment(row("set serviceaccount", "kubectl set serviceaccount deployment d robot"))
            .given("kubectl create sa robot")
            .is("deployment.apps/d serviceaccount updated")
            .then("kubectl get deployment d -o jsonpath='{..serviceAccountName}'", "robot"),
        row("set serviceaccount", "kubectl set serviceaccount deployment none robot")
            .fails(1, "deployments.apps \"none\" not found"),
        row("set subject", "kubectl set subject rolebinding b --user=bob --serviceaccount=$NS:robot")
            .given("kubectl create rolebinding b --clusterrole=view --user=ann")
            .is("rolebinding.rbac.authorization.k8s.io/b subjects updated")
            .then("kubectl get rolebinding b -o jsonpath='{.subjects[*].name}'", "ann bob robot"),
        row("set subject", "kubectl set subject rolebinding none --user=bob")
            .fails(1, "rolebindings.rbac.authorization.k8s.io \"none\" not found"),
    ]
}
