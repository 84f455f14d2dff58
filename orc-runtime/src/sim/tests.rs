//! A fleet over one watch, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use orc_core::env::System;
use orc_reconcile::CancellationToken;
use orc_store::backend::MemoryBackend;
use orc_store::cache::CacheEvent;
use orc_store::client::ListOptions;
use orc_store::{Api, Env, LocalClient, Store};
use serde_json::json;

use super::{Fleet, FleetConfig, Script};
use crate::agent::AgentConfig;

const NODES: usize = 200;

async fn env() -> Env {
    let system = System::seeded(1, "2026-01-01T00:00:00Z".parse().unwrap());
    let fields: Arc<[String]> = Arc::new(["spec.nodeName".to_owned()]);
    let fields_of = Arc::new(move |_: &orc_core::ResourceId| fields.clone());
    let store = Store::open(Arc::new(MemoryBackend::new()), fields_of, system.clone()).await.unwrap();
    Env::new(Arc::new(LocalClient::new(store, &system)), &system)
}

fn pod_on(node: &str, name: String) -> Pod {
    let pod = json!({"metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}});
    serde_json::from_value(pod).unwrap()
}

#[tokio::test(start_paused = true)]
async fn many_pods_that_start_at_once_are_mostly_written_once() {
    const PODS: usize = 60;
    let env = env().await;
    let pods: Api<Pod> = Api::namespaced(env.client.clone(), "default");
    for index in 0..PODS {
        pods.create(&pod_on("sim-0", format!("p{index}"))).await.unwrap();
    }
    let cache = env.caches.typed::<Pod>();
    cache.cache().synced().await;
    let (_, mut changes) = cache.cache().subscribe();
    let config = FleetConfig {
        nodes: vec![(AgentConfig::simulated("sim-0"), "10.64.0.0/24".parse().unwrap())],
        script: Script::default(),
    };
    let (stop, mut writes) = (CancellationToken::new(), 0);
    let running = tokio::spawn(Fleet::new(config, &env).run(stop.clone()));
    let is_running = |pod: &Arc<Pod>| pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running");
    while !cache.list().iter().all(is_running) {
        assert!(matches!(changes.next().await, Some(CacheEvent::Changed(_))), "no change was lost");
        writes += 1;
    }
    assert!(writes < PODS * 3 / 2, "{writes} writes of {PODS} pods");
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_fleet_runs_its_pods_over_one_watch() {
    let env = env().await;
    let nodes = (0..NODES).map(|index| {
        let cidr = format!("10.{}.{}.0/24", 64 + index / 256, index % 256).parse().unwrap();
        (AgentConfig::simulated(format!("sim-{index}")), cidr)
    });
    let fleet = Fleet::new(FleetConfig { nodes: nodes.collect(), script: Script::default() }, &env);
    assert_eq!(fleet.services().len(), NODES);
    let stop = CancellationToken::new();
    let running = tokio::spawn(fleet.run(stop.clone()));
    let pods: Api<Pod> = Api::namespaced(env.client.clone(), "default");
    for index in 0..NODES * 2 {
        pods.create(&pod_on(&format!("sim-{}", index % NODES), format!("p{index}"))).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    let list = pods.list(&ListOptions::default()).await.unwrap();
    let phases = list.items.iter().map(|pod| pod.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or_default());
    assert_eq!(phases.filter(|phase| *phase == "Running").count(), NODES * 2);
    let nodes: Api<Node> = Api::all(env.client.clone());
    assert_eq!(nodes.list(&ListOptions::default()).await.unwrap().items.len(), NODES);
    let leases: Api<Lease> = Api::namespaced(env.client.clone(), "kube-node-lease");
    let leases = leases.list(&ListOptions::default()).await.unwrap();
    assert_eq!(leases.items.len(), NODES);
    let renewed = leases.items.iter().map(|lease| lease.spec.as_ref().unwrap().renew_time.as_ref().unwrap().0);
    let (oldest, newest) = (renewed.clone().min().unwrap(), renewed.max().unwrap());
    assert!(env.clock.now().duration_since(oldest).as_secs() <= 11);
    assert!(newest.duration_since(oldest).as_secs() >= 9, "they come evenly, not all at once");
    let watches = env.caches.status().iter().filter(|cache| cache.interest.scope.resource.plural() == "pods").count();
    assert_eq!(watches, 1);
    stop.cancel();
    running.await.unwrap();
}
