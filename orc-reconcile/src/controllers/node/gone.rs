//! Pods of nodes that no longer exist: deleted by force, as nobody is left to stop them. Follows `pkg/controller/podgc`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use orc_core::ObjectKey;
use orc_store::cache::Typed;
use orc_store::client::{DeleteOptions, Preconditions};
use orc_store::{Api, Env, Stored};
use parking_lot::Mutex;

use super::{ON_NODE, key_of, node_of, pods_by_node};
use crate::controllers::support::{PassError, filled, meta, next_at};
use crate::{CacheSource, Controller, Next, Reconciler, service};

/// How long a node must be missing: one that registers anew under its name keeps its pods. Upstream's.
const QUARANTINE: Duration = Duration::from_secs(40);

/// The loop that deletes pods of nodes that are gone.
pub fn pod_garbage_collector(env: Env) -> Controller<ObjectKey> {
    let nodes = env.caches.typed::<Node>();
    let pods = pods_by_node(&env);
    let homeless = {
        let nodes = nodes.clone();
        move |pod: &Arc<Stored>| {
            let home = node_of(pod).map(key_of).filter(|key| nodes.cache().get(key).is_none());
            home.into_iter().collect()
        }
    };
    let sources = (CacheSource::keys(nodes.cache().clone()), CacheSource::new(pods.cache().clone(), homeless));
    let reconciler = Gone { env: env.clone(), nodes, pods, since: Mutex::default() };
    Controller::new("pod-garbage-collector", &env, service(reconciler)).source(sources.0).source(sources.1)
}

struct Gone {
    env: Env,
    nodes: Typed<Node>,
    pods: Typed<Pod>,
    since: Mutex<BTreeMap<ObjectKey, Timestamp>>,
}

#[async_trait]
impl Reconciler for Gone {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        filled(&[self.nodes.cache(), self.pods.cache()]).await;
        let left = self.pods.by_index(ON_NODE, &key.name);
        if self.nodes.cache().get(&key).is_some() || left.is_empty() {
            self.since.lock().remove(&key);
            return Ok(Next::Done);
        }
        let now = self.env.clock.now();
        let since = *self.since.lock().entry(key.clone()).or_insert(now);
        let due = since.checked_add(QUARANTINE).unwrap_or(Timestamp::MAX);
        if due > now {
            return Ok(next_at(Some(due), now));
        }
        // The cache may be behind: the node counts as gone only after a live read.
        if Api::<Node>::all(self.env.client.clone()).get_opt(&key.name).await?.is_some() {
            return Ok(Next::After(QUARANTINE));
        }
        for pod in left {
            let api: Api<Pod> = Api::namespaced(self.env.client.clone(), meta::namespace(&pod.metadata));
            let preconditions = Preconditions { uid: pod.metadata.uid.clone(), revision: None };
            let options = DeleteOptions { grace_seconds: Some(0), preconditions, ..DeleteOptions::default() };
            match api.delete(meta::name(&pod.metadata), options).await {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        Ok(Next::Done)
    }
}
