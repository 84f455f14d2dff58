//! Replica sets: so many pods of one template.
//!
//! Follows `k8s.io/kubernetes/pkg/controller/replicaset`. Different: pods get their names here (made as the server makes
//! them from `generateName`), so that a creation whose answer was lost is tried again under the same name and never makes
//! a second pod.

mod plan;
pub(crate) mod rank;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use orc_core::labels::Selector;
use orc_core::{ApiError, Name, ObjectKey};
use orc_store::cache::Typed;
use orc_store::client::{DeleteOptions, Preconditions};
use orc_store::{Api, Env, Stored};
use parking_lot::Mutex;

use self::plan::{State, Write, plan};
use super::support::{AGAIN, Memory, PassError, Recorder, claim, filled, meta, next_at, pods};
use crate::{CacheSource, Controller, Next, Reconciler, service};

/// The index of objects that nobody controls, by namespace.
pub(crate) const ORPHANS: &str = "orphans";

/// The values of [`ORPHANS`].
pub(crate) fn orphan_of(stored: &Stored) -> Vec<String> {
    let orphan = stored.head.controller().is_none();
    orphan.then(|| stored.key.namespace_str().to_owned()).into_iter().collect()
}

/// The loop of replica sets.
pub fn replicaset(env: Env) -> Controller<ObjectKey> {
    let sets = env.caches.typed::<ReplicaSet>();
    let pods = env.caches.typed::<Pod>();
    pods.cache().add_index(ORPHANS, Arc::new(orphan_of));
    let of_pods = {
        let sets = sets.clone();
        move |pod: &Arc<Stored>| owners_of(pod, &sets)
    };
    let recorder = Recorder::new(&env, "replicaset-controller");
    let reconciler =
        Sets { env: env.clone(), sets, pods, memory: Memory::default(), failures: Mutex::default(), recorder };
    let (sets, pods) = (reconciler.sets.cache().clone(), reconciler.pods.cache().clone());
    Controller::new("replicaset-controller", &env, service(reconciler))
        .concurrency(5)
        .source(CacheSource::keys(sets))
        .source(CacheSource::new(pods, of_pods))
}

/// The replica sets that a pod concerns: its controller, or for an orphan those that select it.
fn owners_of(pod: &Arc<Stored>, sets: &Typed<ReplicaSet>) -> Vec<ObjectKey> {
    let key = |name: &str| ObjectKey {
        resource: orc_core::ResourceId::of::<ReplicaSet>(),
        namespace: pod.key.namespace.clone(),
        name: Name::new(name),
    };
    if let Some(owner) = pod.head.controller() {
        let ours = owner.kind == "ReplicaSet" && owner.api_version.starts_with("apps/");
        return ours.then(|| key(&owner.name)).into_iter().collect();
    }
    let selects = |set: &Arc<ReplicaSet>| {
        let selector = Selector::from_label_selector(set.spec.as_ref().map(|spec| &spec.selector));
        selector.is_ok_and(|selector| selector.matches(&pod.head.labels))
    };
    let near = sets.in_namespace(pod.key.namespace_str());
    near.iter().filter(|set| selects(set)).map(|set| key(meta::name(&set.metadata))).collect()
}

struct Sets {
    env: Env,
    sets: Typed<ReplicaSet>,
    pods: Typed<Pod>,
    memory: Memory,
    failures: Mutex<BTreeMap<ObjectKey, (&'static str, String)>>,
    recorder: Recorder,
}

#[async_trait]
impl Reconciler for Sets {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        filled(&[self.sets.cache(), self.pods.cache()]).await;
        self.memory.settle(&key).await?;
        let Some(set) = self.sets.get(&key) else {
            self.memory.forget(&key);
            self.failures.lock().remove(&key);
            return Ok(Next::Done);
        };
        let now = self.env.clock.now();
        let plan = plan(self.gather(&key, &set), now);
        if plan.writes.is_empty() {
            self.failures.lock().remove(&key);
        }
        if let Err(error) = self.write(&key, &set, &plan.writes).await {
            let failing = plan::plan(self.gather(&key, &set), now).status;
            self.report(&key, &set, failing).await?;
            return Err(error);
        }
        if !plan.writes.is_empty() {
            return Ok(AGAIN);
        }
        self.report(&key, &set, plan.status).await?;
        Ok(next_at(plan.wake, now))
    }
}

impl Sets {
    fn gather<'a>(&self, key: &ObjectKey, set: &'a ReplicaSet) -> State<'a> {
        let pods = self.pods.snapshot();
        let mut candidates = pods.by_owner(meta::uid(&set.metadata));
        let names = candidates.iter().map(|pod| meta::name(&pod.metadata)).collect();
        self.memory.seen(key, &names);
        candidates.extend(pods.by_index(ORPHANS, key.namespace_str()));
        let alive = candidates.iter().filter(|pod| pods::is_active(pod)).map(|pod| meta::uid(&pod.metadata)).collect();
        let leaving = self.memory.leaving(key, &alive);
        let failure = self.failures.lock().get(key).cloned();
        State { set, neighbours: self.neighbours(set), candidates, leaving, failure }
    }

    /// Active pods of all replica sets of the same owner, by node.
    fn neighbours(&self, set: &ReplicaSet) -> BTreeMap<String, usize> {
        let related = match meta::controller(&set.metadata) {
            Some(owner) => {
                self.sets.by_owner(&owner.uid).iter().map(|set| meta::uid(&set.metadata).to_owned()).collect()
            }
            None => BTreeSet::from([meta::uid(&set.metadata).to_owned()]),
        };
        let pods = self.pods.snapshot();
        let mut counts = BTreeMap::new();
        for pod in related.iter().flat_map(|uid: &String| pods.by_owner(uid)).filter(|pod| pods::is_active(pod)) {
            *counts.entry(pods::node(&pod).to_owned()).or_default() += 1;
        }
        counts
    }

    fn api(&self, key: &ObjectKey) -> Api<Pod> {
        Api::namespaced(self.env.client.clone(), key.namespace_str())
    }

    async fn write(&self, key: &ObjectKey, set: &ReplicaSet, writes: &[Write]) -> Result<(), PassError> {
        let mut checked = false;
        for write in writes {
            let changed = match write {
                Write::Create(count) => return self.create(key, set, *count).await,
                Write::Delete(_) => return self.delete(key, set, writes).await,
                Write::Release(pod) => claim::release(&self.api(key), &**pod, meta::uid(&set.metadata)).await,
                Write::Adopt(pod) => {
                    if !checked {
                        self.may_adopt(key, set).await?;
                        checked = true;
                    }
                    claim::adopt(&self.api(key), &**pod, meta::controller_reference(set)).await
                }
            };
            match changed {
                Err(error) if error.is_not_found() => {}
                changed => self.memory.wrote(key, self.pods.cache(), changed?.metadata.resource_version.as_deref()),
            }
        }
        Ok(())
    }

    /// Adopts only for a set that is really there: a cache may show one that was deleted, or replaced by its namesake.
    async fn may_adopt(&self, key: &ObjectKey, set: &ReplicaSet) -> Result<(), PassError> {
        let sets: Api<ReplicaSet> = Api::namespaced(self.env.client.clone(), key.namespace_str());
        let fresh = sets.get(&key.name).await?;
        if fresh.metadata.uid != set.metadata.uid || meta::is_terminating(&fresh.metadata) {
            return Err(PassError::Wait("the replica set is gone or going".to_owned()));
        }
        Ok(())
    }

    /// Creates pods in batches of 1, 2, 4, ...: when the first is refused (by a quota, say), the others are not tried.
    async fn create(&self, key: &ObjectKey, set: &ReplicaSet, count: usize) -> Result<(), PassError> {
        let prefix = format!("{}-", key.name);
        let names = self.memory.names(key, count, || self.env.ids.generate(&prefix));
        let mut rest = names.as_slice();
        let mut batch = 1;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(batch.min(rest.len()));
            let done = join_all(now.iter().map(|name| self.create_one(key, set, name, &prefix))).await;
            if let Some(error) = done.into_iter().find_map(Result::err) {
                for name in later {
                    self.memory.decided(key, name);
                }
                // A name in doubt is settled by the cache; it is no failure to tell.
                if !error.is_already_exists() && !meta::namespace_is_ending(&error) {
                    self.failures.lock().entry(key.clone()).or_insert(("FailedCreate", error.to_string()));
                }
                return Err(error.into());
            }
            (rest, batch) = (later, batch * 2);
        }
        self.failures.lock().remove(key);
        Ok(())
    }

    async fn create_one(&self, key: &ObjectKey, set: &ReplicaSet, name: &str, prefix: &str) -> Result<(), ApiError> {
        let template = set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
        let pod = pods::of_template(&template, key.namespace_str(), name, prefix, meta::controller_reference(set));
        let error = match self.api(key).create(&pod).await {
            Ok(made) => {
                self.memory.wrote(key, self.pods.cache(), made.metadata.resource_version.as_deref());
                self.memory.decided(key, name);
                self.recorder.normal(set, "SuccessfulCreate", format!("Created pod: {name}"));
                return Ok(());
            }
            Err(error) => error,
        };
        if error.is_already_exists() {
            // Made by an earlier try, or somebody else's: the cache shows which. Until then the name stays in doubt.
            let shown = self.pods.cache().get(&self.api(key).key(name));
            if shown.is_some() {
                self.memory.decided(key, name);
            }
            return Err(error);
        }
        if !meta::is_uncertain(&error) {
            self.memory.decided(key, name);
        }
        // No pass after this one: it would be refused as well, and at once.
        if meta::namespace_is_ending(&error) {
            return Err(error);
        }
        self.recorder.warning(set, "FailedCreate", format!("Error creating: {error}"));
        Err(error)
    }

    async fn delete(&self, key: &ObjectKey, set: &ReplicaSet, writes: &[Write]) -> Result<(), PassError> {
        let victims = writes.iter().filter_map(|write| if let Write::Delete(pod) = write { Some(pod) } else { None });
        let done = join_all(victims.map(|pod| self.delete_one(key, set, pod))).await;
        match done.into_iter().find_map(Result::err) {
            None => {
                self.failures.lock().remove(key);
                Ok(())
            }
            Some(error) => {
                self.failures.lock().entry(key.clone()).or_insert(("FailedDelete", error.to_string()));
                Err(error.into())
            }
        }
    }

    async fn delete_one(&self, key: &ObjectKey, set: &ReplicaSet, pod: &Pod) -> Result<(), ApiError> {
        let preconditions = Preconditions { uid: pod.metadata.uid.clone(), revision: None };
        let options = DeleteOptions { preconditions, ..DeleteOptions::default() };
        let name = meta::name(&pod.metadata);
        match self.api(key).delete(name, options).await {
            Ok(()) => {
                self.memory.deleted(key, meta::uid(&pod.metadata));
                self.recorder.normal(set, "SuccessfulDelete", format!("Deleted pod: {name}"));
                Ok(())
            }
            Err(error) if error.is_not_found() => {
                self.memory.deleted(key, meta::uid(&pod.metadata));
                Ok(())
            }
            // Another pod stands under its name, or somebody was faster: the cache will tell.
            Err(error) if error.is_conflict() => Err(error),
            Err(error) => {
                self.recorder.warning(set, "FailedDelete", format!("Error deleting: {error}"));
                Err(error)
            }
        }
    }

    async fn report(
        &self,
        key: &ObjectKey,
        set: &ReplicaSet,
        status: Option<ReplicaSetStatus>,
    ) -> Result<(), PassError> {
        let Some(status) = status else { return Ok(()) };
        let sets: Api<ReplicaSet> = Api::namespaced(self.env.client.clone(), key.namespace_str());
        let next = ReplicaSet { status: Some(status), ..set.clone() };
        match sets.replace_status(&next).await {
            Ok(written) => self.memory.wrote(key, self.sets.cache(), written.metadata.resource_version.as_deref()),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
