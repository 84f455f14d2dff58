//! Nodes that fall silent, and pods of nodes that are gone.
//!
//! A node is heard of when its lease in `kube-node-lease` is renewed; when it was is measured by this loop's own clock, so
//! that a node's wrong clock does no harm. A silent node's conditions become unknown, it gets taints, its pods count as not
//! ready, and those that do not tolerate the taints (any longer) are deleted. All of it is undone when it is heard of again.

mod eviction;
mod gone;
mod health;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use orc_core::{Name, ObjectKey, ResourceId};
use orc_store::cache::{Interest, Typed};
use orc_store::client::{DeleteOptions, Preconditions, Scope};
use orc_store::{Api, Env, Stored};
use parking_lot::Mutex;

pub use self::gone::pod_garbage_collector;
use super::support::{AGAIN, Memory, PassError, Recorder, filled, meta, next_at, pods};
use crate::{CacheSource, Controller, Next, Reconciler, service};

/// The namespace of nodes' leases.
const LEASES: &str = "kube-node-lease";
/// The index of pods by node.
const ON_NODE: &str = "node-controller/node";

/// The pods of all nodes, by node.
fn pods_by_node(env: &Env) -> Typed<Pod> {
    let pods = env.caches.typed::<Pod>();
    pods.cache()
        .add_index(ON_NODE, Arc::new(|pod: &Stored| node_of(pod).map(|name| name.to_string()).into_iter().collect()));
    pods
}

fn node_of(pod: &Stored) -> Option<Name> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Spec {
        node_name: Option<String>,
    }
    #[derive(serde::Deserialize)]
    struct Bound {
        spec: Option<Spec>,
    }
    let node = pod.head.field("spec.nodeName");
    if !node.is_empty() {
        return Some(Name::new(node));
    }
    // A store may be set up without selectable fields; then only the body knows.
    if !pod.body.windows(11).any(|window| window == b"\"nodeName\":") {
        return None;
    }
    let bound: Bound = serde_json::from_slice(&pod.body).ok()?;
    bound.spec?.node_name.filter(|node| !node.is_empty()).map(Name::from)
}

fn key_of(node: Name) -> ObjectKey {
    ObjectKey::cluster(ResourceId::of::<Node>(), node)
}

/// The loop that watches over nodes.
pub fn node_lifecycle(env: Env) -> Controller<ObjectKey> {
    let nodes = env.caches.typed::<Node>();
    let pods = pods_by_node(&env);
    let leases = Interest::within(Scope::within(ResourceId::of::<Lease>(), LEASES));
    let leases = env.caches.cache(leases).start().typed::<Lease>();
    // A pod concerns its node only while that is in trouble.
    let troubled = {
        let nodes = nodes.clone();
        move |pod: &Arc<Stored>| {
            let key = node_of(pod).map(key_of);
            let in_trouble = |key: &ObjectKey| {
                nodes.get(key).is_some_and(|node| !taints(&node).is_empty() || !health::is_ready(&node))
            };
            key.filter(in_trouble).into_iter().collect()
        }
    };
    let sources = (
        CacheSource::keys(nodes.cache().clone()),
        CacheSource::new(leases.cache().clone(), |lease| vec![key_of(lease.key.name.clone())]),
        CacheSource::new(pods.cache().clone(), troubled),
    );
    let recorder = Recorder::new(&env, "node-controller");
    let lifecycle = Lifecycle {
        env: env.clone(),
        nodes,
        pods,
        leases,
        memory: Memory::default(),
        heard: Mutex::default(),
        tainted: eviction::Seen::default(),
        recorder,
    };
    Controller::new("node-controller", &env, service(lifecycle))
        .concurrency(8)
        .source(sources.0)
        .source(sources.1)
        .source(sources.2)
}

fn taints(node: &Node) -> Vec<Taint> {
    node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default()
}

/// What was last heard of a node: the lease's time, the last heartbeat, and when this loop saw them.
#[derive(Clone, PartialEq)]
struct Heard {
    lease: Option<Timestamp>,
    heartbeat: Option<Timestamp>,
    at: Timestamp,
}

/// What is to be done about a node, one stage.
#[derive(Clone, PartialEq, Debug)]
enum Write {
    /// Its conditions are unknown.
    Status(Box<Node>),
    /// Its taints change.
    Taint(Box<Node>),
    /// A pod of it is not ready.
    Unready(Arc<Pod>),
    /// A pod of it has to leave.
    Evict(Arc<Pod>),
}

/// One pass over a node. `dated` are its taints, each with the time since when it stands.
fn plan(
    node: &Node,
    on_node: &[Arc<Pod>],
    heard_at: Timestamp,
    dated: &[Taint],
    now: Timestamp,
) -> super::support::Plan<Write, ()> {
    let silent_at = heard_at.checked_add(health::GRACE).unwrap_or(Timestamp::MAX);
    let is_silent = silent_at <= now;
    if let Some(status) = is_silent.then(|| health::silent(node, now)).flatten() {
        return super::support::Plan::stage(vec![Write::Status(Box::new(Node {
            status: Some(status),
            ..node.clone()
        }))]);
    }
    let wanted = health::taints(node, now);
    if wanted != taints(node) {
        let mut next = node.clone();
        next.spec.get_or_insert_default().taints = Some(wanted).filter(|taints| !taints.is_empty());
        return super::support::Plan::stage(vec![Write::Taint(Box::new(next))]);
    }
    let mut writes = Vec::new();
    if !health::is_ready(node) {
        writes.extend(on_node.iter().filter(|pod| pods::is_ready(pod)).cloned().map(Write::Unready));
    }
    let mut wake = (!is_silent).then_some(silent_at);
    for pod in on_node.iter().filter(|pod| pods::is_active(pod)) {
        match eviction::due(pod, dated, now) {
            Some(at) if at <= now => writes.push(Write::Evict(pod.clone())),
            Some(at) => wake = Some(wake.map_or(at, |wake| wake.min(at))),
            None => {}
        }
    }
    super::support::Plan { writes, status: None, wake }
}

struct Lifecycle {
    env: Env,
    nodes: Typed<Node>,
    pods: Typed<Pod>,
    leases: Typed<Lease>,
    memory: Memory,
    heard: Mutex<BTreeMap<ObjectKey, Heard>>,
    tainted: eviction::Seen,
    recorder: Recorder,
}

#[async_trait]
impl Reconciler for Lifecycle {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        filled(&[self.nodes.cache(), self.pods.cache(), self.leases.cache()]).await;
        self.memory.settle(&key).await?;
        let Some(node) = self.nodes.get(&key) else {
            self.memory.forget(&key);
            self.heard.lock().remove(&key);
            self.tainted.forget(&key);
            return Ok(Next::Done);
        };
        let now = self.env.clock.now();
        if !self.heard.lock().contains_key(&key) {
            let text = format!("Node {0} event: Registered Node {0} in Controller", key.name);
            self.recorder.normal(&*node, "RegisteredNode", text);
        }
        let heard_at = self.listen(&key, &node, now);
        let mut on_node = self.pods.by_index(ON_NODE, &key.name);
        let alive = on_node.iter().filter(|pod| pods::is_active(pod)).map(|pod| meta::uid(&pod.metadata)).collect();
        let leaving = self.memory.leaving(&key, &alive);
        on_node.retain(|pod| !leaving.contains(meta::uid(&pod.metadata)));
        let dated = self.tainted.dated(&key, taints(&node), now);
        let plan = plan(&node, &on_node, heard_at, &dated, now);
        let done = plan.writes.is_empty();
        for write in plan.writes {
            self.write(&key, write, now).await?;
        }
        Ok(if done { next_at(plan.wake, now) } else { AGAIN })
    }
}

impl Lifecycle {
    /// When the node was last heard of, by this loop's clock.
    fn listen(&self, key: &ObjectKey, node: &Node, now: Timestamp) -> Timestamp {
        let place = ObjectKey::namespaced(ResourceId::of::<Lease>(), LEASES, key.name.clone());
        let lease =
            self.leases.get(&place).and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref().map(|time| time.0));
        let heartbeat =
            health::condition(node, "Ready").and_then(|ready| ready.last_heartbeat_time.as_ref().map(|time| time.0));
        let mut heard = self.heard.lock();
        match heard.get(key) {
            Some(last) if last.lease == lease && last.heartbeat == heartbeat => last.at,
            _ => {
                heard.insert(key.clone(), Heard { lease, heartbeat, at: now });
                now
            }
        }
    }

    async fn write(&self, key: &ObjectKey, write: Write, now: Timestamp) -> Result<(), PassError> {
        let nodes: Api<Node> = Api::all(self.env.client.clone());
        match write {
            Write::Status(next) => {
                let written = nodes.replace_status(&next).await?;
                self.recorder.normal(&*next, "NodeNotReady", format!("Node {} status is now: NodeNotReady", key.name));
                self.memory.wrote(key, self.nodes.cache(), written.metadata.resource_version.as_deref());
            }
            Write::Taint(next) => {
                let written = nodes.replace(&next).await?;
                self.memory.wrote(key, self.nodes.cache(), written.metadata.resource_version.as_deref());
            }
            Write::Unready(pod) => self.unready(key, &pod, now).await?,
            Write::Evict(pod) => self.evict(key, &pod).await?,
        }
        Ok(())
    }

    async fn unready(&self, key: &ObjectKey, pod: &Pod, now: Timestamp) -> Result<(), PassError> {
        let api: Api<Pod> = Api::namespaced(self.env.client.clone(), meta::namespace(&pod.metadata));
        let mut next = pod.clone();
        for ready in next
            .status
            .iter_mut()
            .flat_map(|status| status.conditions.iter_mut().flatten())
            .filter(|c| c.type_ == "Ready")
        {
            ready.status = "False".to_owned();
            ready.last_transition_time = Some(meta::time(now));
        }
        match api.replace_status(&next).await {
            Err(error) if error.is_not_found() => Ok(()),
            written => {
                self.memory.wrote(key, self.pods.cache(), written?.metadata.resource_version.as_deref());
                self.recorder.warning(pod, "NodeNotReady", "Node is not ready".to_owned());
                Ok(())
            }
        }
    }

    async fn evict(&self, key: &ObjectKey, pod: &Pod) -> Result<(), PassError> {
        let (namespace, name) = (meta::namespace(&pod.metadata), meta::name(&pod.metadata));
        let api: Api<Pod> = Api::namespaced(self.env.client.clone(), namespace);
        let preconditions = Preconditions { uid: pod.metadata.uid.clone(), revision: None };
        match api.delete(name, DeleteOptions { preconditions, ..DeleteOptions::default() }).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => {
                self.memory.deleted(key, meta::uid(&pod.metadata));
                self.recorder.normal(
                    pod,
                    "TaintManagerEviction",
                    format!("Marking for deletion Pod {namespace}/{name}"),
                );
                Ok(())
            }
        }
    }
}
