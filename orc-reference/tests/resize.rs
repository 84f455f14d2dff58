//! `pods/resize` of a running cluster, by kube-rs. Where this machine can enforce limits (cgroup v2: `tools/vm`) the kernel has
//! the new ones; elsewhere the pod says `Infeasible` and why. A restart that the policy asks for works on both.

mod support;

use std::path::PathBuf;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use orc_runtime::process::Limits;
use serde_json::{Value, json};
use support::{As, Cluster, PATIENCE};

async fn client(cluster: &Cluster) -> Client {
    let file = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

fn sizes(cpu: &str, memory: &str) -> Value {
    json!({"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu, "memory": memory}})
}

fn pod(name: &str, policy: &Value) -> Pod {
    let container = json!({"name": "c", "image": "host", "command": ["sleep", "3600"], "resizePolicy": policy,
        "resources": sizes("200m", "64Mi")});
    let spec = json!({"terminationGracePeriodSeconds": 1, "containers": [container]});
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
}

async fn resize(pods: &Api<Pod>, name: &str, cpu: &str, memory: &str) -> Result<Pod, kube::Error> {
    let patch = json!({"spec": {"containers": [{"name": "c", "resources": sizes(cpu, memory)}]}});
    pods.patch_subresource("resize", name, &PatchParams::default(), &Patch::Strategic(patch)).await
}

async fn until(pods: &Api<Pod>, name: &str, what: &str, holds: impl Fn(&Pod) -> bool) -> Pod {
    let mut last = None;
    let tries = async {
        loop {
            let pod = pods.get(name).await.unwrap();
            if holds(&pod) {
                return pod;
            }
            last = Some(pod);
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, tries).await.ok();
    found.unwrap_or_else(|| panic!("{what}: never; last: {}", serde_json::to_string_pretty(&last).unwrap()))
}

fn status(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

/// What the container has: CPU and memory of its limits.
fn has(pod: &Pod) -> Option<[String; 2]> {
    let limits = status(pod)?.resources.as_ref()?.limits.as_ref()?;
    Some([limits.get("cpu")?.0.clone(), limits.get("memory")?.0.clone()])
}

fn is(pod: &Pod, cpu: &str, memory: &str) -> bool {
    has(pod) == Some([cpu.to_owned(), memory.to_owned()])
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

fn ready(pod: &Pod) -> bool {
    status(pod).is_some_and(|status| status.ready)
}

/// The container's cgroup.
fn cgroup(id: &str) -> PathBuf {
    let mut left = vec![PathBuf::from("/sys/fs/cgroup/orc")];
    while let Some(dir) = left.pop() {
        if id.ends_with(dir.file_name().unwrap().to_str().unwrap()) {
            return dir;
        }
        left.extend(std::fs::read_dir(&dir).unwrap().flatten().map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    panic!("{id} has no cgroup")
}

async fn is_done_by_the_kernel(pods: &Api<Pod>, id: &str) {
    let read = |file: &str| std::fs::read_to_string(cgroup(id).join(file)).unwrap();
    assert_eq!((read("cpu.max").as_str(), read("memory.max").as_str()), ("20000 100000\n", "67108864\n"));
    resize(pods, "web", "300m", "96Mi").await.unwrap();
    let pod = until(pods, "web", "it has what was asked for", |pod| {
        is(pod, "300m", "96Mi") && condition(pod, "PodResizeInProgress").is_none()
    })
    .await;
    assert_eq!((read("cpu.max").as_str(), read("memory.max").as_str()), ("30000 100000\n", "100663296\n"));
    assert!(condition(&pod, "PodResizePending").is_none(), "nothing is left to do");
    let allocated = status(&pod).unwrap().allocated_resources.as_ref().unwrap();
    assert_eq!(allocated["cpu"].0, "300m");
}

async fn is_refused_with_the_reason(pods: &Api<Pod>, why: &str) {
    resize(pods, "web", "300m", "96Mi").await.unwrap();
    let pod = until(pods, "web", "it cannot be had", |pod| {
        condition(pod, "PodResizePending").is_some_and(|pending| pending.reason.as_deref() == Some("Infeasible"))
    })
    .await;
    let said = condition(&pod, "PodResizePending").unwrap().message.clone().unwrap_or_default();
    assert!(said.contains(why), "{said}");
    assert!(is(&pod, "200m", "64Mi"), "it keeps what it has: {:?}", has(&pod));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_resized_through_the_api() {
    let cluster = tokio::task::spawn_blocking(|| Cluster::up(As::Me, &["--nodes", "1"])).await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(client(&cluster).await);
    let restart = json!([{"resourceName": "memory", "restartPolicy": "RestartContainer"}]);
    pods.create(&PostParams::default(), &pod("web", &json!([]))).await.unwrap();
    pods.create(&PostParams::default(), &pod("db", &restart)).await.unwrap();
    let before = until(&pods, "web", "it is ready", ready).await;
    let id = status(&before).unwrap().container_id.clone().unwrap();
    assert!(is(&before, "200m", "64Mi"), "{:?}", has(&before));
    match Limits::detect(&cluster.data()) {
        Limits::Cgroups(_) => is_done_by_the_kernel(&pods, &id).await,
        Limits::Unenforced { reason } => is_refused_with_the_reason(&pods, &reason).await,
    }
    let after = pods.get("web").await.unwrap();
    assert_eq!(
        status(&after).map(|now| (now.restart_count, now.container_id.clone())),
        Some((0, Some(id))),
        "no restart"
    );

    // More memory is a restart for the one that says so, and it starts with what was asked for.
    until(&pods, "db", "it is ready", ready).await;
    resize(&pods, "db", "200m", "80Mi").await.unwrap();
    let db = until(&pods, "db", "it was restarted", |pod| {
        ready(pod) && status(pod).unwrap().restart_count == 1 && is(pod, "200m", "80Mi")
    })
    .await;
    assert!(condition(&db, "PodResizePending").is_none() && condition(&db, "PodResizeInProgress").is_none());

    // What the API refuses: another class of service, more than the node has is for the node to say.
    let other = json!({"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "2"}}}]}});
    let refused = pods.patch_subresource("resize", "db", &PatchParams::default(), &Patch::Strategic(other)).await;
    let text = refused.expect_err("a Guaranteed pod stays Guaranteed").to_string();
    assert!(text.contains("Pod QOS Class may not change as a result of resizing"), "{text}");
    resize(&pods, "db", "900", "80Mi").await.unwrap();
    let db = until(&pods, "db", "it never fits", |pod| condition(pod, "PodResizePending").is_some()).await;
    assert_eq!(condition(&db, "PodResizePending").unwrap().reason.as_deref(), Some("Infeasible"));
    tokio::task::spawn_blocking(move || drop(cluster)).await.unwrap();
}
