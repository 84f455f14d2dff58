//! What the server has and who it is: `api-resources`, `api-versions`, `explain`, `cluster-info`, `version`, `config`, `plugin`.

use crate::row::{Row, row};

pub fn rows() -> Vec<Row> {
    [resources(), explain(), about(), config(), plugin()].concat()
}

fn resources() -> Vec<Row> {
    vec![
        row("api-resources", "kubectl api-resources -o wide").seen().fits(
            "a line of Deployments with all its parts",
            |said| {
                said.lines().any(|line| {
                    line.starts_with("deployments ")
                        && line.contains(" deploy ")
                        && line.contains(" apps/v1 ")
                        && line.contains("patch")
                })
            },
        ),
        row("api-resources", "kubectl api-resources --namespaced=false --verbs=list,watch -o name")
            .seen()
            .says("nodes")
            .lacks("pods"),
        row("api-resources", "kubectl api-resources --api-group=batch --no-headers -o name")
            .seen()
            .is("cronjobs.batch\njobs.batch"),
        row("api-resources", "kubectl api-resources --sort-by=kind --no-headers | head -1")
            .seen()
            .since(20)
            .says("APIService"),
        row("api-resources", "kubectl api-resources --sort-by=size")
            .seen()
            .fails(1, "--sort-by accepts only name or kind"),
        row("api-versions", "kubectl api-versions --server=https://127.0.0.1:1")
            .seen()
            .fails(1, "dial tcp 127.0.0.1:1: connect: connection refused"),
        row("api-versions", "kubectl api-versions")
            .seen()
            .says("apps/v1\n")
            .says("\nv1\n")
            .says("networking.k8s.io/v1\n"),
    ]
}

fn explain() -> Vec<Row> {
    vec![
        row("explain", "kubectl explain pod.spec.containers")
            .seen()
            .says("livenessProbe")
            .says("FIELD")
            .says("DESCRIPTION"),
        row("explain", "kubectl explain deployment.spec.template.spec --recursive")
            .seen()
            .says("matchExpressions")
            .lacks("DESCRIPTION:\n     <empty>"),
        row("explain", "kubectl explain hpa --api-version=autoscaling/v2")
            .seen()
            .says("autoscaling")
            .says("HorizontalPodAutoscaler"),
        row("explain", "kubectl explain pod.spec.colour").seen().fails(1, "field \"colour\" does not exist"),
        row("explain", "kubectl explain nonsense").seen().fails(1, "nonsense"),
    ]
}

fn about() -> Vec<Row> {
    vec![
        row("version", "kubectl version -o json").seen().fits("the server's version", |said| {
            serde_json::from_str::<serde_json::Value>(said).is_ok_and(|value| {
                value["serverVersion"]["gitVersion"].as_str().is_some_and(|version| version.starts_with("v1.36"))
            })
        }),
        row("version", "kubectl version --output=x").seen().fails(1, "--output must be 'yaml' or 'json'"),
        row("cluster-info", "kubectl cluster-info --as=ann")
            .seen()
            .fails(1, "services is forbidden: User \"ann\" cannot list resource \"services\""),
        row("cluster-info dump", "kubectl cluster-info dump --as=ann")
            .seen()
            .fails(1, "nodes is forbidden: User \"ann\" cannot list resource \"nodes\""),
        row("cluster-info", "kubectl cluster-info").seen().says("is running at").says("https://127.0.0.1:"),
        row(
            "cluster-info dump",
            "kubectl cluster-info dump --namespaces=seen --output-directory=dump && ls dump/seen dump",
        )
        .seen()
        .says("pods.json")
        .says("nodes.json")
        .says("talker"),
    ]
}

fn config() -> Vec<Row> {
    vec![
        row("config", "kubectl config view --minify -o jsonpath='{.contexts[0].name} {..namespace}'").is("orc $NS"),
        row("config", "kubectl config view").says("DATA+OMITTED").says("client-key-data").lacks("LS0t"),
        row("config", "kubectl config set-context other --cluster=orc --user=orc-admin --namespace=kube-system && kubectl config use-context other && kubectl config current-context && kubectl get svc -o name")
            .says("Context \"other\" created.\nSwitched to context \"other\".\nother\n")
            .says("service/kube-dns"),
        row("config", "kubectl config set-credentials ann --token=t && kubectl config get-users && kubectl config get-contexts && kubectl config get-clusters")
            // Debian's 1.20 crashes here: its JSON encoder is too old for its Go.
            .since(21)
            .says("User \"ann\" set.")
            .says("orc-admin")
            .says("CURRENT"),
        row("config", "kubectl config use-context none").fails(1, "no context exists with the name: \"none\""),
    ]
}

fn plugin() -> Vec<Row> {
    vec![
        row("plugin list", "PATH=$PWD $(command -v kubectl) plugin list")
            .fails(1, "unable to find any kubectl plugins in your PATH"),
        row("plugin list", "PATH=$PWD:$PATH kubectl plugin list; PATH=$PWD:$PATH kubectl hello there")
            .file("kubectl-hello", "#!/bin/sh\necho hello $1\n")
            .given("chmod +x kubectl-hello")
            .says("kubectl-hello")
            .says("hello there"),
    ]
}
