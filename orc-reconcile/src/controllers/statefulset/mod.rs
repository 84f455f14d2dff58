//! Stateful sets: pods with names, claims and an order.
//!
//! Follows `k8s.io/kubernetes/pkg/controller/statefulset`. Different: the hash of revisions is our own function; pods that are
//! made and deleted in one pass are one stage, and the next stage waits until they are seen.

mod identity;
mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use orc_core::{ApiError, Object, ObjectKey, ResourceId};
use orc_store::cache::Typed;
use orc_store::{Api, Env, Stored};

use self::plan::{State, Write, plan};
use super::history;
use super::support::workload::{self, ORPHANS, Pods, only, orphan_of, owners_of, selector_of};
use super::support::{AGAIN, PassError, filled, meta, next_at};
use crate::{CacheSource, Controller, Next, Reconciler, service};

/// The loop of stateful sets.
pub fn stateful_set(env: Env) -> Controller<ObjectKey> {
    let sets = env.caches.typed::<StatefulSet>();
    let pods = Pods::new(&env, "statefulset-controller");
    let revisions = env.caches.typed::<ControllerRevision>();
    revisions.cache().add_index(ORPHANS, Arc::new(orphan_of));
    let claims = env.caches.typed::<PersistentVolumeClaim>();
    let owners = |sets: Typed<StatefulSet>| {
        move |object: &Arc<Stored>| {
            owners_of(object, &sets, |set| selector_of(set.spec.as_ref().map(|spec| &spec.selector)))
        }
    };
    let of_claims = {
        let sets = sets.clone();
        move |claim: &Arc<Stored>| sets_of_claim(claim, &sets)
    };
    let controller = Controller::new(
        "statefulset-controller",
        &env,
        service(Sets { sets: sets.clone(), pods, revisions: revisions.clone(), claims: claims.clone() }),
    );
    let pods = env.caches.typed::<Pod>();
    controller
        .concurrency(5)
        .source(CacheSource::keys(sets.cache().clone()))
        .source(CacheSource::new(pods.cache().clone(), owners(sets.clone())))
        .source(CacheSource::new(revisions.cache().clone(), owners(sets)))
        .source(CacheSource::new(claims.cache().clone(), of_claims))
}

/// The sets that a claim's name may belong to: `<volume>-<set>-<ordinal>`.
fn sets_of_claim(claim: &Stored, sets: &Typed<StatefulSet>) -> Vec<ObjectKey> {
    let Some((rest, ordinal)) = claim.key.name.rsplit_once('-') else { return Vec::new() };
    if ordinal.parse::<u32>().is_err() {
        return Vec::new();
    }
    let key = |name: &str| ObjectKey {
        resource: ResourceId::of::<StatefulSet>(),
        namespace: claim.key.namespace.clone(),
        name: name.into(),
    };
    let names = rest.match_indices('-').map(|(at, _)| key(&rest[at + 1..]));
    names.filter(|key| sets.cache().get(key).is_some()).collect()
}

struct Sets {
    sets: Typed<StatefulSet>,
    pods: Pods,
    revisions: Typed<ControllerRevision>,
    claims: Typed<PersistentVolumeClaim>,
}

#[async_trait]
impl Reconciler for Sets {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        let pods = self.pods.pods.cache();
        filled(&[self.sets.cache(), pods, self.revisions.cache(), self.claims.cache()]).await;
        self.pods.memory.settle(&key).await?;
        let Some(set) = self.sets.get(&key) else {
            self.pods.memory.forget(&key);
            return Ok(Next::Done);
        };
        let (candidates, leaving) = self.pods.candidates(&key, meta::uid(&set.metadata));
        let snapshot = self.revisions.snapshot();
        let mut revisions = snapshot.by_owner(meta::uid(&set.metadata));
        revisions.extend(snapshot.by_index(ORPHANS, key.namespace_str()));
        let revision_api: Api<ControllerRevision> = self.face(&key);
        let claim_api: Api<PersistentVolumeClaim> = self.face(&key);
        let claim = |name: &str| self.claims.get(&claim_api.key(name));
        let taken = |name: &str| snapshot.get(&revision_api.key(name)).is_some();
        let state = State { set: &set, candidates, leaving, revisions, claim: &claim, taken: &taken };
        let now = self.pods.env.clock.now();
        let plan = plan(state, now);
        // The status first: what it counts decides which revision new pods get.
        let next = plan.status.map(|status| StatefulSet { status: Some(status), ..StatefulSet::clone(&set) });
        workload::report(&self.pods.env, &self.pods.memory, &key, &self.sets, next).await?;
        for write in &plan.writes {
            self.write(&key, &set, write).await?;
        }
        Ok(if plan.writes.is_empty() { next_at(plan.wake, now) } else { AGAIN })
    }
}

impl Sets {
    fn face<K: Object>(&self, key: &ObjectKey) -> Api<K>
    where
        K::DynamicType: Default,
    {
        Api::namespaced(self.pods.env.client.clone(), key.namespace_str())
    }

    async fn write(&self, key: &ObjectKey, set: &StatefulSet, write: &Write) -> Result<(), PassError> {
        match write {
            Write::Adopt(pod) => self.pods.adopt(key, set, std::slice::from_ref(pod)).await,
            Write::Release(pod) => self.pods.release(key, meta::uid(&set.metadata), pod).await,
            Write::Revision(write) => {
                history::write(&self.pods.env, &self.pods.memory, key, set, &self.revisions, write).await
            }
            Write::CreateClaim(claim) => {
                let done = self.face::<PersistentVolumeClaim>(key).create(claim).await;
                self.tell_claim(set, claim, &done);
                self.wrote_claim(key, done)
            }
            Write::UpdateClaim(claim) => {
                let done = self.face::<PersistentVolumeClaim>(key).replace(claim).await;
                self.wrote_claim(key, done)
            }
            Write::Create(pod) => self.create(key, set, pod).await,
            Write::Update(pod) => {
                let done = self.pods.api(key).replace(pod).await;
                self.tell(set, "update", meta::name(&pod.metadata), done.as_ref().err());
                Ok(self.pods.changed(key, done)?)
            }
            Write::Delete(pod) => self.delete(key, set, pod).await,
        }
    }

    fn wrote_claim(
        &self,
        key: &ObjectKey,
        done: Result<Arc<PersistentVolumeClaim>, ApiError>,
    ) -> Result<(), PassError> {
        match done {
            Err(error) if error.is_not_found() || meta::namespace_is_ending(&error) => Ok(()),
            done => {
                let revision = done?.metadata.resource_version.clone();
                self.pods.memory.wrote(key, self.claims.cache(), revision.as_deref());
                Ok(())
            }
        }
    }

    /// A pod's name is its identity: one that exists already is waited for.
    async fn create(&self, key: &ObjectKey, set: &StatefulSet, pod: &Pod) -> Result<(), PassError> {
        let done = self.pods.api(key).create(pod).await;
        match &done {
            Err(error) if meta::namespace_is_ending(error) => return Ok(()),
            Err(error) if error.is_already_exists() => {}
            done => self.tell(set, "create", meta::name(&pod.metadata), done.as_ref().err()),
        }
        Ok(self.pods.changed(key, done)?)
    }

    async fn delete(&self, key: &ObjectKey, set: &StatefulSet, pod: &Pod) -> Result<(), PassError> {
        let name = meta::name(&pod.metadata);
        if pods_failed(pod) {
            let text = format!("StatefulSet {}/{} is recreating failed Pod {name}", key.namespace_str(), key.name);
            self.pods.recorder.warning(set, "RecreatingFailedPod", text);
        }
        let done = self.pods.api(key).delete(name, only(&pod.metadata)).await;
        match &done {
            Err(error) if error.is_not_found() => {}
            Err(error) if error.is_conflict() => return Ok(done?),
            done => self.tell(set, "delete", name, done.as_ref().err()),
        }
        if let Err(error) = done
            && !error.is_not_found()
        {
            return Err(error.into());
        }
        self.pods.memory.deleted(key, meta::uid(&pod.metadata));
        Ok(())
    }

    /// Events as `recordPodEvent`: `SuccessfulCreate`, "create Pod web-0 in StatefulSet web successful".
    fn tell(&self, set: &StatefulSet, verb: &str, pod: &str, error: Option<&ApiError>) {
        let what = format!("{verb} Pod {pod} in StatefulSet {}", meta::name(&set.metadata));
        self.tell_outcome(set, verb, &what, error);
    }

    fn tell_claim<K>(&self, set: &StatefulSet, claim: &PersistentVolumeClaim, done: &Result<K, ApiError>) {
        let (claim, set_name) = (meta::name(&claim.metadata), meta::name(&set.metadata));
        self.tell_outcome(
            set,
            "create",
            &format!("create Claim {claim} in StatefulSet {set_name}"),
            done.as_ref().err(),
        );
    }

    fn tell_outcome(&self, set: &StatefulSet, verb: &str, what: &str, error: Option<&ApiError>) {
        let (good, bad) = match verb {
            "create" => ("SuccessfulCreate", "FailedCreate"),
            "update" => ("SuccessfulUpdate", "FailedUpdate"),
            _ => ("SuccessfulDelete", "FailedDelete"),
        };
        match error {
            None => self.pods.recorder.normal(set, good, format!("{what} successful")),
            Some(error) => self.pods.recorder.warning(set, bad, format!("{what} failed error: {error}")),
        }
    }
}

fn pods_failed(pod: &Pod) -> bool {
    super::support::pods::phase(pod) == "Failed"
}
