//! Reads a cluster into an engine.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use orc_core::{ApiError, ResourceId};
use orc_sched::engine::Event;
use orc_sched::{Engine, NodeInfo, PodInfo, facts};
use orc_store::client::{ListOptions, Listing, Scope};
use orc_store::{ObjectClient, Stored};

/// What scheduling reads beside nodes and pods.
const FACTS: [&str; 14] = [
    "namespaces",
    "services",
    "replicationcontrollers",
    "replicasets.apps",
    "statefulsets.apps",
    "poddisruptionbudgets.policy",
    "persistentvolumeclaims",
    "persistentvolumes",
    "storageclasses.storage.k8s.io",
    "csinodes.storage.k8s.io",
    "csistoragecapacities.storage.k8s.io",
    "resourceclaims.resource.k8s.io",
    "resourceslices.resource.k8s.io",
    "deviceclasses.resource.k8s.io",
];

/// Puts everything but the pod itself into the engine. Returns what could not be read: a person may not read all kinds, and a
/// cluster may not serve them.
///
/// # Errors
/// When nodes or pods cannot be read, without which there is nothing to explain.
pub async fn read(client: &Arc<dyn ObjectClient>, engine: &mut Engine, pod: &PodInfo) -> anyhow::Result<Vec<String>> {
    for stored in list(client, "nodes").await?.items {
        let node = stored.view::<Node>()?;
        engine.apply(&Event::Node(Arc::new(NodeInfo::of(&node))));
    }
    let mut missing = Vec::new();
    for resource in FACTS {
        match list(client, resource).await {
            Ok(listing) => listing.items.iter().try_for_each(|stored| fact(engine, stored))?,
            Err(error) if matches!(error.code(), 403 | 404) => missing.push(format!("{resource}: {error}")),
            Err(error) => return Err(error.into()),
        }
    }
    for stored in list(client, "pods").await?.items {
        let other = stored.view::<Pod>()?;
        let other = Arc::new(PodInfo::of(&other));
        if other.uid == pod.uid || other.ended {
            continue;
        }
        match (&other.node, &other.nominated) {
            (Some(_), _) => drop(engine.apply(&Event::Pod(other))),
            (None, Some(node)) => {
                engine.nominate(&other, &node.clone());
            }
            (None, None) => {}
        }
    }
    Ok(missing)
}

async fn list(client: &Arc<dyn ObjectClient>, resource: &str) -> Result<Listing, ApiError> {
    client.list(&Scope::all(ResourceId::parse(resource)), &ListOptions::default()).await
}

fn fact(engine: &mut Engine, stored: &Stored) -> anyhow::Result<()> {
    if let Some((key, fact)) = facts::of(&stored.key, &serde_json::from_slice(&stored.body)?)? {
        engine.apply(&Event::Fact(key, fact));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use orc_core::ObjectKey;

    #[test]
    fn all_of_them_are_facts() {
        for resource in FACTS {
            assert!(facts::gone(&ObjectKey::cluster(ResourceId::parse(resource), "x")).is_some(), "{resource}");
        }
    }
}
