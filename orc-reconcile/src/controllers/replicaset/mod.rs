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
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use orc_core::{ApiError, Object, ObjectKey};
use orc_store::cache::Typed;
use orc_store::{Api, Env, Stored};
use parking_lot::Mutex;

use self::plan::{State, Write, plan};
use super::support::workload::{Pods, may_adopt, owners_of, selector_of};
use super::support::{AGAIN, Memory, PassError, Recorder, abreast, claim, filled, meta, next_at, pods};
use crate::{CacheSource, Controller, Next, Reconciler, service};

pub(crate) use super::support::workload::{ORPHANS, orphan_of};

/// A kind that keeps so many pods of one template, as this core sees it.
pub(crate) trait Replicated: Object<DynamicType = ()> {
    /// The loop's name.
    const LOOP: &str;
    /// The object as a replica set. Must keep its metadata.
    fn as_set(&self) -> ReplicaSet;
    /// Whether the kind shows no difference between two states.
    fn same_status(before: &ReplicaSetStatus, after: &ReplicaSetStatus) -> bool {
        before == after
    }
    /// The object with a new status.
    fn with_status(&self, status: ReplicaSetStatus) -> Self;
}

impl Replicated for ReplicaSet {
    const LOOP: &str = "replicaset-controller";
    fn as_set(&self) -> ReplicaSet {
        self.clone()
    }
    fn with_status(&self, status: ReplicaSetStatus) -> Self {
        Self { status: Some(status), ..self.clone() }
    }
}

/// The loop of replica sets.
pub fn replicaset(env: Env) -> Controller<ObjectKey> {
    replicated::<ReplicaSet>(env)
}

/// The loop of a kind.
pub(crate) fn replicated<K: Replicated>(env: Env) -> Controller<ObjectKey> {
    let sets = env.caches.typed::<K>();
    let pods = env.caches.typed::<Pod>();
    pods.cache().add_index(ORPHANS, Arc::new(orphan_of));
    let of_pods = {
        let sets = sets.clone();
        move |pod: &Arc<Stored>| {
            let selector = |set: &K| selector_of(set.as_set().spec.as_ref().map(|spec| &spec.selector));
            owners_of(pod, &sets, selector)
        }
    };
    let recorder = Recorder::new(&env, K::LOOP);
    let reconciler = Sets {
        sets,
        work: Pods { env: env.clone(), pods, memory: Memory::default(), recorder },
        failures: Mutex::default(),
    };
    let (sets, pods) = (reconciler.sets.cache().clone(), reconciler.work.pods.cache().clone());
    Controller::new(K::LOOP, &env, service(reconciler))
        .concurrency(5)
        .source(CacheSource::keys(sets))
        .source(CacheSource::new(pods, of_pods))
}

struct Sets<K: Object> {
    sets: Typed<K>,
    work: Pods,
    failures: Mutex<BTreeMap<ObjectKey, (&'static str, String)>>,
}

#[async_trait]
impl<K: Replicated> Reconciler for Sets<K> {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        filled(&[self.sets.cache(), self.work.pods.cache()]).await;
        self.work.memory.settle(&key).await?;
        let Some(set) = self.sets.get(&key) else {
            self.work.memory.forget(&key);
            self.failures.lock().remove(&key);
            return Ok(Next::Done);
        };
        let now = self.work.env.clock.now();
        let view = set.as_set();
        let plan = plan(self.gather(&key, &view), now);
        if plan.writes.is_empty() {
            self.failures.lock().remove(&key);
        }
        if let Err(error) = self.write(&key, &set, &plan.writes).await {
            let failing = plan::plan(self.gather(&key, &view), now).status;
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

impl<K: Replicated> Sets<K> {
    fn gather<'a>(&self, key: &ObjectKey, set: &'a ReplicaSet) -> State<'a> {
        let pods = self.work.pods.snapshot();
        let mut candidates = pods.by_owner(meta::uid(&set.metadata));
        let names = candidates.iter().map(|pod| meta::name(&pod.metadata)).collect();
        self.work.memory.seen(key, &names);
        candidates.extend(pods.by_index(ORPHANS, key.namespace_str()));
        let alive = candidates.iter().filter(|pod| pods::is_active(pod)).map(|pod| meta::uid(&pod.metadata)).collect();
        let leaving = self.work.memory.leaving(key, &alive);
        let failure = self.failures.lock().get(key).cloned();
        State { set, neighbours: self.neighbours(set), candidates, leaving, failure }
    }

    /// Active pods of all replica sets of the same owner, by node.
    fn neighbours(&self, set: &ReplicaSet) -> BTreeMap<String, usize> {
        let related = match meta::controller(&set.metadata) {
            Some(owner) => self.sets.by_owner(&owner.uid).iter().map(|set| meta::uid(set.meta()).to_owned()).collect(),
            None => BTreeSet::from([meta::uid(&set.metadata).to_owned()]),
        };
        let pods = self.work.pods.snapshot();
        let mut counts = BTreeMap::new();
        for pod in related.iter().flat_map(|uid: &String| pods.by_owner(uid)).filter(|pod| pods::is_active(pod)) {
            *counts.entry(pods::node(&pod).to_owned()).or_default() += 1;
        }
        counts
    }

    async fn write(&self, key: &ObjectKey, set: &K, writes: &[Write]) -> Result<(), PassError> {
        let mut checked = false;
        for write in writes {
            let changed = match write {
                Write::Create(count) => return self.create(key, set, *count).await,
                Write::Delete(_) => return self.delete(key, set, writes).await,
                Write::Release(pod) => claim::release(&self.work.api(key), &**pod, meta::uid(set.meta())).await,
                Write::Adopt(pod) => {
                    if !checked {
                        may_adopt(&self.work.env, key, set).await?;
                        checked = true;
                    }
                    claim::adopt(&self.work.api(key), &**pod, meta::controller_reference(set)).await
                }
            };
            match changed {
                Err(error) if error.is_not_found() => {}
                changed => {
                    self.work.memory.wrote(key, self.work.pods.cache(), changed?.metadata.resource_version.as_deref())
                }
            }
        }
        Ok(())
    }

    /// Creates pods in batches of 1, 2, 4, ...: when the first is refused (by a quota, say), the others are not tried.
    async fn create(&self, key: &ObjectKey, set: &K, count: usize) -> Result<(), PassError> {
        let prefix = format!("{}-", key.name);
        let names = self.work.memory.names(key, count, || self.work.env.ids.generate(&prefix));
        let mut rest = names.as_slice();
        let mut batch = 1;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(batch.min(rest.len()));
            let done = abreast(now.iter().map(|name| self.create_one(key, set, name, &prefix))).await;
            if let Some(error) = done.into_iter().find_map(Result::err) {
                for name in later {
                    self.work.memory.decided(key, name);
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

    async fn create_one(&self, key: &ObjectKey, set: &K, name: &str, prefix: &str) -> Result<(), ApiError> {
        let template = set.as_set().spec.and_then(|spec| spec.template).unwrap_or_default();
        let pod = pods::of_template(&template, key.namespace_str(), name, prefix, meta::controller_reference(set));
        self.work.create_one(key, set, &pod).await
    }

    async fn delete(&self, key: &ObjectKey, set: &K, writes: &[Write]) -> Result<(), PassError> {
        let victims = writes.iter().filter_map(|write| if let Write::Delete(pod) = write { Some(pod) } else { None });
        let done = abreast(victims.map(|pod| self.work.delete_one(key, set, pod))).await;
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

    async fn report(&self, key: &ObjectKey, set: &K, status: Option<ReplicaSetStatus>) -> Result<(), PassError> {
        let before = set.as_set().status;
        let changed = |after: &ReplicaSetStatus| before.as_ref().is_none_or(|before| !K::same_status(before, after));
        let Some(status) = status.filter(changed) else { return Ok(()) };
        let sets: Api<K> = Api::namespaced(self.work.env.client.clone(), key.namespace_str());
        let next = set.with_status(status);
        match sets.replace_status(&next).await {
            Ok(written) => self.work.memory.wrote(key, self.sets.cache(), written.meta().resource_version.as_deref()),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
