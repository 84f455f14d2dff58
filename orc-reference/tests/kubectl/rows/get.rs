//! `get`, in all its forms.

use crate::row::{Row, row};

pub fn rows() -> Vec<Row> {
    [forms(), choices(), watches(), bad()].concat()
}

fn forms() -> Vec<Row> {
    vec![
        row("get", "kubectl get deployments")
            .seen()
            .fits("the columns of a Deployment", |said| {
                let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
                let mut lines = said.lines();
                lines.next().map(columns).is_some_and(|head| head == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"])
                    && lines.next().map(columns).is_some_and(|web| web[..4] == ["web", "2/2", "2", "2"])
            }),
        row("get", "kubectl get pods -o wide").seen().fits("node and address of each pod", |said| {
            let pods = said.lines().filter(|line| line.starts_with("web-"));
            said.lines().next().is_some_and(|head| head.contains("NOMINATED NODE") && head.contains("READINESS GATES"))
                && pods.filter(|line| line.contains(" node-") && line.contains(" 10.")).count() == 2
        }),
        row("get", "kubectl get deployment web -o yaml").seen().says("apiVersion: apps/v1\nkind: Deployment\n").says(
            "\n  availableReplicas: 2\n",
        ),
        row("get", "kubectl get deployment web -o json").seen().fits("JSON of the whole object", |said| {
            serde_json::from_str::<serde_json::Value>(said)
                .is_ok_and(|value| value["kind"] == "Deployment" && value["status"]["readyReplicas"] == 2)
        }),
        row("get", "kubectl get configmaps,secrets -o json").seen().fits("a List of both kinds", |said| {
            serde_json::from_str::<serde_json::Value>(said).is_ok_and(|value| {
                let kinds: Vec<_> = value["items"].as_array().into_iter().flatten().map(|item| &item["kind"]).collect();
                value["kind"] == "List" && kinds.contains(&&"ConfigMap".into()) && kinds.contains(&&"Secret".into())
            })
        }),
        row("get", "kubectl get deploy/web svc/web -o name").seen().is("deployment.apps/web\nservice/web"),
        row("get", "kubectl get cm/settings pods -l app=web --show-kind").seen().fails(1, "error: there is no need to specify a resource type as a separate argument"),
        row("get", "kubectl get nodes -o jsonpath='{range .items[?(@.metadata.name==\"node-1\")]}{.metadata.name}:{.status.conditions[?(@.type==\"Ready\")].status}{end}'").seen().is("node-1:True"),
        row("get", "kubectl get pods -l app=web -o custom-columns='I:.spec.containers[*].image,R:.status.conditions[?(@.type==\"Ready\")].status,N:.metadata.none' --no-headers | sort -u").seen().is("host   True   <none>"),
        row("get", "kubectl get deploy,svc -o name").seen().is("deployment.apps/web\nservice/web"),
        row("get", "kubectl get cm settings -o jsonpath='{.data.colour}-{.metadata.namespace}'").seen().is("blue-seen"),
        row("get", "kubectl get cm settings -o jsonpath-as-json='{.data}'").seen().says("\"colour\": \"blue\"").since(20),
        row("get", "echo '{.data.size}' > f; kubectl get cm settings -o jsonpath-file=f").seen().is("3"),
        row("get", "kubectl get cm settings -o custom-columns=N:.metadata.name,C:.data.colour").seen().is(
            "N          C\nsettings   blue",
        ),
        row("get", "printf 'NAME SIZE\\nmetadata.name data.size\\n' > f; kubectl get cm settings -o custom-columns-file=f")
            .seen()
            .is("NAME       SIZE\nsettings   3"),
        row("get", "kubectl get cm settings -o go-template='{{range $k, $v := .data}}{{$k}}={{$v}};{{end}}'")
            .seen()
            .is("colour=blue;size=3;"),
        row("get", "echo '{{.kind}}' > f; kubectl get cm settings -o go-template-file=f").seen().is("ConfigMap"),
        row("get", "kubectl get secret word -o jsonpath='{.data.password}' | base64 -d").seen().is("hush"),
        row("get", "kubectl get all").seen().says("pod/web-").says("service/web").says("deployment.apps/web").says(
            "replicaset.apps/web-",
        ).says("statefulset.apps/db").says("daemonset.apps/agent").says("job.batch/once").says("cronjob.batch/nightly"),
        row("get", "kubectl get deployment web --subresource=scale -o jsonpath='{.kind} {.spec.replicas}'")
            .seen()
            .is("Scale 2")
            .since(24),
        row("get", "kubectl get cm settings -o yaml --show-managed-fields").seen().says("managedFields:").since(21),
        row("get", "kubectl get --raw /api/v1/namespaces/seen/configmaps/settings").seen().says("\"colour\":\"blue\""),
        row("get", "kubectl get ns seen").seen().says("Active"),
        row("get", "kubectl get svc,ep,endpointslices,sts,ds,rs,job,cronjob,hpa,pdb,ingress,netpol,pvc,quota,limits,sa,role,rolebinding")
            .seen()
            .says("example.com")
            .says("Pending")
            .says("0 3 * * *"),
        row("get", "kubectl get nodes,pv,storageclasses,priorityclasses,clusterroles,clusterrolebindings,crd,apiservices,csr")
            .seen()
            .says("node/node-1")
            .says("v1.36")
            .says("system-cluster-critical")
            .says("cluster-admin"),
    ]
}

fn choices() -> Vec<Row> {
    vec![
        row("get", "kubectl get pods -l app=web --sort-by=.metadata.name -o name")
            .seen()
            .fits("two names in order", |said| said.lines().count() == 2 && said.lines().is_sorted()),
        row("get", "kubectl get cm settings --show-labels --no-headers").seen().says("app=web"),
        row("get", "kubectl get pods -L app,tier").seen().says("TIER").says("front"),
        row("get", "kubectl get pods -l 'app in (web,none),tier,!other' -o name")
            .seen()
            .says("pod/web-")
            .lacks("talker"),
        row("get", "kubectl get pods -l app!=web -o name").seen().says("pod/talker").lacks("pod/web-"),
        row("get", "kubectl get pods --field-selector=status.phase=Succeeded -o name")
            .seen()
            .says("pod/once-")
            .lacks("web"),
        row("get", "kubectl get pods --field-selector=metadata.name!=talker,spec.nodeName!=none -o name")
            .seen()
            .says("pod/web-")
            .lacks("pod/talker"),
        row("get", "kubectl get cm -A --field-selector=metadata.name=settings --no-headers")
            .seen()
            .says("seen")
            .says("settings"),
        row("get", "kubectl get pods --chunk-size=1 -o name").seen().says("pod/talker").says("pod/web-"),
        row("get", "kubectl get -f m.yaml -o name")
            .seen()
            .file("m.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}}")
            .is("configmap/settings"),
        row("get", "kubectl get cm none-such --ignore-not-found").seen().is(""),
        row("get", "kubectl get pods -n row-none").seen().warns("No resources found in row-none namespace."),
    ]
}

fn watches() -> Vec<Row> {
    vec![
        row("get", "kubectl get cm -w -o name > seen & has seen kube-root-ca; kubectl create cm fresh >&2; has seen fresh; stop; cat seen")
            .says("configmap/kube-root-ca.crt\n")
            .says("configmap/fresh\n"),
        row("get", "kubectl get cm --watch-only -o name > seen & try test -e seen; until grep -q cm- seen; do kubectl create cm cm-$RANDOM$RANDOM; sleep 0.2; done >&2; stop; cat seen")
            .says("configmap/cm-")
            .lacks("kube-root-ca"),
        row("get", "kubectl get cm m -w --output-watch-events > seen & has seen ADDED; kubectl label cm m x=y >&2; has seen MODIFIED; kubectl delete cm m >&2; has seen DELETED; stop; cat seen")
            .file("m.yaml", super::MAP)
            .given("kubectl apply -f m.yaml")
            .says("EVENT")
            .says("MODIFIED"),
    ]
}

fn bad() -> Vec<Row> {
    vec![
        row("get", "kubectl get pod none-such").seen().fails(1, "Error from server (NotFound): pods \"none-such\" not found"),
        row("get", "kubectl get nonsense").seen().fails(1, "error: the server doesn't have a resource type \"nonsense\""),
        row("get", "kubectl get pods --field-selector=spec.colour=blue")
            .seen()
            .fails(1, "Error from server (BadRequest)")
            .warns("field label not supported: spec.colour"),
        row("get", "kubectl get pods -l 'a=b=c'").seen().fails(1, "found '='"),
        row("get", "kubectl get pods --as=ann")
            .seen()
            .fails(1, "Error from server (Forbidden): pods is forbidden: User \"ann\" cannot list resource \"pods\" in API group \"\" in the namespace \"seen\""),
    ]
}
