//! `kill -9` of the control plane under write load: nothing acknowledged is lost, and the pods never notice.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher;
use kube::{Client, Config};
use support::{As, Cluster, PATIENCE};

const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: stays}
spec:
  containers: [{name: c, image: host, command: [sleep, "3600"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: ends}
spec:
  restartPolicy: Never
  containers: [{name: c, image: host, command: [sh, -c, "sleep 4; exit 7"]}]
"#;

async fn client(cluster: &Cluster) -> Client {
    let file = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

fn map(name: &str) -> ConfigMap {
    let data = BTreeMap::from([("k".to_owned(), "v".repeat(200))]);
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..Default::default() },
        data: Some(data),
        ..Default::default()
    }
}

/// Creates objects until the server is gone; the names of the acknowledged ones.
async fn write(client: Client, writer: usize, acknowledged: Arc<std::sync::Mutex<Vec<String>>>) {
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    for number in 0.. {
        let name = format!("w{writer}-{number}");
        match tokio::time::timeout(Duration::from_secs(5), api.create(&PostParams::default(), &map(&name))).await {
            Ok(Ok(_)) => acknowledged.lock().unwrap().push(name),
            _ => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_control_plane_comes_back_with_everything() {
    let mut cluster = tokio::task::spawn_blocking(|| Cluster::up(As::Me, &[])).await.unwrap();
    cluster.ok_with(&["apply", "-f", "-"], PODS);
    cluster.until(&["get", "pods", "-o", "jsonpath={.items[*].status.phase}"], "both pods run", |text| {
        text == "Running Running"
    });
    let id = cluster.ok(&["get", "pod", "stays", "-o", "jsonpath={.status.containerStatuses[0].containerID}"]);
    let sleeper = sleeper();

    // A watch that must go on across the crash.
    let seen = Arc::new(std::sync::Mutex::new(std::collections::BTreeSet::new()));
    let watching = {
        let (api, seen) = (Api::<ConfigMap>::default_namespaced(client(&cluster).await), seen.clone());
        tokio::spawn(async move {
            let mut stream = watcher(api, watcher::Config::default()).boxed();
            loop {
                if let Ok(Some(watcher::Event::Apply(map) | watcher::Event::InitApply(map))) = stream.try_next().await {
                    seen.lock().unwrap().insert(map.metadata.name.unwrap_or_default());
                }
            }
        })
    };

    let acknowledged = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut writers = Vec::new();
    for writer in 0..8 {
        writers.push(tokio::spawn(write(client(&cluster).await, writer, acknowledged.clone())));
    }
    let enough = || acknowledged.lock().unwrap().len() >= 200;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !enough() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(enough(), "only {} writes", acknowledged.lock().unwrap().len());
    cluster.kill();
    for writer in writers {
        writer.await.unwrap();
    }
    // Long enough for the other pod to end with nobody looking.
    tokio::time::sleep(Duration::from_secs(5)).await;
    cluster.again();

    let api: Api<ConfigMap> = Api::default_namespaced(client(&cluster).await);
    let there: std::collections::BTreeSet<String> =
        api.list(&ListParams::default()).await.unwrap().into_iter().filter_map(|map| map.metadata.name).collect();
    let acknowledged = acknowledged.lock().unwrap().clone();
    let lost: Vec<_> = acknowledged.iter().filter(|name| !there.contains(*name)).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged writes are lost: {lost:?}", lost.len(), acknowledged.len());

    assert_eq!(
        support::text(
            &std::process::Command::new("ps").args(["-o", "pid=", "-p", &sleeper.to_string()]).output().unwrap().stdout
        )
        .trim(),
        sleeper.to_string(),
        "the same process goes on"
    );
    cluster.until(
        &["get", "pod", "ends", "-o", "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}"],
        "the exit code is known",
        |code| code == "7",
    );
    let now = cluster.ok(&["get", "pod", "stays", "-o", "jsonpath={.status.containerStatuses[0].containerID}"]);
    assert_eq!(now, id, "the container was adopted");

    api.create(&PostParams::default(), &map("after-the-crash")).await.unwrap();
    let resumed = AtomicBool::new(false);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < deadline {
        if seen.lock().unwrap().contains("after-the-crash") {
            resumed.store(true, Ordering::Relaxed);
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(resumed.load(Ordering::Relaxed), "the watch did not go on");
    watching.abort();
    tokio::task::spawn_blocking(move || drop(cluster)).await.unwrap();
}

/// The pid of the `sleep 3600` in the pod.
fn sleeper() -> u32 {
    let output = std::process::Command::new("pgrep").args(["-n", "-f", "^sleep 3600$"]).output().unwrap();
    support::text(&output.stdout).trim().parse().expect("the pod's sleep runs")
}
