//! Two schedulers of one name at once: each pod is bound once, and the loser forgets what it assumed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use orc_core::env::Clock;
use orc_core::{ApiError, ResourceId};
use orc_reconcile::CancellationToken;
use orc_sched::driver::Binder;
use orc_sched::{PodInfo, Scheduler, SchedulerConfig};
use orc_store::client::ListOptions;
use orc_store::testing::World;
use orc_store::{Api, LocalClient, ObjectClient};

use crate::common::{node, pod};
use crate::node_of;

/// Refuses a pod that has a node, as `pods/binding` does. Slow, so that both have decided before either has written.
struct Once {
    client: Arc<dyn ObjectClient>,
    clock: Clock,
}

#[async_trait]
impl Binder for Once {
    async fn bind(&self, _: &dyn ObjectClient, pod: &PodInfo, node: &str) -> Result<(), ApiError> {
        self.clock.sleep(Duration::from_millis(50)).await;
        let api: Api<Pod> = Api::namespaced(self.client.clone(), pod.key.namespace_str());
        let mut taken = None;
        let assign = |pod: &mut Pod| {
            let spec = pod.spec.get_or_insert_default();
            taken = spec.node_name.clone();
            spec.node_name.get_or_insert_with(|| node.to_owned());
        };
        api.modify(&pod.key.name, assign).await?;
        match taken {
            None => Ok(()),
            Some(by) => Err(ApiError::conflict("", "pods/binding", &pod.key.name, format!("assigned to {by} already"))),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_pod_is_bound_once_and_the_loser_forgets() {
    const PODS: usize = 40;
    let world = World::seeded(11).await;
    let (client, clock, stop) = (world.env.client.clone(), world.env.clock.clone(), CancellationToken::new());
    let whole = LocalClient::new(world.store.clone(), &world.system).without_status([ResourceId::of::<Node>()]);
    let nodes: Api<Node> = Api::all(Arc::new(whole));
    for name in ["n1", "n2"] {
        // Room for all pods, and none for one that is counted twice or kept after it was lost.
        nodes.create(&node(name, 100 * PODS as i64 / 2, 64, 100)).await.unwrap();
    }
    let start = || {
        let binder = Arc::new(Once { client: client.clone(), clock: clock.clone() });
        let scheduler = Scheduler::new(world.env.clone(), SchedulerConfig { binder, ..SchedulerConfig::default() });
        let status = scheduler.status();
        world.env.spawn.detach(scheduler.run(stop.clone()));
        status
    };
    let rivals = [start(), start()];
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    for number in 0..PODS {
        pods.create(&pod(&format!("p-{number}"), 100)).await.unwrap();
    }
    let settled = || {
        rivals.iter().all(|rival| {
            let now = rival.read();
            now.active + now.backoff + now.parked + now.binding == 0
        })
    };
    for _ in 0..4000 {
        let all = pods.list(&ListOptions::default()).await.unwrap().items;
        if all.iter().all(|pod| node_of(pod).is_some()) && settled() {
            break;
        }
        clock.sleep(Duration::from_millis(10)).await;
    }
    let bound: Vec<u64> = rivals.iter().map(|rival| rival.read().bound).collect();
    let lost: u64 = rivals.iter().map(|rival| rival.read().bind_failures).sum();
    assert_eq!(bound.iter().sum::<u64>(), PODS as u64, "{bound:?}");
    assert!(settled() && lost > 0, "{lost} lost, {:?}", rivals.map(|rival| rival.read()));
    let events = Api::<Event>::namespaced(client.clone(), "default").list(&ListOptions::default()).await.unwrap().items;
    let failed = events.iter().filter(|event| event.reason.as_deref() == Some("FailedScheduling")).count();
    assert_eq!(failed, 0, "losing against another scheduler is nothing to tell of");
    stop.cancel();
}
