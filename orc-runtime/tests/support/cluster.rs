//! A node agent over real processes and an in-memory API.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::Pod;
use orc_core::env::System;
use orc_reconcile::CancellationToken;
use orc_runtime::agent::{Agent, AgentConfig};
use orc_runtime::process::{ProcessConfig, ProcessRuntime};
use orc_store::backend::MemoryBackend;
use orc_store::dialer::Body;
use orc_store::{Api, Env, LocalClient, NodeService, Store};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::*;

pub(crate) async fn env() -> Env {
    let system = System::real();
    let fields: Arc<[String]> = Arc::new(["spec.nodeName".to_owned()]);
    let fields_of = Arc::new(move |_: &orc_core::ResourceId| fields.clone());
    let store = Store::open(Arc::new(MemoryBackend::new()), fields_of, system.clone()).await.unwrap();
    Env::new(Arc::new(LocalClient::new(store, &system)), &system)
}

pub(crate) struct Running {
    pub(crate) service: NodeService,
    pub(crate) stop: CancellationToken,
    pub(crate) task: tokio::task::JoinHandle<()>,
}

pub(crate) async fn agent(node: &Node, env: &Env) -> Running {
    agent_with(node, env, node.config(), |_| {}).await
}

/// An agent with settings of its own.
pub(crate) async fn agent_with(
    node: &Node,
    env: &Env,
    runtime: ProcessConfig,
    change: impl FnOnce(&mut AgentConfig),
) -> Running {
    let mut config = AgentConfig::new("n1", node.dir.path().join("agent"));
    config.addresses = vec!["192.0.2.1".parse().unwrap()];
    change(&mut config);
    let agent = Agent::new(config, env.clone(), Arc::new(ProcessRuntime::new(runtime).await.unwrap()));
    let (service, stop) = (agent.service(), CancellationToken::new());
    Running { service, stop: stop.clone(), task: tokio::spawn(agent.run(stop)) }
}

pub(crate) async fn create(env: &Env, name: &str, mut spec: Value) -> Api<Pod> {
    spec["nodeName"] = json!("n1");
    let pod = json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec});
    let pods: Api<Pod> = Api::namespaced(env.client.clone(), "default");
    pods.create(&serde_json::from_value(pod).unwrap()).await.unwrap();
    pods
}

pub(crate) async fn until(pods: &Api<Pod>, name: &str, wanted: impl Fn(&Pod) -> bool) -> Arc<Pod> {
    for _ in 0..400 {
        if let Some(pod) = pods.get_opt(name).await.unwrap()
            && wanted(&pod)
        {
            return pod;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let pod = pods.get_opt(name).await.unwrap();
    panic!("{name} was never so: {}", serde_json::to_string_pretty(&pod).unwrap());
}

pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

pub(crate) async fn logs(service: &NodeService, path: &str) -> String {
    let body = http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync();
    let request = http::Request::get(path).body(Body::new(body)).unwrap();
    let response = service.clone().oneshot(request).await.unwrap();
    String::from_utf8_lossy(&response.into_body().collect().await.unwrap().to_bytes()).into_owned()
}
