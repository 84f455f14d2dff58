//! Keeps the index of roles and bindings up to date.

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::StreamExt as _;
use orc_core::env::{Clock, System, Task};
use orc_core::{ApiError, ResourceId};
use orc_store::client::{ListOptions, Scope, WatchOptions, WatchStart};
use orc_store::{Store, Stored, WatchEvent};
use parking_lot::Mutex;
use serde_json::Value;

use super::{Attributes, PolicyRule, RbacIndex};
use crate::identity::Identity;

const GROUP: &str = "rbac.authorization.k8s.io";
const RESOURCES: [&str; 4] = ["clusterroles", "clusterrolebindings", "roles", "rolebindings"];

/// Answers who may do what, from the roles and bindings in the store.
pub struct Authorizer {
    index: Arc<Shared>,
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
        self.index.index.load().permits(who, asks)
    }

    /// Whether somebody may do something, and why, as a review tells it.
    pub fn explain(&self, who: &Identity, asks: &Attributes<'_>) -> (bool, String) {
        self.index.index.load().explain(who, asks)
    }

    /// The rules of one role; empty when there is no such role. The namespace is empty for a ClusterRole.
    pub fn role(&self, namespace: &str, name: &str) -> Vec<PolicyRule> {
        self.index.index.load().role(namespace, name)
    }

    /// The rules that hold for somebody in a namespace.
    pub fn rules_of(&self, who: &Identity, namespace: &str) -> Vec<PolicyRule> {
        self.index.index.load().rules_of(who, namespace).cloned().collect()
    }
}

/// Reads the roles and bindings and follows their changes.
///
/// # Errors
/// When the store cannot be read.
pub async fn start(store: &Arc<Store>, system: &System) -> Result<Authorizer, ApiError> {
    let shared = Arc::new(Shared::default());
    let mut tasks = Vec::new();
    for plural in RESOURCES {
        let scope = Scope::all(ResourceId::new(GROUP, plural));
        let listing = store.list(&scope, &ListOptions::default()).await?;
        shared.change(|index| listing.items.iter().for_each(|item| put(index, item, true)));
        let follow = follow(store.clone(), scope, listing.revision, shared.clone(), system.clock.clone());
        tasks.push(system.spawn.spawn(follow));
    }
    Ok(Authorizer { index: shared, _tasks: tasks })
}

async fn follow(store: Arc<Store>, scope: Scope, mut at: orc_core::Revision, shared: Arc<Shared>, clock: Clock) {
    loop {
        let options = WatchOptions { start: WatchStart::After(at), bookmarks: true, ..WatchOptions::default() };
        if let Ok(mut stream) = store.watch(&scope, &options).await {
            while let Some(Ok(event)) = stream.next().await {
                at = event.revision();
                shared.apply(&event);
            }
        }
        // The watch fell behind or the store is closing: start over from the present state.
        clock.sleep(std::time::Duration::from_millis(100)).await;
        match store.list(&scope, &ListOptions::default()).await {
            Ok(listing) => {
                at = listing.revision;
                shared.change(|index| {
                    index.clear(scope.resource.plural());
                    listing.items.iter().for_each(|item| put(index, item, true));
                });
            }
            Err(error) => tracing::warn!(%error, "roles cannot be read"),
        }
    }
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut RbacIndex)) {
        let _one = self.writer.lock();
        let mut next = RbacIndex::clone(&self.index.load());
        change(&mut next);
        self.index.store(Arc::new(next));
    }

    fn apply(&self, event: &WatchEvent) {
        if let Some(object) = event.object() {
            let there = !matches!(event, WatchEvent::Removed { .. });
            self.change(|index| put(index, object, there));
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
