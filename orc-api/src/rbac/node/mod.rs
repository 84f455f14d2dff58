//! The node authorizer: a node may see what the pods that run on it need, and change what is its own.
//!
//! Follows `plugin/pkg/auth/authorizer/node` of upstream with `AuthorizeNodeWithSelectors`. It answers for users
//! `system:node:<name>` in the group `system:nodes` and has no opinion on others; what it does not permit, a role still may.
//! That a node writes only to its own objects is the business of admission (NodeRestriction), which sees them.

mod feed;
mod graph;
mod refs;

use std::sync::{Arc, LazyLock};

use orc_core::env::{System, Task};
use orc_core::{ApiError, Name, ResourceId};
use orc_store::Store;
use tokio::sync::watch;

use super::{Attributes, PolicyRule};
use crate::follow;
use crate::identity::Identity;
use feed::Fed;
use graph::{Sort, Thing};

/// The group of the nodes.
pub const NODES: &str = "system:nodes";
const USER: &str = "system:node:";
const LEASES: &str = "kube-node-lease";

/// What every node may do, beside what is decided by its pods: the rules of the role `system:node` as Kubernetes ships it.
/// The role in the store does not count, so that nobody widens it by mistake.
static RULES: LazyLock<Vec<PolicyRule>> = LazyLock::new(crate::bootstrap::node_rules);

/// The name of the node that somebody is; `None` for who is no node.
pub fn name_of(who: &Identity) -> Option<&str> {
    if !who.is_in(NODES) {
        return None;
    }
    who.user.strip_prefix(USER).filter(|name| !name.is_empty())
}

/// The first kind of object that a mirror pod refers to, which it must not.
pub(crate) fn reference(pod: &serde_json::Value) -> Option<&'static str> {
    refs::reference(pod)
}

/// Decides what nodes may do.
pub(super) struct NodeAuthorizer(Arc<Fed>);

impl NodeAuthorizer {
    /// Reads what pods need, and follows it; the tasks are added to `tasks`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn start(store: &Arc<Store>, system: &System, tasks: &mut Vec<Task>) -> Result<Self, ApiError> {
        let fed = Fed::new();
        for (group, plural) in feed::RESOURCES {
            tasks.push(follow::start(store, system, ResourceId::new(group, plural), fed.clone()).await?);
        }
        Ok(Self(fed))
    }

    /// Tells of changes of the graph.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Whether somebody is a node that may do something.
    pub(super) fn permits(&self, who: &Identity, asks: &Attributes<'_>) -> bool {
        let Some(node) = name_of(who) else { return false };
        let read = |sort: Sort| {
            let reads = matches!(asks.verb, "get" | "list" | "watch") && asks.subresource.is_empty();
            reads && !asks.namespace.is_empty() && self.reaches(node, sort, asks)
        };
        let get = |sort: Sort| asks.verb == "get" && asks.subresource.is_empty() && self.reaches(node, sort, asks);
        match (asks.group, asks.resource) {
            ("", "secrets") => read(Sort::Secret),
            ("", "configmaps") => read(Sort::ConfigMap),
            ("", "persistentvolumeclaims") if asks.subresource == "status" => {
                matches!(asks.verb, "update" | "patch") && self.reaches(node, Sort::Claim, asks)
            }
            ("", "persistentvolumeclaims") => get(Sort::Claim),
            ("", "persistentvolumes") => get(Sort::Volume),
            ("resource.k8s.io", "resourceclaims") => get(Sort::ResourceClaim),
            ("storage.k8s.io", "volumeattachments") => get(Sort::Attachment),
            ("", "serviceaccounts") => match asks.subresource {
                "token" => asks.verb == "create" && self.reaches(node, Sort::Account, asks),
                _ => get(Sort::Account),
            },
            ("coordination.k8s.io", "leases") => asks.namespace == LEASES && own(node, asks),
            ("storage.k8s.io", "csinodes") => asks.subresource.is_empty() && own(node, asks),
            ("resource.k8s.io", "resourceslices") => self.slice(node, asks),
            ("", "nodes") => node_object(node, asks),
            ("", "pods") => self.pod(node, asks),
            _ => RULES.iter().any(|rule| rule.permits(asks)),
        }
    }

    fn reaches(&self, node: &str, sort: Sort, asks: &Attributes<'_>) -> bool {
        let thing: Thing = (sort, Name::new(asks.namespace), Name::new(asks.name));
        !asks.name.is_empty() && self.0.graph.read().reaches(node, &thing)
    }

    fn slice(&self, node: &str, asks: &Attributes<'_>) -> bool {
        match asks.verb {
            _ if !asks.subresource.is_empty() => false,
            // Admission looks at the node that the new slice names.
            "create" => true,
            "get" | "update" | "patch" | "delete" => self.reaches(node, Sort::Slice, asks),
            "list" | "watch" | "deletecollection" => asks.selects("spec.nodeName", node),
            _ => false,
        }
    }

    fn pod(&self, node: &str, asks: &Attributes<'_>) -> bool {
        let runs = || {
            let place = (Name::new(asks.namespace), Name::new(asks.name));
            !asks.name.is_empty() && self.0.graph.read().runs(node, &place)
        };
        match (asks.subresource, asks.verb) {
            ("", "get") => runs(),
            ("", "list" | "watch") => asks.selects("spec.nodeName", node) || runs(),
            // Admission lets a node touch only its own pods.
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => true,
            _ => false,
        }
    }
}

/// An object of the node's own name; the name of a new one is checked by admission.
fn own(node: &str, asks: &Attributes<'_>) -> bool {
    match asks.verb {
        "create" => true,
        "get" | "update" | "patch" | "delete" => asks.name == node,
        _ => false,
    }
}

fn node_object(node: &str, asks: &Attributes<'_>) -> bool {
    match (asks.subresource, asks.verb) {
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => true,
        ("", "get" | "list" | "watch") => asks.name == node,
        _ => false,
    }
}
