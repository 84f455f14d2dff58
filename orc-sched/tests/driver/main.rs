//! The live scheduler over a store in memory, in virtual time.

#[path = "../common/mod.rs"]
mod common;
mod contradictions;
mod devices;
mod groups;
mod rivals;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use common::{node, pod, with};
use k8s_openapi::api::core::v1::{Event, Node, PersistentVolume, PersistentVolumeClaim, Pod, PodCondition, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::StorageClass;
use orc_core::{ApiError, ResourceId};
use orc_reconcile::CancellationToken;
use orc_sched::driver::{Binder, StatusReader};
use orc_sched::{PodInfo, Scheduler, SchedulerConfig};
use orc_store::client::{DeleteOptions, ListOptions};
use orc_store::testing::World;
use orc_store::{Api, LocalClient, ObjectClient};
use serde_json::json;

/// Writes the node into the pod: a local client has no bindings. Fails the first so many times.
struct Direct {
    client: Arc<dyn ObjectClient>,
    failures: AtomicUsize,
}

#[async_trait]
impl Binder for Direct {
    async fn bind(&self, _: &dyn ObjectClient, pod: &PodInfo, node: &str) -> Result<(), ApiError> {
        if self.failures.load(Ordering::SeqCst) > 0 {
            self.failures.fetch_sub(1, Ordering::SeqCst);
            return Err(ApiError::unavailable("not now"));
        }
        let api: Api<Pod> = Api::namespaced(self.client.clone(), pod.key.namespace_str());
        api.modify(&pod.key.name, |pod| pod.spec.get_or_insert_default().node_name = Some(node.to_owned()))
            .await
            .map(drop)
    }
}

struct Cluster {
    world: World,
    pods: Api<Pod>,
    nodes: Api<Node>,
    status: StatusReader,
    stop: CancellationToken,
}

impl Cluster {
    async fn start(seed: u64, failures: usize) -> Self {
        let world = World::seeded(seed).await;
        let client = world.env.client.clone();
        let binder = Arc::new(Direct { client: client.clone(), failures: AtomicUsize::new(failures) });
        let config = SchedulerConfig { binder, ..SchedulerConfig::default() };
        let scheduler = Scheduler::new(world.env.clone(), config);
        let (status, stop) = (scheduler.status(), CancellationToken::new());
        world.env.spawn.detach(scheduler.run(stop.clone()));
        // Nodes are made with their status in one write.
        let whole = LocalClient::new(world.store.clone(), &world.system).without_status([ResourceId::of::<Node>()]);
        Self { pods: Api::namespaced(client, "default"), nodes: Api::all(Arc::new(whole)), world, status, stop }
    }

    async fn with_nodes(seed: u64, nodes: &[(&str, i64)]) -> Self {
        let cluster = Self::start(seed, 0).await;
        for (name, cpu) in nodes {
            cluster.nodes.create(&node(name, *cpu, 4, 10)).await.unwrap();
        }
        cluster
    }

    /// Waits in virtual time until something of a pod holds.
    async fn until(&self, name: &str, what: impl Fn(&Pod) -> bool) -> Arc<Pod> {
        for _ in 0..4000 {
            if let Some(found) = self.pods.get_opt(name).await.unwrap().filter(|pod| what(pod)) {
                return found;
            }
            self.world.env.clock.sleep(Duration::from_millis(100)).await;
        }
        panic!("pod {name} did not get there: {:?} {:?}", self.pods.get(name).await, self.status.read());
    }

    async fn events(&self, reason: &str) -> Vec<Arc<Event>> {
        let api: Api<Event> = Api::namespaced(self.world.env.client.clone(), "default");
        let all = api.list(&ListOptions::default()).await.unwrap().items;
        all.into_iter().filter(|event| event.reason.as_deref() == Some(reason)).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn node_of(pod: &Pod) -> Option<String> {
    pod.spec.as_ref()?.node_name.clone()
}

fn condition(pod: &Pod) -> Option<&PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == "PodScheduled")
}

#[tokio::test(start_paused = true)]
async fn pods_spread_over_nodes() {
    let cluster = Cluster::with_nodes(1, &[("n1", 2000), ("n2", 2000), ("n3", 2000)]).await;
    let mut on: BTreeMap<String, usize> = BTreeMap::new();
    for i in 0..9 {
        cluster.pods.create(&pod(&format!("p{i}"), 500)).await.unwrap();
    }
    for i in 0..9 {
        let bound = cluster.until(&format!("p{i}"), |pod| node_of(pod).is_some()).await;
        *on.entry(node_of(&bound).unwrap()).or_default() += 1;
    }
    assert_eq!(on.into_values().collect::<Vec<_>>(), [3, 3, 3]);
    let told = cluster.events("Scheduled").await;
    assert_eq!(told.len(), 9);
    assert!(told[0].message.as_ref().unwrap().starts_with("Successfully assigned default/p"));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_fits_nowhere_says_why_and_is_placed_when_a_node_comes() {
    let cluster = Cluster::with_nodes(2, &[("n1", 1000), ("n2", 1000)]).await;
    let tainted = with(&node("n3", 64_000, 4, 10), json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}));
    cluster.nodes.create(&tainted).await.unwrap();
    cluster.pods.create(&pod("big", 8000)).await.unwrap();
    let waiting = cluster.until("big", |pod| condition(pod).is_some()).await;
    let found = condition(&waiting).unwrap();
    let message = "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. preemption: 0/3 nodes \
                   are available: 3 Preemption is not helpful for scheduling.";
    assert_eq!(
        (&*found.status, found.reason.as_deref(), found.message.as_deref()),
        ("False", Some("Unschedulable"), Some(message))
    );
    assert_eq!(cluster.events("FailedScheduling").await[0].message.as_deref(), Some(message));
    cluster.nodes.create(&node("n4", 16_000, 4, 10)).await.unwrap();
    let placed = cluster.until("big", |pod| node_of(pod).is_some()).await;
    assert_eq!(node_of(&placed).as_deref(), Some("n4"));
}

#[tokio::test(start_paused = true)]
async fn without_nodes_a_pod_says_so() {
    let cluster = Cluster::start(3, 0).await;
    cluster.pods.create(&pod("a", 1)).await.unwrap();
    let waiting = cluster.until("a", |pod| condition(pod).is_some()).await;
    assert_eq!(condition(&waiting).unwrap().message.as_deref(), Some("no nodes available to schedule pods"));
    cluster.nodes.create(&node("n1", 1000, 1, 1)).await.unwrap();
    cluster.until("a", |pod| node_of(pod).is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn room_that_a_deleted_pod_leaves_is_used() {
    let cluster = Cluster::with_nodes(4, &[("n1", 1000)]).await;
    cluster.pods.create(&pod("first", 800)).await.unwrap();
    cluster.until("first", |pod| node_of(pod).is_some()).await;
    cluster.pods.create(&pod("second", 800)).await.unwrap();
    cluster.until("second", |pod| condition(pod).is_some()).await;
    cluster.pods.delete("first", DeleteOptions::default()).await.unwrap();
    cluster.until("second", |pod| node_of(pod).is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_binding_is_forgotten_and_tried_again() {
    let cluster = Cluster::start(5, 2).await;
    cluster.nodes.create(&node("n1", 1000, 1, 1)).await.unwrap();
    let before = cluster.world.env.clock.now();
    cluster.pods.create(&pod("a", 800)).await.unwrap();
    cluster.until("a", |pod| node_of(pod).is_some()).await;
    let passed = cluster.world.env.clock.now().duration_since(before);
    assert!(passed.as_secs() >= 3, "one second of backoff, then two: {passed}");
    assert_eq!(cluster.status.read().bind_failures, 2);
}

#[tokio::test(start_paused = true)]
async fn gates_hold_a_pod_back() {
    let cluster = Cluster::with_nodes(6, &[("n1", 1000)]).await;
    let gated = with(&pod("a", 100), json!({"spec": {"schedulingGates": [{"name": "wait"}]}}));
    cluster.pods.create(&gated).await.unwrap();
    let waiting = cluster.until("a", |pod| condition(pod).is_some()).await;
    assert_eq!(condition(&waiting).unwrap().reason.as_deref(), Some("SchedulingGated"));
    assert_eq!((cluster.status.read().gated, node_of(&waiting)), (1, None));
    cluster.pods.modify("a", |pod| pod.spec.as_mut().unwrap().scheduling_gates = None).await.unwrap();
    cluster.until("a", |pod| node_of(pod).is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn other_schedulers_pods_are_left_alone() {
    let cluster = Cluster::with_nodes(7, &[("n1", 1000)]).await;
    let other = with(&pod("theirs", 100), json!({"spec": {"schedulerName": "theirs"}}));
    cluster.pods.create(&other).await.unwrap();
    cluster.pods.create(&pod("ours", 100)).await.unwrap();
    cluster.until("ours", |pod| node_of(pod).is_some()).await;
    assert_eq!(node_of(&cluster.pods.get("theirs").await.unwrap()), None);
}

#[tokio::test(start_paused = true)]
async fn urgent_pods_go_first() {
    let cluster = Cluster::start(8, 0).await;
    for (name, priority) in [("low", 0), ("high", 10)] {
        cluster.pods.create(&with(&pod(name, 800), json!({"spec": {"priority": priority}}))).await.unwrap();
        cluster.until(name, |pod| condition(pod).is_some()).await;
    }
    cluster.world.env.clock.sleep(Duration::from_secs(30)).await;
    cluster.nodes.create(&node("n1", 1000, 1, 10)).await.unwrap();
    cluster.until("high", |pod| node_of(pod).is_some()).await;
    cluster
        .until("low", |pod| condition(pod).is_some_and(|c| c.message.as_deref().unwrap().contains("Insufficient cpu")))
        .await;
}

async fn trace(seed: u64) -> Vec<Option<String>> {
    let cluster = Cluster::with_nodes(seed, &[("n1", 4000), ("n2", 4000), ("n3", 4000), ("n4", 4000)]).await;
    let mut trace = Vec::new();
    for i in 0..12 {
        let name = format!("p{i}");
        cluster.pods.create(&pod(&name, 100)).await.unwrap();
        trace.push(node_of(&*cluster.until(&name, |pod| node_of(pod).is_some()).await));
    }
    trace
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_decisions() {
    assert_eq!(trace(9).await, trace(9).await);
    assert_ne!(trace(9).await, trace(10).await);
}

fn urgent(name: &str, cpu: i64) -> Pod {
    with(&pod(name, cpu), json!({"spec": {"priority": 10}}))
}

#[tokio::test(start_paused = true)]
async fn an_urgent_pod_takes_the_place_of_another() {
    let cluster = Cluster::with_nodes(11, &[("n1", 1000)]).await;
    cluster.pods.create(&pod("low", 800)).await.unwrap();
    cluster.until("low", |pod| node_of(pod).is_some()).await;
    cluster.pods.create(&urgent("high", 800)).await.unwrap();
    let placed = cluster.until("high", |pod| node_of(pod).is_some()).await;
    assert_eq!(node_of(&placed).as_deref(), Some("n1"));
    assert!(cluster.pods.get_opt("low").await.unwrap().is_none(), "it was deleted");
    let status = cluster.status.read();
    assert_eq!((status.preemptions, status.victims), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_never_preempts_waits() {
    let cluster = Cluster::with_nodes(12, &[("n1", 1000)]).await;
    cluster.pods.create(&pod("low", 800)).await.unwrap();
    cluster.until("low", |pod| node_of(pod).is_some()).await;
    let polite = with(&urgent("polite", 800), json!({"spec": {"preemptionPolicy": "Never"}}));
    cluster.pods.create(&polite).await.unwrap();
    let waiting = cluster.until("polite", |pod| condition(pod).is_some()).await;
    let message = condition(&waiting).unwrap().message.clone().unwrap();
    assert!(message.ends_with("preemption: not eligible due to preemptionPolicy=Never."), "{message}");
    assert!(cluster.pods.get_opt("low").await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_victim_that_a_budget_protects_is_spared() {
    let cluster = Cluster::with_nodes(13, &[("n1", 1000), ("n2", 1000)]).await;
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(cluster.world.env.client.clone(), "default");
    let budget = json!({"metadata": {"name": "b"}, "spec": {"selector": {"matchLabels": {"app": "kept"}}},
                        "status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}});
    budgets.create(&serde_json::from_value(budget).unwrap()).await.unwrap();
    for name in ["kept", "free"] {
        let one = with(&pod(name, 800), json!({"metadata": {"labels": {"app": name}}}));
        cluster.pods.create(&one).await.unwrap();
        cluster.until(name, |pod| node_of(pod).is_some()).await;
    }
    cluster.pods.create(&urgent("high", 800)).await.unwrap();
    cluster.until("high", |pod| node_of(pod).is_some()).await;
    assert!(cluster.pods.get_opt("kept").await.unwrap().is_some());
    assert!(cluster.pods.get_opt("free").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_tried_when_the_one_comes_that_it_wants_to_be_near() {
    let cluster = Cluster::with_nodes(17, &[("n1", 1000), ("n2", 1000)]).await;
    let near = json!([{"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "b"}}}]);
    let affinity = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": near}});
    let shy = with(&pod("shy", 100), json!({"spec": {"affinity": affinity}}));
    cluster.pods.create(&shy).await.unwrap();
    cluster.until("shy", |pod| condition(pod).is_some()).await;
    let before = cluster.world.env.clock.now();
    cluster.pods.create(&pod("stranger", 100)).await.unwrap();
    cluster.until("stranger", |pod| node_of(pod).is_some()).await;
    assert_eq!(node_of(&cluster.pods.get("shy").await.unwrap()), None);
    cluster.pods.create(&with(&pod("friend", 100), json!({"metadata": {"labels": {"app": "b"}}}))).await.unwrap();
    let placed = cluster.until("shy", |pod| node_of(pod).is_some()).await;
    assert_eq!(node_of(&placed), node_of(&cluster.pods.get("friend").await.unwrap()));
    let waited = cluster.world.env.clock.now().duration_since(before).as_secs();
    assert!(waited < 60, "it did not have to wait for the next look at all parked pods: {waited} s");
}

#[tokio::test(start_paused = true)]
async fn services_spread_their_pods() {
    let cluster = Cluster::with_nodes(15, &[("n1", 64_000), ("n2", 64_000)]).await;
    let services: Api<Service> = Api::namespaced(cluster.world.env.client.clone(), "default");
    let service = json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}}});
    services.create(&serde_json::from_value(service).unwrap()).await.unwrap();
    // Without the service the second node, which is fuller, would get none of them.
    cluster.pods.create(&with(&pod("filler", 30_000), json!({"spec": {"nodeName": "n2"}}))).await.unwrap();
    let mut on: BTreeMap<String, usize> = BTreeMap::new();
    for i in 0..4 {
        let web = with(&pod(&format!("web-{i}"), 100), json!({"metadata": {"labels": {"app": "web"}}}));
        cluster.pods.create(&web).await.unwrap();
        let bound = cluster.until(&format!("web-{i}"), |pod| node_of(pod).is_some()).await;
        *on.entry(node_of(&bound).unwrap()).or_default() += 1;
    }
    assert_eq!(on.into_values().collect::<Vec<_>>(), [2, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_claim_gets_its_volume_where_the_pod_goes() {
    let cluster = Cluster::with_nodes(16, &[("n1", 1000)]).await;
    let client = || cluster.world.env.client.clone();
    let classes: Api<StorageClass> = Api::all(client());
    let class =
        json!({"metadata": {"name": "late"}, "provisioner": "disk", "volumeBindingMode": "WaitForFirstConsumer"});
    classes.create(&serde_json::from_value(class).unwrap()).await.unwrap();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client(), "default");
    let claim = json!({"metadata": {"name": "c"}, "spec": {"storageClassName": "late", "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    claims.create(&serde_json::from_value(claim).unwrap()).await.unwrap();
    let volumes = json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}});
    cluster.pods.create(&with(&pod("a", 100), volumes)).await.unwrap();
    let clock = &cluster.world.env.clock;
    let asked = loop {
        let claim = claims.get("c").await.unwrap();
        match claim.metadata.annotations.clone() {
            Some(asked) => break asked,
            None => clock.sleep(Duration::from_millis(10)).await,
        }
    };
    assert_eq!(asked["volume.kubernetes.io/selected-node"], "n1");
    clock.sleep(Duration::from_secs(5)).await;
    let waiting = cluster.pods.get("a").await.unwrap();
    assert!(condition(&waiting).is_none() && node_of(&waiting).is_none(), "it waits, and nothing is told of a failure");
    // The provisioner does its part.
    let made: Api<PersistentVolume> = Api::all(client());
    let volume =
        json!({"metadata": {"name": "pv"}, "spec": {"storageClassName": "late", "capacity": {"storage": "1Gi"}}});
    made.create(&serde_json::from_value(volume).unwrap()).await.unwrap();
    let bind = |claim: &mut PersistentVolumeClaim| {
        claim.spec.get_or_insert_default().volume_name = Some("pv".to_owned());
        let annotations = claim.metadata.annotations.get_or_insert_default();
        annotations.insert("pv.kubernetes.io/bind-completed".to_owned(), "yes".to_owned());
    };
    claims.modify("c", bind).await.unwrap();
    let placed = cluster.until("a", |pod| node_of(pod).is_some()).await;
    assert_eq!(node_of(&placed).as_deref(), Some("n1"));
}
