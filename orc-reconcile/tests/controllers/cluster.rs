//! A cluster in memory: a store, the rules that the loops rely on, a node, and a record of everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Node, NodeCondition, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use orc_core::env::{System, Task};
use orc_core::{ApiError, Doc, Object, ResourceId};
use orc_reconcile::CancellationToken;
use orc_reconcile::controllers::{ControllersConfig, all};
use orc_store::cache::Interest;
use orc_store::client::{
    Gotten, Intent, ListOptions, Listing, ReadOptions, Scope, Subresource, Target, WatchOptions, WriteRequest, Written,
};
use orc_store::{Api, Env, LocalClient, ObjectClient, Store, WatchEvent, WatchStream};
use parking_lot::Mutex;
use serde_json::json;

use crate::faults::Faulty;

/// Holds a pod until its node has stopped it, as the grace period does in a real cluster.
const ON_NODE: &str = "test/on-node";
/// Holds a namespace until it is finalized, as the real server does.
const NAMESPACE: &str = "test/namespace";

/// The rules of the real server that the loops rely on and the local client does not know.
pub struct Rules(pub LocalClient);

#[async_trait]
impl ObjectClient for Rules {
    async fn get(&self, target: &Target, options: &ReadOptions) -> Result<Gotten, ApiError> {
        self.0.get(target, options).await
    }
    async fn list(&self, scope: &Scope, options: &ListOptions) -> Result<Listing, ApiError> {
        self.0.list(scope, options).await
    }
    async fn watch(&self, scope: &Scope, options: &WatchOptions) -> Result<WatchStream, ApiError> {
        self.0.watch(scope, options).await
    }
    async fn write(&self, mut request: WriteRequest) -> Result<Written, ApiError> {
        if let (Target::Named(key, Some(sub)), Intent::Replace(doc)) = (&request.target, &request.intent)
            && *sub == Subresource::FINALIZE
        {
            let spec = doc.at(&["spec"]).cloned().unwrap_or_default();
            let modify = move |now: &mut Doc| {
                now.set(&["spec"], spec.clone());
                if spec["finalizers"].as_array().is_none_or(Vec::is_empty) {
                    now.remove(&["metadata", "finalizers"]);
                }
                Ok(())
            };
            return self
                .0
                .write(WriteRequest::new(Target::object(key.clone()), Intent::Modify(Arc::new(modify))))
                .await;
        }
        if let Intent::Create(doc) = &mut request.intent {
            match request.target.resource().as_str() {
                "pods" => {
                    let own = doc.at(&["metadata", "finalizers"]).and_then(|list| list.as_array().cloned());
                    let all: Vec<_> = own.unwrap_or_default().into_iter().chain([json!(ON_NODE)]).collect();
                    doc.set(&["metadata", "finalizers"], json!(all));
                }
                "namespaces" => {
                    doc.set(&["metadata", "finalizers"], json!([NAMESPACE]));
                    doc.set(&["spec", "finalizers"], json!(["kubernetes"]));
                }
                _ => {}
            }
            if let Some(namespace) = request.target.namespace() {
                let namespaces: Api<Namespace> = Api::all(Arc::new(self.0.clone()));
                let home = namespaces.get_opt(namespace).await?;
                if home.is_none_or(|home| home.metadata.deletion_timestamp.is_some()) {
                    let name = doc.name();
                    return Err(ApiError::forbidden("", "x", name, "because it is being terminated"));
                }
            }
        }
        self.0.write(request).await
    }
}

pub struct Cluster {
    pub env: Env,
    pub stop: CancellationToken,
    trace: Arc<Mutex<Vec<(u64, String)>>>,
    tasks: Vec<Task>,
    /// Whether the node renews its lease.
    pub beats: Arc<AtomicBool>,
}

impl Cluster {
    /// A cluster with all loops running; with faults, one in `one_in` writes of the loops goes wrong.
    pub async fn start(seed: u64, one_in: Option<u64>) -> Self {
        let system = System::seeded(seed, jiff::Timestamp::from_second(1_767_225_600).unwrap());
        let store = Store::in_memory(&system).await;
        let client: Arc<dyn ObjectClient> = Arc::new(Rules(LocalClient::new(store, &system)));
        let env = Env::new(client, &system);
        let mut cluster = Self {
            env,
            stop: CancellationToken::new(),
            trace: Arc::default(),
            tasks: Vec::new(),
            beats: Arc::new(AtomicBool::new(true)),
        };
        cluster.record();
        let faulty = Arc::new(Faulty::new(cluster.env.client.clone(), system.rng.fork(), one_in));
        let env = cluster.env.clone();
        let env_for = move |_: &str| {
            let rng = env.rng.fork();
            Env { client: faulty.clone(), ids: orc_core::env::Ids::new(rng.fork()), rng, ..env.clone() }
        };
        for spec in all(env_for, ControllersConfig::new("a certificate")) {
            cluster.tasks.push(cluster.env.spawn.spawn((spec.run)(cluster.stop.clone())));
        }
        cluster.tasks.push(cluster.env.spawn.spawn(node(cluster.env.clone())));
        cluster.tasks.push(cluster.env.spawn.spawn(heart(cluster.env.clone(), cluster.beats.clone())));
        cluster
    }

    fn record(&mut self) {
        let resources = [
            "pods",
            "replicasets.apps",
            "deployments.apps",
            "namespaces",
            "configmaps",
            "serviceaccounts",
            "events",
            "services",
            "endpoints",
            "endpointslices.discovery.k8s.io",
            "nodes",
            "jobs.batch",
            "cronjobs.batch",
            "statefulsets.apps",
            "daemonsets.apps",
            "controllerrevisions.apps",
            "replicationcontrollers",
            "poddisruptionbudgets.policy",
            "persistentvolumeclaims",
        ];
        for resource in resources {
            let (client, trace) = (self.env.client.clone(), self.trace.clone());
            self.tasks.push(self.env.spawn.spawn(async move {
                let scope = Scope::all(ResourceId::parse(resource));
                let mut events = client.watch(&scope, &WatchOptions::default()).await.unwrap();
                while let Some(Ok(event)) = events.next().await {
                    let Some(object) = event.object() else { continue };
                    let gone = matches!(event, WatchEvent::Removed { .. });
                    let line =
                        format!("{} {} {gone} {}", event.revision(), object.key, String::from_utf8_lossy(&object.body));
                    trace.lock().push((event.revision().0, line));
                }
            }));
        }
    }

    /// Everything that happened, in order.
    pub fn trace(&self) -> String {
        let mut lines = self.trace.lock().clone();
        lines.sort();
        lines.into_iter().map(|(_, line)| line + "\n").collect()
    }

    pub fn api<K: Object>(&self, namespace: &str) -> Api<K>
    where
        K::DynamicType: Default,
    {
        Api::namespaced(self.env.client.clone(), namespace)
    }

    pub async fn namespace(&self, name: &str) {
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.to_owned());
        Api::<Namespace>::all(self.env.client.clone()).create(&namespace).await.unwrap();
    }

    pub async fn list<K: Object>(&self, namespace: &str) -> Vec<Arc<K>>
    where
        K::DynamicType: Default,
    {
        self.api::<K>(namespace).list(&ListOptions::default()).await.unwrap().items
    }

    /// Waits until a condition holds, checking an invariant all the while.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        for _ in 0..12_000 {
            if holds().await {
                return;
            }
            self.env.clock.sleep(Duration::from_millis(50)).await;
        }
        let tail: Vec<String> =
            self.trace().lines().rev().take(15).map(|line| line.chars().take(900).collect()).collect();
        panic!("never: {what}\n{}", tail.join("\n"));
    }
}

pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// Whether a running pod is one of a job.
fn runs_to_its_end(pod: &Pod) -> bool {
    let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    policy == Some("Never") && phase == Some("Running")
}

/// Binds pods, brings them up one step at a time, and lets go of those that end.
async fn node(env: Env) {
    let pods = env.caches.cache(Interest::of::<Pod>()).start().typed::<Pod>();
    loop {
        env.clock.sleep(Duration::from_millis(100 + env.rng.below(200))).await;
        for pod in pods.list() {
            let api: Api<Pod> = Api::namespaced(env.client.clone(), pod.metadata.namespace.clone().unwrap());
            let name = pod.metadata.name.clone().unwrap();
            let bound = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
            let running = pod.status.as_ref().is_some_and(|status| status.phase.is_some());
            let now = Time(env.clock.now());
            let done = if pod.metadata.deletion_timestamp.is_some() {
                api.modify(&name, |pod| {
                    pod.metadata.finalizers.get_or_insert_default().retain(|finalizer| finalizer != ON_NODE);
                })
                .await
            } else if !bound {
                api.modify(&name, |pod| pod.spec.get_or_insert_default().node_name = Some("node-1".into())).await
            } else if !running {
                let last = name.bytes().last().unwrap_or_default();
                let ip = format!("10.0.0.{last}");
                api.modify_status(&name, |pod| {
                    let status = pod.status.get_or_insert_default();
                    status.phase = Some("Running".into());
                    status.pod_ip = Some(ip.clone());
                    status.pod_ips =
                        Some(vec![k8s_openapi::api::core::v1::PodIP { ip: ip.clone(), ..Default::default() }]);
                    let ready = PodCondition {
                        type_: "Ready".into(),
                        status: "True".into(),
                        last_transition_time: Some(now.clone()),
                        ..Default::default()
                    };
                    status.conditions = Some(vec![ready]);
                })
                .await
            } else if runs_to_its_end(&pod) {
                let image = pod.spec.as_ref().and_then(|spec| spec.containers.first()?.image.clone());
                let phase = if image.as_deref() == Some("fails") { "Failed" } else { "Succeeded" };
                api.modify_status(&name, |pod| {
                    let status = pod.status.get_or_insert_default();
                    status.phase = Some(phase.into());
                    status.conditions = None;
                })
                .await
            } else {
                continue;
            };
            if let Err(error) = done {
                assert!(error.is_not_found() || error.is_conflict(), "{error}");
            }
        }
    }
}

/// Registers the node and renews its lease every ten seconds; while it beats, it says that it is ready.
async fn heart(env: Env, beats: Arc<AtomicBool>) {
    let nodes: Api<Node> = Api::all(env.client.clone());
    let mut node = Node::default();
    node.metadata.name = Some("node-1".into());
    nodes.create(&node).await.unwrap();
    let mut home = Namespace::default();
    home.metadata.name = Some("kube-node-lease".into());
    Api::<Namespace>::all(env.client.clone()).create(&home).await.unwrap();
    let leases: Api<Lease> = Api::namespaced(env.client.clone(), "kube-node-lease");
    let mut lease = Lease::default();
    lease.metadata.name = Some("node-1".into());
    leases.create(&lease).await.unwrap();
    loop {
        if beats.load(Ordering::SeqCst) {
            let now = env.clock.now();
            leases
                .modify("node-1", |lease| lease.spec.get_or_insert_default().renew_time = Some(MicroTime(now)))
                .await
                .unwrap();
            let ready = NodeCondition { type_: "Ready".into(), status: "True".into(), ..Default::default() };
            nodes
                .modify_status("node-1", |node| {
                    node.status.get_or_insert_default().conditions = Some(vec![ready.clone()])
                })
                .await
                .unwrap();
        }
        env.clock.sleep(Duration::from_secs(10)).await;
    }
}
