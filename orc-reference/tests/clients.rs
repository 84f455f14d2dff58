//! Other clients than kubectl: kube-rs and the Python client create, watch and delete a Deployment.

mod support;

use std::time::Duration;

use futures::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::StatusCause;
use kube::api::{
    Api, AttachParams, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, Config};
use serde_json::json;
use support::{As, Cluster, PATIENCE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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

/// Streams into a pod: `exec` with input and an exit code, a forwarded port, a log that is followed.
async fn streams(client: Client) -> Result<(), Box<dyn std::error::Error>> {
    let pods: Api<Pod> = Api::default_namespaced(client);
    let serve =
        "echo begun; mkdir /tmp/page; echo hello > /tmp/page/index.html; exec busybox httpd -f -p 8080 -h /tmp/page";
    let pod = json!({"metadata": {"name": "streams"}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [
        {"name": "c", "image": "host", "command": ["sh", "-c", serve],
            "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}}]}});
    pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
    await_condition(pods.clone(), "streams", conditions::is_pod_running()).await?;

    let both = AttachParams::default().stdin(true).stderr(true);
    let mut shell =
        pods.exec("streams", ["sh", "-c", "read word; echo got $word; echo bad >&2; exit 7"], &both).await?;
    let (mut input, status) = (shell.stdin().ok_or("no input")?, shell.take_status().ok_or("no status")?);
    input.write_all(b"this\n").await?;
    let (mut out, mut err) = (String::new(), String::new());
    shell.stdout().ok_or("no output")?.read_to_string(&mut out).await?;
    shell.stderr().ok_or("no errors")?.read_to_string(&mut err).await?;
    assert_eq!((out.as_str(), err.as_str()), ("got this\n", "bad\n"));
    let status = status.await.ok_or("it ended without a status")?;
    assert_eq!(status.reason.as_deref(), Some("NonZeroExitCode"), "{status:?}");
    let mut causes = status.details.iter().flat_map(|details| details.causes.iter().flatten());
    let code =
        |cause: &StatusCause| cause.reason.as_deref() == Some("ExitCode") && cause.message.as_deref() == Some("7");
    assert!(causes.any(code), "{status:?}");

    let ready = |pod: Option<&Pod>| {
        let status = pod.and_then(|pod| pod.status.as_ref());
        status.is_some_and(|s| s.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True"))
    };
    await_condition(pods.clone(), "streams", ready).await?;
    let mut forwarded = pods.portforward("streams", &[8080]).await?;
    let mut stream = forwarded.take_stream(8080).ok_or("no stream")?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    assert!(answer.starts_with("HTTP/1") && answer.ends_with("hello\n"), "{answer}");

    let mut lines = pods.log_stream("streams", &LogParams { follow: true, ..LogParams::default() }).await?.lines();
    assert_eq!(lines.try_next().await?.as_deref(), Some("begun"));
    pods.delete("streams", &DeleteParams::default()).await?;
    while lines.try_next().await?.is_some() {}
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kube_rs_and_python_create_watch_and_delete_a_deployment() {
    let cluster = tokio::task::spawn_blocking(|| Cluster::up(As::Me, &[])).await.unwrap();
    let file = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    let client = Client::try_from(config).unwrap();
    tokio::time::timeout(PATIENCE, kube_rs(client.clone())).await.expect("kube-rs in time").unwrap();
    tokio::time::timeout(PATIENCE, streams(client)).await.expect("its streams in time").unwrap();

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
