//! Other clients than kubectl: kube-rs and the Python client create, watch and delete a Deployment.

mod support;

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use support::{As, Cluster, PATIENCE};

fn deployment(name: &str) -> serde_json::Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": 2, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [
            {"name": "c", "image": "host", "command": ["sleep", "3600"]}]}}}})
}

async fn kube_rs(client: Client) -> Result<(), Box<dyn std::error::Error>> {
    let api: Api<Deployment> = Api::default_namespaced(client.clone());
    let made = api.create(&PostParams::default(), &serde_json::from_value(deployment("rust"))?).await?;
    let from = made.metadata.resource_version.unwrap_or_default();
    let mut events = api.watch(&WatchParams::default().fields("metadata.name=rust"), &from).await?.boxed();
    while let Some(event) = events.try_next().await? {
        if let WatchEvent::Modified(now) = event
            && now.status.and_then(|status| status.ready_replicas) == Some(2)
        {
            break;
        }
    }
    api.patch("rust", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 1}}))).await?;
    let pods: Api<Pod> = Api::default_namespaced(client);
    while pods.list(&ListParams::default().labels("app=rust")).await?.items.len() != 1 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    api.delete("rust", &DeleteParams::foreground()).await?;
    while let Some(event) = events.try_next().await? {
        if matches!(event, WatchEvent::Deleted(_)) {
            break;
        }
    }
    assert!(
        pods.list(&ListParams::default().labels("app=rust")).await?.items.is_empty(),
        "foreground: the pods go first"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kube_rs_and_python_create_watch_and_delete_a_deployment() {
    let cluster = tokio::task::spawn_blocking(|| Cluster::up(As::Me, &[])).await.unwrap();
    let file = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    tokio::time::timeout(PATIENCE, kube_rs(Client::try_from(config).unwrap())).await.expect("kube-rs in time").unwrap();

    let python = std::env::var("ORC_TEST_PYTHON")
        .unwrap_or_else(|_| format!("{}/../target/test-venv/bin/python", env!("CARGO_MANIFEST_DIR")));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python_client.py");
    let output = std::process::Command::new(&python)
        .args([script, &cluster.kubeconfig().to_string_lossy()])
        .output()
        .unwrap_or_else(|error| panic!("{python}: {error}; run `tools/test setup` first"));
    assert!(output.status.success(), "{}{}", support::text(&output.stdout), support::text(&output.stderr));
    tokio::task::spawn_blocking(move || drop(cluster)).await.unwrap();
}
