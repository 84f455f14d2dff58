//! `auth`, `certificate`.

use crate::row::{Row, row};

pub fn rows() -> Vec<Row> {
    [auth(), certificate()].concat()
}

fn auth() -> Vec<Row> {
    const ROLE: &str = "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: r, namespace: $NS}, rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}";
    vec![
        row("auth can-i", "kubectl auth can-i create deployments.apps").is("yes"),
        row("auth can-i", "kubectl auth can-i delete pods --as=ann").is("no").exits(1),
        row("auth can-i", "kubectl auth can-i get pods/log --subresource=log --as=system:serviceaccount:$NS:robot -q")
            .given("kubectl create rolebinding b --clusterrole=view --serviceaccount=$NS:robot")
            .is(""),
        row("auth can-i", "kubectl auth can-i get /healthz --as=ann").is("yes"),
        row("auth can-i", "kubectl auth can-i --list --as=bob")
            .given("kubectl create role r --verb=get,list --resource=configmaps && kubectl create rolebinding b --role=r --user=bob")
            .fits("the row of the role", |said| said.lines().any(|line| line.starts_with("configmaps ") && line.ends_with("[get list]"))),
        row("auth can-i", "kubectl auth can-i get nonsense").is("yes").warns("Warning: the server doesn't have a resource type 'nonsense'"),
        row("auth can-i", "kubectl auth can-i get").fails(1, "you must specify two"),
        row("auth whoami", "kubectl auth whoami --as=ann --as-group=team -o jsonpath='{.status.userInfo.username} {.status.userInfo.groups}'")
            .since(27)
            .is(r#"ann ["team","system:authenticated"]"#),
        row("auth whoami", "kubectl auth whoami").since(27).says("Username").says("system:masters"),
        row("auth whoami", "kubectl auth whoami --kubeconfig=bare --token=wrong")
            .since(27)
            .given("grep -v client- kubeconfig > bare")
            .fails(1, "error: You must be logged in to the server (Unauthorized)"),
        row("auth reconcile", "kubectl auth reconcile -f r.yaml")
            .file("r.yaml", ROLE)
            .given("kubectl create role r --verb=list --resource=pods")
            .says("role.rbac.authorization.k8s.io/r reconciled")
            .then("kubectl auth reconcile -f r.yaml --remove-extra-permissions >&2; kubectl get role r -o jsonpath='{.rules[*].verbs}'", r#"["get"]"#),
        row("auth reconcile", "kubectl auth reconcile -f none.yaml").fails(1, "the path \"none.yaml\" does not exist"),
    ]
}

/// A signing request by the row's name, as `csr.yaml`.
fn request(row: Row) -> Row {
    row.given("openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout u.pem -out u.csr -subj /CN=$NS 2>/dev/null")
        .given("printf '# YAML\n{apiVersion: certificates.k8s.io/v1, kind: CertificateSigningRequest, metadata: {name: %s}, spec: {signerName: kubernetes.io/kube-apiserver-client, usages: [client auth], request: %s}}' $NS $(base64 -w0 u.csr) > csr.yaml")
        .given("kubectl create -f csr.yaml")
}

fn certificate() -> Vec<Row> {
    vec![
        request(row("certificate approve", "kubectl certificate approve $NS"))
            .says("certificatesigningrequest.certificates.k8s.io/$NS approved")
            .then("kubectl get csr $NS -o jsonpath='{.status.certificate}' | base64 -d | openssl x509 -noout -subject", "subject=CN = $NS")
            .then("kubectl get csr $NS -o jsonpath='{.status.certificate}' | base64 -d > c.pem; grep -v client- kubeconfig > bare; kubectl get pods --kubeconfig=bare --client-certificate=c.pem --client-key=u.pem 2>&1 | grep -o 'User \"[^\"]*\" cannot list'", "User \"$NS\" cannot list")
            .then("kubectl delete csr $NS -o name", "certificatesigningrequest.certificates.k8s.io/$NS"),
        row("certificate approve", "kubectl certificate approve none").fails(1, "certificatesigningrequests.certificates.k8s.io \"none\" not found"),
        request(row("certificate deny", "kubectl certificate deny $NS"))
            .says("certificatesigningrequest.certificates.k8s.io/$NS denied")
            .then_holds("kubectl get csr $NS --no-headers", "Denied")
            .then("kubectl delete csr $NS -o name", "certificatesigningrequest.certificates.k8s.io/$NS"),
        request(row("certificate deny", "kubectl certificate deny $NS"))
            .given("kubectl certificate approve $NS")
            .fails(1, "error: certificate signing request \"$NS\" is already Approved"),
        row("certificate deny", "kubectl certificate deny none").fails(1, "certificatesigningrequests.certificates.k8s.io \"none\" not found"),
    ]
}
