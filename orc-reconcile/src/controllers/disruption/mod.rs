//! Pod disruption budgets: how many pods may be evicted now.
//!
//! Follows `k8s.io/kubernetes/pkg/controller/disruption`. The scale of what made the pods comes from caches for the built-in
//! kinds, and from `GET scale` for others.

mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use orc_core::labels::Selector;
use orc_core::{Name, Object, ObjectKey, ResourceId};
use orc_store::cache::Typed;
use orc_store::client::{Gotten, ReadOptions, Subresource, Target};
use orc_store::{Env, Stored};

use self::plan::{State, needs_scale, plan};
use super::Kinds;
use super::support::workload::{report, selector_of};
use super::support::{Memory, PassError, Recorder, filled, meta, next_at};
use crate::{CacheSource, Controller, Next, Reconciler, service};

/// The loop of disruption budgets. `kinds` tells where the scale of a kind is.
pub fn disruption(env: Env, kinds: Kinds) -> Controller<ObjectKey> {
    let budgets = env.caches.typed::<PodDisruptionBudget>();
    let pods = env.caches.typed::<Pod>();
    let of_pods = {
        let budgets = budgets.clone();
        move |pod: &Arc<Stored>| {
            let near = budgets.in_namespace(pod.key.namespace_str());
            let selects = |budget: &&Arc<PodDisruptionBudget>| selector(budget).matches(&pod.head.labels);
            near.iter().filter(selects).map(|budget| key_of(budget)).collect()
        }
    };
    let near = |budgets: &Typed<PodDisruptionBudget>| {
        let budgets = budgets.clone();
        move |owner: &Arc<Stored>| {
            let near = budgets.in_namespace(owner.key.namespace_str());
            near.iter().filter(|budget| needs_scale(budget)).map(|budget| key_of(budget)).collect()
        }
    };
    let recorder = Recorder::new(&env, "controllermanager");
    let reconciler = Budgets {
        sets: env.caches.typed(),
        deployments: env.caches.typed(),
        stateful: env.caches.typed(),
        controllers: env.caches.typed(),
        env: env.clone(),
        budgets: budgets.clone(),
        pods: pods.clone(),
        kinds,
        memory: Memory::default(),
        recorder,
    };
    let scales = [
        reconciler.sets.cache().clone(),
        reconciler.deployments.cache().clone(),
        reconciler.stateful.cache().clone(),
        reconciler.controllers.cache().clone(),
    ];
    let controller = Controller::new("disruption-controller", &env, service(reconciler))
        .source(CacheSource::keys(budgets.cache().clone()))
        .source(CacheSource::new(pods.cache().clone(), of_pods));
    scales.into_iter().fold(controller, |all, cache| all.source(CacheSource::new(cache, near(&budgets))))
}

fn key_of(budget: &PodDisruptionBudget) -> ObjectKey {
    ObjectKey::of(budget)
}

fn selector(budget: &PodDisruptionBudget) -> Selector {
    selector_of(budget.spec.as_ref().and_then(|spec| spec.selector.as_ref()))
}

struct Budgets {
    env: Env,
    budgets: Typed<PodDisruptionBudget>,
    pods: Typed<Pod>,
    sets: Typed<ReplicaSet>,
    deployments: Typed<Deployment>,
    stateful: Typed<StatefulSet>,
    controllers: Typed<ReplicationController>,
    kinds: Kinds,
    memory: Memory,
    recorder: Recorder,
}

#[async_trait]
impl Reconciler for Budgets {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        let caches = [self.sets.cache(), self.deployments.cache(), self.stateful.cache(), self.controllers.cache()];
        filled(&[self.budgets.cache(), self.pods.cache()]).await;
        filled(&caches).await;
        self.memory.settle(&key).await?;
        let Some(budget) = self.budgets.get(&key) else {
            self.memory.forget(&key);
            return Ok(Next::Done);
        };
        let none = BTreeMap::new();
        let selector = selector(&budget);
        let mut pods = self.pods.in_namespace(key.namespace_str());
        pods.retain(|pod| selector.matches(pod.metadata.labels.as_ref().unwrap_or(&none)));
        if pods.is_empty() {
            self.recorder.normal(&*budget, "NoPods", "No matching pods found".to_owned());
        }
        let scale = if needs_scale(&budget) { self.scale(&budget, &pods).await } else { Ok(0) };
        let now = self.env.clock.now();
        let outcome = plan(State { budget: &budget, pods, scale }, now);
        for pod in &outcome.undeleted {
            let text =
                format!("Pod was expected by PDB {}/{} to be deleted but it wasn't", key.namespace_str(), key.name);
            self.recorder.warning(&**pod, "NotDeleted", text);
        }
        let changed = budget.status.as_ref() != Some(&outcome.status);
        let next = PodDisruptionBudget { status: Some(outcome.status), ..PodDisruptionBudget::clone(&budget) };
        report(&self.env, &self.memory, &key, &self.budgets, changed.then_some(next)).await?;
        match outcome.failure {
            None => Ok(next_at(outcome.wake, now)),
            Some(failure) => {
                let text = format!("Failed to calculate the number of expected pods: {failure}");
                self.recorder.warning(&*budget, "CalculateExpectedPodCountFailed", text);
                Err(PassError::Wait(failure))
            }
        }
    }
}

impl Budgets {
    /// The summed scale of the pods' controllers, each counted once.
    async fn scale(&self, budget: &PodDisruptionBudget, pods: &[Arc<Pod>]) -> Result<i32, String> {
        let mut scales = BTreeMap::new();
        let mut unmanaged = false;
        for pod in pods {
            let Some(owner) = meta::controller(&pod.metadata) else {
                unmanaged = true;
                continue;
            };
            if scales.contains_key(&owner.uid) {
                continue;
            }
            let namespace = meta::namespace(&pod.metadata);
            let found = self.of_owner(namespace, owner).await?;
            let Some((uid, scale)) = found else {
                return Err(format!("found no controllers for pod {:?}", meta::name(&pod.metadata)));
            };
            // What stands behind a replica set is its deployment, whose scale holds for all of its sets.
            scales.insert(owner.uid.clone(), (uid, scale));
        }
        if unmanaged {
            let text = "Pods selected by this PodDisruptionBudget were found to be unmanaged. As a result, the status of the \
                PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please \
                set \".spec.minAvailable\" field of the PDB to an integer value.";
            self.recorder.warning(budget, "UnmanagedPods", text.to_owned());
        }
        let by_root: BTreeMap<String, i32> = scales.into_values().collect();
        Ok(by_root.values().fold(0, |sum, scale| sum.saturating_add(*scale)))
    }

    /// The uid and scale of what stands behind a controller.
    async fn of_owner(&self, namespace: &str, owner: &OwnerReference) -> Result<Option<(String, i32)>, String> {
        let (group, version) = owner.api_version.split_once('/').unwrap_or(("", &owner.api_version));
        match (group, &*owner.kind) {
            ("apps", "ReplicaSet") => {
                let Some(set) = find(&self.sets, namespace, owner) else { return Ok(None) };
                let root = meta::controller(&set.metadata).filter(|root| root.kind == "Deployment");
                if let Some(deployment) = root.and_then(|root| find(&self.deployments, namespace, root)) {
                    let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
                    return Ok(Some((meta::uid(&deployment.metadata).to_owned(), replicas)));
                }
                Ok(Some((owner.uid.clone(), set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1))))
            }
            ("apps", "StatefulSet") => Ok(find(&self.stateful, namespace, owner)
                .map(|set| (owner.uid.clone(), set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)))),
            ("", "ReplicationController") => Ok(find(&self.controllers, namespace, owner)
                .map(|set| (owner.uid.clone(), set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)))),
            _ => self.of_scale(namespace, owner, group, version).await,
        }
    }

    /// Asks the scale of a kind that this loop does not know.
    async fn of_scale(
        &self,
        namespace: &str,
        owner: &OwnerReference,
        group: &str,
        version: &str,
    ) -> Result<Option<(String, i32)>, String> {
        let kinds = (self.kinds)();
        let Some(served) = kinds.by_kind(group, version, &owner.kind) else { return Ok(None) };
        let version = served.version();
        if !version.subresources.iter().any(|sub| sub.name == "scale") {
            return Err(format!("{} {:?} does not implement the scale subresource", owner.kind, owner.name));
        }
        let Some(resource) = served.info.id.clone() else { return Ok(None) };
        let key = ObjectKey { resource, namespace: Some(Name::new(namespace)), name: Name::new(&owner.name) };
        let target = Target::Named(key, Some(Subresource::SCALE));
        let read = self.env.client.get(&target, &ReadOptions::default()).await;
        let doc = match read {
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.to_string()),
            Ok(Gotten::Made(doc)) => doc,
            Ok(Gotten::Stored(stored)) => stored.to_doc().map_err(|error| error.to_string())?,
        };
        let uid = doc.at(&["metadata", "uid"]).and_then(|uid| uid.as_str());
        let replicas = doc.at(&["spec", "replicas"]).and_then(serde_json::Value::as_i64).unwrap_or_default();
        let same = uid.is_none_or(|uid| uid == owner.uid);
        Ok(same.then(|| (owner.uid.clone(), i32::try_from(replicas).unwrap_or(i32::MAX))))
    }
}

/// The owner itself, not its namesake.
fn find<K: Object>(cache: &Typed<K>, namespace: &str, owner: &OwnerReference) -> Option<Arc<K>>
where
    K::DynamicType: Default,
{
    let found = cache.get(&ObjectKey::namespaced(ResourceId::of::<K>(), namespace, &*owner.name))?;
    (meta::uid(found.meta()) == owner.uid).then_some(found)
}
