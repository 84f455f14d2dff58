//! Daemon sets: one pod on each node that is wanted.
//!
//! Follows `k8s.io/kubernetes/pkg/controller/daemon`. A pass costs the nodes and the set's own pods; heartbeats of nodes cause
//! none: only nodes that come, go, or change labels or taints do.

mod place;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::{Node, Pod};
use orc_core::ObjectKey;
use orc_store::cache::{CacheEvent, Typed};
use orc_store::{Api, Env, Stored};
use parking_lot::Mutex;

use self::plan::{State, Write, plan};
use super::history;
use super::support::workload::{self, ORPHANS, Pods, orphan_of, owners_of, selector_of};
use super::support::{AGAIN, PassError, filled, meta, next_at, pods};
use crate::{CacheSource, Controller, FnSource, Next, Reconciler, Sink, service};

/// The wait before a node's second failed pod in a row is deleted; it doubles.
const BACKOFF: Duration = Duration::from_secs(1);
/// The longest wait; after twice that without a failure, a node begins anew.
const LONGEST: Duration = Duration::from_secs(900);

/// The loop of daemon sets.
pub fn daemon_set(env: Env) -> Controller<ObjectKey> {
    let sets = env.caches.typed::<DaemonSet>();
    let nodes = env.caches.typed::<Node>();
    let revisions = env.caches.typed::<ControllerRevision>();
    revisions.cache().add_index(ORPHANS, Arc::new(orphan_of));
    let pods = Pods::new(&env, "daemonset-controller");
    let owners = |sets: Typed<DaemonSet>| {
        move |object: &Arc<Stored>| {
            owners_of(object, &sets, |set| selector_of(set.spec.as_ref().map(|spec| &spec.selector)))
        }
    };
    let caches = (sets.cache().clone(), pods.pods.cache().clone(), revisions.cache().clone());
    let of_nodes = {
        let (sets, nodes) = (sets.clone(), nodes.clone());
        move |sink| watch_nodes(sets, nodes, sink)
    };
    let daemons = Daemons { sets: sets.clone(), nodes, revisions, pods, failures: Mutex::default() };
    Controller::new("daemon-set-controller", &env, service(daemons))
        .concurrency(2)
        .source(CacheSource::keys(caches.0))
        .source(CacheSource::new(caches.1, owners(sets.clone())))
        .source(CacheSource::new(caches.2, owners(sets)))
        .source(FnSource(of_nodes))
}

/// Adds all sets when a node matters in another way than before.
async fn watch_nodes(sets: Typed<DaemonSet>, nodes: Typed<Node>, sink: Sink<ObjectKey>) {
    let (_, mut changes) = nodes.cache().subscribe();
    while let Some(event) = changes.next().await {
        let matters = match event {
            CacheEvent::Lagged => true,
            CacheEvent::Changed(change) => match (&change.before, &change.after) {
                (Some(before), Some(after)) => facts(before) != facts(after),
                _ => true,
            },
        };
        if matters {
            let snapshot = sets.cache().snapshot();
            sink.add_all(snapshot.iter().map(|set| set.key.clone()));
        }
    }
}

/// What of a node decides about pods.
fn facts(node: &Stored) -> (orc_core::labels::Labels, Option<Vec<k8s_openapi::api::core::v1::Taint>>) {
    let taints = node.view::<Node>().ok().and_then(|node| node.spec.as_ref()?.taints.clone());
    (node.head.labels.clone(), taints)
}

/// Failures in a row by node, and when the last one was.
type Failures = BTreeMap<String, (u32, Timestamp)>;

struct Daemons {
    sets: Typed<DaemonSet>,
    nodes: Typed<Node>,
    revisions: Typed<ControllerRevision>,
    pods: Pods,
    /// How many pods of a set failed on a node in a row, and when the last of them was deleted.
    failures: Mutex<BTreeMap<ObjectKey, Failures>>,
}

#[async_trait]
impl Reconciler for Daemons {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        filled(&[self.sets.cache(), self.nodes.cache(), self.pods.pods.cache(), self.revisions.cache()]).await;
        self.pods.memory.settle(&key).await?;
        let Some(set) = self.sets.get(&key) else {
            self.pods.memory.forget(&key);
            self.failures.lock().remove(&key);
            return Ok(Next::Done);
        };
        let (candidates, leaving) = self.pods.candidates(&key, meta::uid(&set.metadata));
        let snapshot = self.revisions.snapshot();
        let mut revisions = snapshot.by_owner(meta::uid(&set.metadata));
        revisions.extend(snapshot.by_index(ORPHANS, key.namespace_str()));
        let api: Api<ControllerRevision> = Api::namespaced(self.pods.env.client.clone(), key.namespace_str());
        let taken = |name: &str| snapshot.get(&api.key(name)).is_some();
        let now = self.pods.env.clock.now();
        let (nodes, held) = (self.nodes.list(), self.held(&key, now));
        let plan = plan(State { set: &set, candidates, leaving, revisions, taken: &taken, nodes, held }, now);
        let next = plan.status.map(|status| DaemonSet { status: Some(status), ..DaemonSet::clone(&set) });
        workload::report(&self.pods.env, &self.pods.memory, &key, &self.sets, next).await?;
        if plan.writes.is_empty() {
            return Ok(next_at(plan.wake, now));
        }
        self.write(&key, &set, plan.writes).await?;
        Ok(AGAIN)
    }
}

impl Daemons {
    /// Until when the failed pods of a set's nodes stay.
    fn held(&self, key: &ObjectKey, now: Timestamp) -> BTreeMap<String, Timestamp> {
        let mut failures = self.failures.lock();
        let Some(nodes) = failures.get_mut(key) else { return BTreeMap::new() };
        nodes.retain(|_, (_, at)| now.duration_since(*at).unsigned_abs() < LONGEST * 2);
        let until = |(count, at): &(u32, Timestamp)| {
            let wait = BACKOFF.saturating_mul(1 << (count - 1).min(10)).min(LONGEST);
            at.checked_add(wait).unwrap_or(*at)
        };
        nodes.iter().map(|(node, failure)| (node.clone(), until(failure))).collect()
    }

    fn cleared(&self, key: &ObjectKey, set: &DaemonSet, pod: &Pod, node: &str) {
        let who = format!("{}/{} on node {node}", key.namespace_str(), meta::name(&pod.metadata));
        if pods::phase(pod) != "Failed" {
            let text = format!("Found succeeded daemon pod {who}, will try to delete it");
            return self.pods.recorder.normal(set, "SucceededDaemonPod", text);
        }
        self.pods.recorder.warning(
            set,
            "FailedDaemonPod",
            format!("Found failed daemon pod {who}, will try to kill it"),
        );
        let now = self.pods.env.clock.now();
        let mut failures = self.failures.lock();
        let failure = failures.entry(key.clone()).or_default().entry(node.to_owned()).or_insert((0, now));
        *failure = (failure.0.saturating_add(1), now);
    }

    async fn write(&self, key: &ObjectKey, set: &DaemonSet, writes: Vec<Write>) -> Result<(), PassError> {
        let (mut adopt, mut create, mut delete) = (Vec::new(), Vec::new(), Vec::new());
        for write in writes {
            match write {
                Write::Adopt(pod) => adopt.push(pod),
                Write::Release(pod) => self.pods.release(key, meta::uid(&set.metadata), &pod).await?,
                Write::Revision(write) => {
                    history::write(&self.pods.env, &self.pods.memory, key, set, &self.revisions, &write).await?;
                }
                Write::Create(pod) => create.push(*pod),
                Write::Delete(pod) => delete.push(pod),
                Write::Clear(pod, node) => {
                    self.cleared(key, set, &pod, &node);
                    delete.push(pod);
                }
            }
        }
        self.pods.adopt(key, set, &adopt).await?;
        // A quota that is used up must not keep what is to go.
        self.pods.delete(key, set, &delete).await?;
        self.pods.create(key, set, create).await
    }
}
