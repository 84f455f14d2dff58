//! A fleet over one watch, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use orc_core::env::System;
use orc_reconcile::CancellationToken;
use orc_store::backend::MemoryBackend;
use orc_store::client::ListOptions;
use orc_store::{Api, Env, LocalClient, Store};
use serde_json::json;

use super::{Fleet, FleetConfig, Script};
use crate::agent::AgentConfig;

const NODES: usize = 200;

#[tokio::test(start_paused = true)]
async fn a_fleet_runs_its_pods_over_one_watch() {
    let system = System::seeded(1, "2026-01-01T00:00:00Z".parse().unwrap());
    let fields: Arc<[String]> = Arc::new(["spec.nodeName".to_owned()]);
    let fields_of = Arc::new(move |_: &orc_core::ResourceId| fields.clone());
    let store = Store::open(Arc::new(MemoryBackend::new()), fields_of, system.clone()).await.unwrap();
    let env = Env::new(Arc::new(LocalClient::new(store, &system)), &system);
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
        let pod = json!({"metadata": {"name": format!("p{index}"), "namespace": "default"},
            "spec": {"nodeName": format!("sim-{}", index % NODES), "containers": [{"name": "c", "image": "i"}]}});
        pods.create(&serde_json::from_value(pod).unwrap()).await.unwrap();
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
