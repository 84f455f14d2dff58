//! Static pods: files that a node runs, with real programs.

#[path = "support/cluster.rs"]
mod cluster;
mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cluster::*;
use k8s_openapi::api::core::v1::Pod;
use orc_core::ApiError;
use orc_store::client::*;
use orc_store::{Api, Env, ObjectClient};
use support::*;

fn before_main() {}

const MIRROR: &str = "kubernetes.io/config.mirror";

fn write(folder: &Path, file: &str, name: &str, script: &str) {
    // The folder tells the processes of this test from those of others.
    let script = format!("{script}; : {}", folder.display());
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  \
         - {{name: c, image: host, command: [sh, -c, {script:?}]}}\n"
    );
    std::fs::write(folder.join(file), text).unwrap();
}

fn annotation<'a>(pod: &'a Pod, name: &str) -> &'a str {
    pod.metadata.annotations.as_ref().unwrap().get(name).map_or("", String::as_str)
}

fn container_of(pod: &Pod) -> Option<String> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()?.container_id.clone()
}

async fn start(node: &Node, env: &Env, folder: &Path) -> Running {
    let folder = folder.to_owned();
    agent_with(node, env, node.config(), |config| {
        config.static_pods = Some(folder);
        config.static_pod_interval = Duration::from_millis(100);
    })
    .await
}

/// Processes of the node's static pods, and their command lines. Read from `/proc`: a second runtime over the same state would
/// take a sandbox that is just being made for the rest of a crash.
fn scripts(node: &Node) -> Vec<(String, String)> {
    let own = node.dir.path().join("static").display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        if line.contains("sleep 40") && line.contains(&own) {
            found.push((entry.file_name().to_string_lossy().into_owned(), line));
        }
    }
    found
}

async fn runs(node: &Node, script: &str, wanted: bool) {
    eventually(&format!("{script} runs: {wanted}"), || async {
        let some = scripts(node).iter().any(|(_, line)| line.contains(script));
        (some == wanted).then_some(())
    })
    .await;
}

#[test]
fn files_are_run_mirrored_and_outlive_the_agent() {
    on_a_node(|node| async move {
        let env = env().await;
        let folder = node.dir.path().join("static");
        std::fs::create_dir(&folder).unwrap();
        write(&folder, "web.yaml", "web", "sleep 4001; true");
        write(&folder, "broken.yaml", "broken", "true");
        std::fs::write(folder.join("broken.yaml"), "kind: [").unwrap();
        let running = start(&node, &env, &folder).await;
        let pods: Api<Pod> = Api::namespaced(env.client.clone(), "default");
        let mirror = until(&pods, "web-n1", is_ready).await;
        let hash = annotation(&mirror, "kubernetes.io/config.hash");
        assert_eq!((annotation(&mirror, MIRROR), annotation(&mirror, "kubernetes.io/config.source")), (hash, "file"));
        assert_eq!(mirror.metadata.owner_references.as_ref().unwrap()[0].kind, "Node");
        // Deleted, it is made again, and the pod does not notice.
        let uid = mirror.metadata.uid.clone();
        pods.delete("web-n1", DeleteOptions::default()).await.unwrap();
        let again = until(&pods, "web-n1", |pod| pod.metadata.uid != uid && is_ready(pod)).await;
        assert_eq!(container_of(&again), container_of(&mirror));
        // The next agent takes it up as it is.
        running.stop.cancel();
        running.task.await.unwrap();
        let running = start(&node, &env, &folder).await;
        write(&folder, "late.yaml", "late", "sleep 4002; true");
        until(&pods, "late-n1", is_ready).await;
        assert_eq!(container_of(&pods.get("web-n1").await.unwrap()), container_of(&mirror));
        // Another content is another pod; what cannot be read leaves it as it is; the file's end is the pod's.
        write(&folder, "web.yaml", "web", "sleep 4003; true");
        let other = until(&pods, "web-n1", |pod| annotation(pod, MIRROR) != hash && is_ready(pod)).await;
        assert_ne!(container_of(&other), container_of(&mirror));
        runs(&node, "sleep 4001", false).await;
        std::fs::write(folder.join("web.yaml"), "kind: Pod").unwrap();
        std::fs::remove_file(folder.join("late.yaml")).unwrap();
        eventually("the mirror goes", || async { pods.get_opt("late-n1").await.unwrap().is_none().then_some(()) })
            .await;
        runs(&node, "sleep 4002", false).await;
        runs(&node, "sleep 4003", true).await;
        running.stop.cancel();
        running.task.await.unwrap();
        // A node that has the folder no more ends its pods.
        let running = agent(&node, &env).await;
        eventually("the last mirror goes", || async { pods.get_opt("web-n1").await.unwrap().is_none().then_some(()) })
            .await;
        runs(&node, "sleep 4003", false).await;
        let left = node.dir.path().join("runtime/pods");
        eventually("nothing of the pods is left", || async {
            std::fs::read_dir(&left).is_ok_and(|mut entries| entries.next().is_none()).then_some(())
        })
        .await;
        running.stop.cancel();
        running.task.await.unwrap();
    });
}

/// An API that is away until it is switched on.
struct Away {
    inner: Arc<dyn ObjectClient>,
    on: AtomicBool,
}

impl Away {
    fn check(&self) -> Result<(), ApiError> {
        if self.on.load(Ordering::SeqCst) { Ok(()) } else { Err(ApiError::unavailable("connection refused")) }
    }
}

#[async_trait]
impl ObjectClient for Away {
    async fn get(&self, target: &Target, options: &ReadOptions) -> Result<Gotten, ApiError> {
        self.check()?;
        self.inner.get(target, options).await
    }
    async fn list(&self, scope: &Scope, options: &ListOptions) -> Result<Listing, ApiError> {
        self.check()?;
        self.inner.list(scope, options).await
    }
    async fn watch(&self, scope: &Scope, options: &WatchOptions) -> Result<WatchStream, ApiError> {
        self.check()?;
        self.inner.watch(scope, options).await
    }
    async fn write(&self, request: WriteRequest) -> Result<Written, ApiError> {
        self.check()?;
        self.inner.write(request).await
    }
}

#[test]
fn static_pods_run_while_the_api_is_away() {
    on_a_node(|node| async move {
        let system = orc_core::env::System::real();
        let away = Arc::new(Away { inner: env().await.client, on: AtomicBool::new(false) });
        let env = Env::new(away.clone(), &system);
        let folder = node.dir.path().join("static");
        std::fs::create_dir(&folder).unwrap();
        write(&folder, "early.yaml", "early", "sleep 4011; true");
        let running = start(&node, &env, &folder).await;
        runs(&node, "sleep 4011", true).await;
        write(&folder, "second.yaml", "second", "sleep 4012; true");
        runs(&node, "sleep 4012", true).await;
        std::fs::remove_file(folder.join("early.yaml")).unwrap();
        runs(&node, "sleep 4011", false).await;
        let before = scripts(&node);
        away.on.store(true, Ordering::SeqCst);
        let pods: Api<Pod> = Api::namespaced(env.client.clone(), "default");
        until(&pods, "second-n1", is_ready).await;
        assert_eq!(scripts(&node), before, "the API's coming changes nothing");
        assert!(pods.get_opt("early-n1").await.unwrap().is_none());
        running.stop.cancel();
        running.task.await.unwrap();
    });
}
