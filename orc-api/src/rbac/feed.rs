//! Keeps the index of roles and bindings up to date, and answers from it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use orc_core::env::{Clock, System, Task};
use orc_core::{ApiError, ResourceId};
use orc_store::{Store, Stored, WatchEvent};
use parking_lot::Mutex;
use serde_json::Value;

use super::node::NodeAuthorizer;
use super::{Attributes, PolicyRule, RbacIndex};
use crate::follow::{self, Follower};
use crate::identity::Identity;

const GROUP: &str = "rbac.authorization.k8s.io";
const RESOURCES: [&str; 4] = ["clusterroles", "clusterrolebindings", "roles", "rolebindings"];

/// How long a refused node waits for the graph to learn of a pod that the node has just been told of.
const PATIENCE: Duration = Duration::from_millis(200);

/// Answers who may do what: nodes by the pods that run on them, everybody by the roles and bindings in the store.
pub struct Authorizer {
    roles: Arc<Shared>,
    nodes: NodeAuthorizer,
    clock: Clock,
    _tasks: Vec<Task>,
}

#[derive(Default)]
struct Shared {
    index: ArcSwap<RbacIndex>,
    writer: Mutex<()>,
}

impl Authorizer {
    /// Whether somebody may do something.
    pub fn permits(&self, who: &Identity, asks: &Attributes<'_>) -> bool {
        self.nodes.permits(who, asks) || self.roles.index.load().permits(who, asks)
    }

    /// As [`Authorizer::permits`], but a node that is refused is asked about again as the graph of pods changes, for at most
    /// 200 milliseconds: a node may hear of a pod a moment before the graph does. Cancel safe.
    pub async fn decide(&self, who: &Identity, asks: &Attributes<'_>) -> bool {
        if self.permits(who, asks) {
            return true;
        }
        if super::node::name_of(who).is_none() {
            return false;
        }
        let mut changes = self.nodes.changes();
        let later = self.clock.sleep(PATIENCE);
        tokio::pin!(later);
        loop {
            if self.permits(who, asks) {
                return true;
            }
            tokio::select! {
                biased;
                () = &mut later => return false,
                changed = changes.changed() => if changed.is_err() { return false },
            }
        }
    }

    /// Whether somebody may do something, and why, as a review tells it.
    pub fn explain(&self, who: &Identity, asks: &Attributes<'_>) -> (bool, String) {
        if self.nodes.permits(who, asks) {
            return (true, String::new());
        }
        self.roles.index.load().explain(who, asks)
    }

    /// The rules of one role; empty when there is no such role. The namespace is empty for a ClusterRole.
    pub fn role(&self, namespace: &str, name: &str) -> Vec<PolicyRule> {
        self.roles.index.load().role(namespace, name)
    }

    /// The rules that hold for somebody in a namespace. What a node may do beyond its roles depends on its pods and is not
    /// listed.
    pub fn rules_of(&self, who: &Identity, namespace: &str) -> Vec<PolicyRule> {
        self.roles.index.load().rules_of(who, namespace).cloned().collect()
    }
}

/// Reads the roles, the bindings and what nodes may see, and follows their changes.
///
/// # Errors
/// When the store cannot be read.
pub async fn start(store: &Arc<Store>, system: &System) -> Result<Authorizer, ApiError> {
    let roles = Arc::new(Shared::default());
    let mut tasks = Vec::new();
    for plural in RESOURCES {
        tasks.push(follow::start(store, system, ResourceId::new(GROUP, plural), roles.clone()).await?);
    }
    let nodes = NodeAuthorizer::start(store, system, &mut tasks).await?;
    Ok(Authorizer { roles, nodes, clock: system.clock.clone(), _tasks: tasks })
}

impl Shared {
    fn update(&self, change: impl FnOnce(&mut RbacIndex)) {
        let _one = self.writer.lock();
        let mut next = RbacIndex::clone(&self.index.load());
        change(&mut next);
        self.index.store(Arc::new(next));
    }
}

impl Follower for Shared {
    fn reset(&self, resource: &ResourceId, items: &[Arc<Stored>]) {
        self.update(|index| {
            index.clear(resource.plural());
            items.iter().for_each(|item| put(index, item, true));
        });
    }

    fn change(&self, event: &WatchEvent) {
        if let Some(object) = event.object() {
            let there = !matches!(event, WatchEvent::Removed { .. });
            self.update(|index| put(index, object, there));
        }
    }
}

fn put(index: &mut RbacIndex, stored: &Stored, there: bool) {
    let value: Option<Value> = there.then(|| serde_json::from_slice(&stored.body).unwrap_or_default());
    let (namespace, name) = (stored.key.namespace_str(), stored.key.name.as_str());
    match stored.key.resource.plural() {
        "clusterroles" | "roles" => index.set_role(namespace, name, value.as_ref()),
        _ => index.set_binding(namespace, name, value.as_ref()),
    }
}
