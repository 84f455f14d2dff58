//! The whole agent over an in-memory API and the simulated runtime, in virtual time.

mod live;

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use orc_core::env::System;
use orc_reconcile::CancellationToken;
use orc_store::backend::MemoryBackend;
use orc_store::client::{DeleteOptions, ListOptions};
use orc_store::dialer::Body;
use orc_store::{Api, Env, LocalClient, Store};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Agent, AgentConfig};
use crate::runtime::{Observe, RuntimeService};
use crate::sim::{Script, SimConfig, SimRuntime};

struct World {
    env: Env,
    pods: Api<Pod>,
    runtime: SimRuntime,
}

async fn world() -> World {
    let system = System::seeded(7, "2026-01-01T00:00:00Z".parse().unwrap());
    let fields: Arc<[String]> = Arc::new(["spec.nodeName".to_owned()]);
    let fields_of = Arc::new(move |_: &orc_core::ResourceId| fields.clone());
    let store = Store::open(Arc::new(MemoryBackend::new()), fields_of, system.clone()).await.unwrap();
    let env = Env::new(Arc::new(LocalClient::new(store, &system)), &system);
    let config = SimConfig { pod_cidr: "10.1.0.0/24".parse().unwrap(), script: Script::default() };
    let runtime = SimRuntime::new(config, env.clock.clone());
    World { pods: Api::namespaced(env.client.clone(), "default"), runtime, env }
}

impl World {
    fn agent(&self) -> Agent {
        let mut config = AgentConfig::simulated("n1");
        config.addresses = vec!["192.0.2.1".parse().unwrap()];
        Agent::new(config, self.env.clone(), Arc::new(self.runtime.clone()) as Arc<dyn RuntimeService>)
    }

    fn start(&self) -> (CancellationToken, tokio::task::JoinHandle<()>) {
        let stop = CancellationToken::new();
        (stop.clone(), tokio::spawn(self.agent().run(stop)))
    }

    async fn create(&self, name: &str, annotations: Value, spec: Value) {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "default", "annotations": annotations},
            "spec": spec,
        }));
        self.pods.create(&pod.unwrap()).await.unwrap();
    }

    /// Waits until a pod is as wanted, in virtual time.
    async fn until(&self, name: &str, what: &str, wanted: impl Fn(&Pod) -> bool) -> Arc<Pod> {
        for _ in 0..6000 {
            if let Some(pod) = self.pods.get_opt(name).await.unwrap()
                && wanted(&pod)
            {
                return pod;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let pod = self.pods.get_opt(name).await.unwrap();
        panic!("{name} was never {what}: {}", serde_json::to_string_pretty(&pod).unwrap());
    }

    async fn until_gone(&self, name: &str) {
        for _ in 0..6000 {
            if self.pods.get_opt(name).await.unwrap().is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{name} is still there");
    }

    async fn reasons(&self) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.env.client.clone(), "default");
        let list = events.list(&ListOptions::default()).await.unwrap();
        list.items.iter().map(|event| event.reason.clone().unwrap_or_default()).collect()
    }
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> &'a str {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().find(|condition| condition.type_ == kind).map_or("", |condition| condition.status.as_str())
}

fn spec(extra: &Value) -> Value {
    let mut spec = json!({"nodeName": "n1", "containers": [{"name": "web", "image": "host", "command": ["serve"]}]});
    for (key, value) in extra.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

#[tokio::test(start_paused = true)]
async fn a_pod_runs_and_the_node_is_ready() {
    let world = world().await;
    let (_stop, _agent) = world.start();
    world.create("a", json!({}), spec(&json!({}))).await;
    let pod = world.until("a", "ready", |pod| condition(pod, "Ready") == "True").await;
    let status = pod.status.as_ref().unwrap();
    assert_eq!(phase(&pod), "Running");
    assert_eq!(status.host_ip.as_deref(), Some("192.0.2.1"));
    assert!(status.pod_ip.as_deref().unwrap().starts_with("10.1.0."));
    assert_eq!(status.qos_class.as_deref(), Some("BestEffort"));
    let container = &status.container_statuses.as_ref().unwrap()[0];
    assert!(container.ready && container.started == Some(true));
    assert!(container.container_id.as_deref().unwrap().starts_with("sim://"));
    let nodes: Api<Node> = Api::all(world.env.client.clone());
    let node = nodes.get("n1").await.unwrap();
    let ready = node.status.as_ref().unwrap().conditions.iter().flatten().find(|c| c.type_ == "Ready").unwrap();
    assert_eq!(ready.status, "True");
    let reasons = world.reasons().await;
    for reason in ["Pulled", "Created", "Started"] {
        assert!(reasons.iter().any(|known| known == reason), "{reasons:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_like_pod_ends_and_shows_its_code() {
    let world = world().await;
    let (_stop, _agent) = world.start();
    let never = spec(&json!({"restartPolicy": "Never"}));
    world.create("good", json!({"sim.orc.dev/run-seconds": "5"}), never.clone()).await;
    world.create("bad", json!({"sim.orc.dev/run-seconds": "5", "sim.orc.dev/exit-code": "3"}), never).await;
    world.until("good", "succeeded", |pod| phase(pod) == "Succeeded").await;
    let pod = world.until("bad", "failed", |pod| phase(pod) == "Failed").await;
    let state = pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0].state.clone().unwrap();
    assert_eq!(state.terminated.unwrap().exit_code, 3);
    assert_eq!(condition(&pod, "Ready"), "False");
    assert!(pod.status.as_ref().unwrap().pod_ip.is_some(), "an ended pod keeps its address");
}

#[tokio::test(start_paused = true)]
async fn a_crashing_container_backs_off() {
    let world = world().await;
    let (_stop, _agent) = world.start();
    let annotations = json!({"sim.orc.dev/run-seconds": "1", "sim.orc.dev/exit-code": "1"});
    world.create("crash", annotations, spec(&json!({}))).await;
    let pod = world
        .until("crash", "in back-off after three restarts", |pod| {
            let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
            statuses.into_iter().any(|container| {
                let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
                container.restart_count == 3 && waiting.and_then(|w| w.reason.as_deref()) == Some("CrashLoopBackOff")
            })
        })
        .await;
    assert_eq!(phase(&pod), "Running");
    let elapsed = world.env.clock.now().duration_since("2026-01-01T00:00:00Z".parse().unwrap()).as_secs();
    assert!((33..40).contains(&elapsed), "0 + 10 + 20 s of waiting and four runs of a second: {elapsed}");
    assert!(world.reasons().await.iter().any(|reason| reason == "BackOff"));
}

#[tokio::test(start_paused = true)]
async fn init_containers_run_first_and_in_order() {
    let world = world().await;
    let (_stop, _agent) = world.start();
    let inits = json!([{"name": "one", "image": "host"}, {"name": "two", "image": "host"}]);
    let annotations = json!({"sim.orc.dev/run-seconds.one": "3", "sim.orc.dev/run-seconds.two": "3"});
    world.create("a", annotations, spec(&json!({"initContainers": inits}))).await;
    let pod = world.until("a", "in its second init container", |pod| {
        let inits = pod.status.iter().flat_map(|status| status.init_container_statuses.iter().flatten());
        inits.into_iter().any(|init| init.name == "two" && init.state.as_ref().is_some_and(|s| s.running.is_some()))
    });
    let pod = pod.await;
    assert_eq!(phase(&pod), "Pending");
    assert_eq!(condition(&pod, "Initialized"), "False");
    let web = &pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0];
    assert_eq!(web.state.as_ref().unwrap().waiting.as_ref().unwrap().reason.as_deref(), Some("PodInitializing"));
    world.until("a", "ready", |pod| condition(pod, "Ready") == "True" && condition(pod, "Initialized") == "True").await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_is_ended_and_the_object_goes() {
    let world = world().await;
    let (_stop, _agent) = world.start();
    world.create("a", json!({}), spec(&json!({}))).await;
    world.until("a", "running", |pod| phase(pod) == "Running").await;
    // The local client gives no grace, so a finalizer is what shows the time between mark and end.
    world.pods.modify("a", |pod| pod.metadata.finalizers = Some(vec!["test.orc.dev/hold".into()])).await.unwrap();
    world.pods.delete("a", DeleteOptions::default()).await.unwrap();
    let pod = world.until("a", "ended", |pod| phase(pod) == "Failed").await;
    let end = pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0].state.clone().unwrap();
    assert_eq!(end.terminated.unwrap().exit_code, 137, "killed: no grace");
    world.pods.modify("a", |pod| pod.metadata.finalizers = None).await.unwrap();
    world.until_gone("a").await;
    for _ in 0..100 {
        if world.runtime.list_sandboxes().await.unwrap().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the sandbox is still there");
}

#[tokio::test(start_paused = true)]
async fn a_forced_deletion_ends_the_pod_too() {
    let world = world().await;
    let (_stop, _agent) = world.start();
    world.create("a", json!({}), spec(&json!({}))).await;
    world.until("a", "running", |pod| phase(pod) == "Running").await;
    world.pods.delete("a", DeleteOptions::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert!(world.runtime.list_sandboxes().await.unwrap().is_empty());
    world.create("a", json!({}), spec(&json!({}))).await;
    world.until("a", "running again", |pod| phase(pod) == "Running").await;
}

#[tokio::test(start_paused = true)]
async fn a_new_agent_takes_the_pods_up() {
    let world = world().await;
    let (stop, agent) = world.start();
    for name in ["stays", "ends", "goes"] {
        let annotations = if name == "ends" { json!({"sim.orc.dev/run-seconds": "60"}) } else { json!({}) };
        world.create(name, annotations, spec(&json!({"restartPolicy": "Never"}))).await;
        world.until(name, "running", |pod| phase(pod) == "Running").await;
    }
    let before = world.pods.get("stays").await.unwrap();
    stop.cancel();
    agent.await.unwrap();
    world.pods.delete("goes", DeleteOptions::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(120)).await;
    let (_stop, _agent) = world.start();
    world.until("ends", "succeeded", |pod| phase(pod) == "Succeeded").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let after = world.pods.get("stays").await.unwrap();
    assert_eq!(before.status, after.status, "nothing happened to it");
    assert!(world.runtime.list_sandboxes().await.unwrap().iter().all(|sandbox| sandbox.name != "goes"));
}

#[tokio::test(start_paused = true)]
async fn a_lost_sandbox_is_made_again() {
    let world = world().await;
    let (_stop, _agent) = world.start();
    world.create("a", json!({}), spec(&json!({}))).await;
    let pod = world.until("a", "running", |pod| phase(pod) == "Running").await;
    world.runtime.lose_sandbox(pod.metadata.uid.as_deref().unwrap());
    let pod = world.until("a", "restarted", |pod| {
        let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        statuses.into_iter().any(|container| container.restart_count == 1 && container.ready)
    });
    let pod = pod.await;
    let container = &pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0];
    assert_eq!(container.last_state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code, 137);
    assert!(world.reasons().await.iter().any(|reason| reason == "SandboxChanged"));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_does_not_fit_is_refused() {
    let world = world().await;
    let (_stop, _agent) = world.start();
    let big = json!([{"name": "web", "image": "host", "resources": {"requests": {"cpu": "33"}}}]);
    world.create("big", json!({}), spec(&json!({"containers": big}))).await;
    let pod = world.until("big", "failed", |pod| phase(pod) == "Failed").await;
    let status = pod.status.as_ref().unwrap();
    assert_eq!(status.reason.as_deref(), Some("OutOfcpu"));
    assert!(status.message.as_deref().unwrap().contains("requested: 33000, used: 0, capacity: 32000"));
}

#[tokio::test(start_paused = true)]
async fn a_failed_liveness_probe_restarts() {
    let world = world().await;
    let (_stop, _agent) = world.start();
    let probe = json!({"exec": {"command": ["check"]}, "periodSeconds": 2, "failureThreshold": 2});
    let containers = json!([{"name": "web", "image": "host", "livenessProbe": probe}]);
    world.create("a", json!({"sim.orc.dev/exec-exit-code": "1"}), spec(&json!({"containers": containers}))).await;
    world
        .until("a", "restarted", |pod| {
            let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
            statuses.into_iter().any(|container| container.restart_count >= 1)
        })
        .await;
    let reasons = world.reasons().await;
    assert!(reasons.iter().any(|reason| reason == "Unhealthy"), "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason == "Killing"), "{reasons:?}");
}

#[tokio::test(start_paused = true)]
async fn logs_are_served() {
    let world = world().await;
    let agent = world.agent();
    let service = agent.service();
    let stop = CancellationToken::new();
    let _agent = tokio::spawn(agent.run(stop.clone()));
    world.create("a", json!({}), spec(&json!({}))).await;
    world.until("a", "running", |pod| phase(pod) == "Running").await;
    let ask = |path: &'static str| {
        let service = service.clone();
        async move {
            let body = http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync();
            let request = http::Request::get(path).body(Body::new(body)).unwrap();
            let response = service.oneshot(request).await.unwrap();
            let code = response.status().as_u16();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (code, String::from_utf8_lossy(&body).into_owned())
        }
    };
    assert_eq!(ask("/healthz").await, (200, "ok".to_owned()));
    let (code, text) = ask("/containerLogs/default/a/web").await;
    assert_eq!((code, text.contains("web")), (200, true));
    let (code, text) = ask("/containerLogs/default/a/web?previous=true").await;
    assert_eq!(code, 400);
    assert!(text.contains("previous terminated container \\\"web\\\" in pod \\\"a\\\" not found"), "{text}");
    assert_eq!(ask("/containerLogs/default/b/web").await.0, 404);
    let (code, text) = ask("/localVolumes/pvc-1").await;
    assert_eq!(code, 403, "whoever comes by way of the API is not the control plane: {text}");
}

/// A node with a directory: volumes, environment and files are real, the programs are not.
#[tokio::test(start_paused = true)]
async fn volumes_and_environment_are_made() {
    let world = world().await;
    let dir = tempfile::tempdir().unwrap();
    let mut config = AgentConfig::new("n1", dir.path());
    config.cluster_dns = vec!["10.96.0.10".parse().unwrap()];
    let runtime = Arc::new(world.runtime.clone()) as Arc<dyn RuntimeService>;
    let agent = Agent::new(config, world.env.clone(), runtime);
    let _agent = tokio::spawn(agent.run(CancellationToken::new()));
    let volumes = json!([{"name": "cfg", "configMap": {"name": "settings"}}, {"name": "tmp", "emptyDir": {}}]);
    let mounts = json!([{"name": "cfg", "mountPath": "/cfg"}]);
    let env = json!([{"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "missing"}}}]);
    let containers = json!([{"name": "web", "image": "host", "volumeMounts": mounts, "env": env}]);
    world.create("a", json!({}), spec(&json!({"volumes": volumes, "containers": containers}))).await;
    world.until("a", "waiting", |pod| phase(pod) == "Pending" && pod.status.is_some()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(world.reasons().await.iter().any(|reason| reason == "FailedMount"));
    let maps: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(world.env.client.clone(), "default");
    let map = json!({"metadata": {"name": "settings", "namespace": "default"}, "data": {"color": "red"}});
    maps.create(&serde_json::from_value(map).unwrap()).await.unwrap();
    let waits = |pod: &Pod| {
        let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        let mut waiting = statuses.filter_map(|container| container.state.as_ref()?.waiting.as_ref());
        waiting.any(|waiting| {
            waiting.reason.as_deref() == Some("CreateContainerConfigError")
                && waiting.message.as_deref() == Some("couldn't find key missing in ConfigMap default/settings")
        })
    };
    world.until("a", "without its key", waits).await;
    maps.modify("settings", |map| drop(map.data.get_or_insert_default().insert("missing".into(), "1".into())))
        .await
        .unwrap();
    let pod = world.until("a", "running", |pod| phase(pod) == "Running").await;
    let own = dir.path().join("pods").join(pod.metadata.uid.as_deref().unwrap());
    assert_eq!(std::fs::read_to_string(own.join("volumes/cfg/color")).unwrap(), "red");
    let hosts = std::fs::read_to_string(own.join("etc-hosts")).unwrap();
    assert!(hosts.contains(pod.status.as_ref().unwrap().pod_ip.as_deref().unwrap()), "{hosts}");
    assert!(std::fs::read_to_string(own.join("etc-resolv.conf")).unwrap().contains("nameserver 10.96.0.10"));
    maps.modify("settings", |map| drop(map.data.get_or_insert_default().insert("color".into(), "blue".into())))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(std::fs::read_to_string(own.join("volumes/cfg/color")).unwrap(), "blue", "refreshed");
    world.pods.delete("a", DeleteOptions::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert!(!own.exists(), "nothing is left");
}

#[tokio::test(start_paused = true)]
async fn an_unsupported_volume_keeps_the_pod_pending_and_says_so() {
    let world = world().await;
    let dir = tempfile::tempdir().unwrap();
    let runtime = Arc::new(world.runtime.clone()) as Arc<dyn RuntimeService>;
    let agent = Agent::new(AgentConfig::new("n1", dir.path()), world.env.clone(), runtime);
    let _agent = tokio::spawn(agent.run(CancellationToken::new()));
    let volumes = json!([{"name": "data", "nfs": {"server": "s", "path": "/"}}]);
    world.create("a", json!({}), spec(&json!({"volumes": volumes}))).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let events: Api<Event> = Api::namespaced(world.env.client.clone(), "default");
    let list = events.list(&ListOptions::default()).await.unwrap();
    let failed = list.items.iter().find(|event| event.reason.as_deref() == Some("FailedMount")).unwrap();
    let message = failed.message.as_deref().unwrap();
    assert!(message.contains("nfs volumes are not supported by orc yet"), "{message}");
    assert!(failed.count.unwrap() > 1, "counted, not repeated");
    assert_eq!(phase(&world.pods.get("a").await.unwrap()), "Pending");
}
