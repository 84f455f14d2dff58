//! `create`: who may do what, and tokens.

use crate::row::{Row, row};

pub fn rows() -> Vec<Row> {
    [accounts(), roles()].concat()
}

fn accounts() -> Vec<Row> {
    vec![
        row("create serviceaccount", "kubectl create serviceaccount robot")
            .is("serviceaccount/robot created")
            .then("kubectl get sa robot -o name", "serviceaccount/robot"),
        row("create serviceaccount", "kubectl create sa default")
            .fails(1, "serviceaccounts \"default\" already exists"),
        row("create token", "kubectl create token default --duration=20m --audience=me")
            .since(24)
            .fits("a signed token", |said| said.trim().split('.').count() == 3),
        row("create token", "kubectl get pods --token=$(kubectl create token robot) --kubeconfig=bare")
            .since(24)
            .given(
                "kubectl create sa robot && kubectl create rolebinding r --clusterrole=view --serviceaccount=$NS:robot",
            )
            .given("grep -v client- kubeconfig > bare")
            .warns("No resources found in $NS namespace."),
        row("create token", "kubectl create token none").since(24).fails(1, "serviceaccounts \"none\" not found"),
        row("create token", "kubectl create token default --duration=1s")
            .since(24)
            .fails(1, "spec.expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes"),
    ]
}

fn roles() -> Vec<Row> {
    vec![
        row("create role", "kubectl create role r --verb=get,list --resource=pods,deployments.apps --resource-name=x")
            .is("role.rbac.authorization.k8s.io/r created")
            .then("kubectl get role r -o jsonpath='{.rules[*].apiGroups} {.rules[0].verbs} {.rules[0].resourceNames}'", r#"[""] ["apps"] ["get","list"] ["x"]"#),
        row("create role", "kubectl create role r --verb=get --resource=nonsense").fails(1, "the server doesn't have a resource type \"nonsense\""),
        row("create rolebinding", "kubectl create rolebinding b --clusterrole=view --user=ann --group=team --serviceaccount=$NS:robot")
            .is("rolebinding.rbac.authorization.k8s.io/b created")
            .then("kubectl auth can-i list pods --as=ann", "yes")
            .then("kubectl auth can-i list pods --as=bob --as-group=team", "yes")
            .then("kubectl auth can-i list pods --as=system:serviceaccount:$NS:robot", "yes"),
        row("create rolebinding", "kubectl create rolebinding b --clusterrole=view --user=ann")
            .given("kubectl create rolebinding b --clusterrole=edit --user=ann")
            .fails(1, "rolebindings.rbac.authorization.k8s.io \"b\" already exists"),
        row("create clusterrole", "kubectl create clusterrole $NS --verb=get --non-resource-url=/own")
            .is("clusterrole.rbac.authorization.k8s.io/$NS created")
            .then("kubectl get clusterrole $NS -o jsonpath='{.rules[0].nonResourceURLs}' && kubectl delete clusterrole $NS >&2", r#"["/own"]"#),
        row("create clusterrole", "kubectl create clusterrole $NS --aggregation-rule=of=$NS")
            .given("kubectl create clusterrole $NS-part --verb=get --resource=nodes && kubectl label clusterrole $NS-part of=$NS")
            .is("clusterrole.rbac.authorization.k8s.io/$NS created")
            .then("kubectl get clusterrole $NS -o jsonpath='{.rules[0].resources}'", r#"["nodes"]"#)
            .then("kubectl delete clusterrole $NS $NS-part -o name | wc -l", "2"),
        row("create clusterrole", "kubectl create clusterrole view --verb=get --resource=nodes").fails(
            1,
            "clusterroles.rbac.authorization.k8s.io \"view\" already exists",
        ),
        row("create clusterrolebinding", "kubectl create clusterrolebinding $NS --clusterrole=system:node-proxier --user=ann-$NS")
            .is("clusterrolebinding.rbac.authorization.k8s.io/$NS created")
            .then("kubectl auth can-i watch services -A --as=ann-$NS", "yes")
            .then("kubectl delete clusterrolebinding $NS -o name", "clusterrolebinding.rbac.authorization.k8s.io/$NS"),
        row("create clusterrolebinding", "kubectl create clusterrolebinding $NS --clusterrole=cluster-admin --user=me --as=ann")
            .fails(1, "User \"ann\" cannot create resource \"clusterrolebindings\" in API group \"rbac.authorization.k8s.io\" at the cluster scope"),
    ]
}
