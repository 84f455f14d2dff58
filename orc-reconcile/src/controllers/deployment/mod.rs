//! Deployments: replica sets of successive templates, sized so that a change rolls out step by step.
//!
//! Follows `k8s.io/kubernetes/pkg/controller/deployment`. Different: the template hash is our own function, and the
//! revision annotation is a plain update, not a side effect of a status update.

pub(crate) mod percent;
mod plan;
mod scale;
mod sets;
mod status;
pub(crate) mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use orc_core::labels::Selector;
use orc_core::{ApiError, Name, ObjectKey, ResourceId};
use orc_store::cache::Typed;
use orc_store::client::{DeleteOptions, Preconditions};
use orc_store::{Api, Env, Stored};

use self::plan::{State, Write, plan};
use super::replicaset::{ORPHANS, orphan_of};
use super::support::{AGAIN, Memory, PassError, Recorder, claim, filled, meta, next_at};
use crate::{CacheSource, Controller, Next, Reconciler, service};

/// The loop of deployments.
pub fn deployment(env: Env) -> Controller<ObjectKey> {
    let deployments = env.caches.typed::<Deployment>();
    let sets = env.caches.typed::<ReplicaSet>();
    sets.cache().add_index(ORPHANS, Arc::new(orphan_of));
    let of_sets = {
        let deployments = deployments.clone();
        move |set: &Arc<Stored>| owners_of(set, &deployments)
    };
    let recorder = Recorder::new(&env, "deployment-controller");
    let reconciler = Deployments { env: env.clone(), deployments, sets, memory: Memory::default(), recorder };
    let (deployments, sets) = (reconciler.deployments.cache().clone(), reconciler.sets.cache().clone());
    Controller::new("deployment-controller", &env, service(reconciler))
        .concurrency(5)
        .source(CacheSource::keys(deployments))
        .source(CacheSource::new(sets, of_sets))
}

/// The deployments that a replica set concerns: its controller, or for an orphan those that select it.
fn owners_of(set: &Arc<Stored>, deployments: &Typed<Deployment>) -> Vec<ObjectKey> {
    let resource = ResourceId::of::<Deployment>();
    let key = |name: &str| ObjectKey {
        resource: resource.clone(),
        namespace: set.key.namespace.clone(),
        name: Name::new(name),
    };
    if let Some(owner) = set.head.controller() {
        let ours = owner.kind == "Deployment" && owner.api_version.starts_with("apps/");
        return ours.then(|| key(&owner.name)).into_iter().collect();
    }
    let selects = |deployment: &Arc<Deployment>| {
        let selector = Selector::from_label_selector(deployment.spec.as_ref().map(|spec| &spec.selector));
        selector.is_ok_and(|selector| selector.matches(&set.head.labels))
    };
    let near = deployments.in_namespace(set.key.namespace_str());
    near.iter().filter(|of| selects(of)).map(|of| key(meta::name(&of.metadata))).collect()
}

struct Deployments {
    env: Env,
    deployments: Typed<Deployment>,
    sets: Typed<ReplicaSet>,
    memory: Memory,
    recorder: Recorder,
}

#[async_trait]
impl Reconciler for Deployments {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        filled(&[self.deployments.cache(), self.sets.cache()]).await;
        self.memory.settle(&key).await?;
        let Some(deployment) = self.deployments.get(&key) else {
            self.memory.forget(&key);
            return Ok(Next::Done);
        };
        let snapshot = self.sets.snapshot();
        let mut candidates = snapshot.by_owner(meta::uid(&deployment.metadata));
        candidates.extend(snapshot.by_index(ORPHANS, key.namespace_str()));
        let alive = candidates.iter().map(|set| meta::uid(&set.metadata)).collect();
        let leaving = self.memory.leaving(&key, &alive);
        candidates.retain(|set| !leaving.contains(meta::uid(&set.metadata)));
        let now = self.env.clock.now();
        let plan = plan(State { deployment: &deployment, candidates }, now);
        self.write(&key, &deployment, &plan.writes).await?;
        self.report(&key, &deployment, plan.status).await?;
        Ok(if plan.writes.is_empty() { next_at(plan.wake, now) } else { AGAIN })
    }
}

impl Deployments {
    fn sets_of(&self, key: &ObjectKey) -> Api<ReplicaSet> {
        Api::namespaced(self.env.client.clone(), key.namespace_str())
    }

    fn own(&self, key: &ObjectKey) -> Api<Deployment> {
        Api::namespaced(self.env.client.clone(), key.namespace_str())
    }

    fn wrote_set(&self, key: &ObjectKey, set: &ReplicaSet) {
        self.memory.wrote(key, self.sets.cache(), set.metadata.resource_version.as_deref());
    }

    async fn write(&self, key: &ObjectKey, deployment: &Deployment, writes: &[Write]) -> Result<(), PassError> {
        if writes.iter().any(|write| matches!(write, Write::Adopt(_))) {
            self.may_adopt(key, deployment).await?;
        }
        let api = self.sets_of(key);
        for write in writes {
            match write {
                Write::Adopt(set) => {
                    let owner = meta::controller_reference(deployment);
                    self.wrote_set(key, &*claim::adopt(&api, &**set, owner).await?);
                }
                Write::Release(set) => {
                    let uid = meta::uid(&deployment.metadata);
                    self.wrote_set(key, &*claim::release(&api, &**set, uid).await?);
                }
                Write::Create(set) => self.create(key, deployment, set).await?,
                Write::Update(set) => self.wrote_set(key, &*api.replace(set).await?),
                Write::Scale { next, from } => {
                    self.wrote_set(key, &*api.replace(next).await?);
                    self.tell_scale(deployment, next, *from);
                }
                Write::Delete(set) => self.delete(key, set).await?,
                Write::Annotate(revision) => self.annotate(key, deployment, revision).await?,
            }
        }
        Ok(())
    }

    fn tell_scale(&self, deployment: &Deployment, set: &ReplicaSet, from: i32) {
        if let Some(text) = plan::told(meta::name(&set.metadata), from, sets::replicas(set)) {
            self.recorder.normal(deployment, "ScalingReplicaSet", text);
        }
    }

    async fn may_adopt(&self, key: &ObjectKey, deployment: &Deployment) -> Result<(), PassError> {
        let fresh = self.own(key).get(&key.name).await?;
        if fresh.metadata.uid != deployment.metadata.uid || meta::is_terminating(&fresh.metadata) {
            return Err(PassError::Wait("the deployment is gone or going".to_owned()));
        }
        Ok(())
    }

    async fn create(&self, key: &ObjectKey, deployment: &Deployment, set: &ReplicaSet) -> Result<(), PassError> {
        let name = meta::name(&set.metadata);
        match self.sets_of(key).create(set).await {
            Ok(made) => {
                self.wrote_set(key, &made);
                self.tell_scale(deployment, set, 0);
                Ok(())
            }
            Err(error) if error.is_already_exists() => self.collided(key, deployment, set).await,
            Err(error) if meta::namespace_is_ending(&error) => Err(error.into()),
            Err(error) => {
                let text = format!("Failed to create new replica set {name:?}: {error}");
                self.recorder.warning(deployment, "FailedCreate", text.clone());
                self.failed(key, deployment, text).await?;
                Err(error.into())
            }
        }
    }

    async fn failed(&self, key: &ObjectKey, deployment: &Deployment, text: String) -> Result<(), PassError> {
        if status::deadline(deployment).is_none() {
            return Ok(());
        }
        let mut next = deployment.status.clone().unwrap_or_default();
        let now = self.env.clock.now();
        status::set(&mut next, status::progressing("False", "FailedCreate", text, now));
        let changed = deployment.status.as_ref() != Some(&next);
        self.report(key, deployment, changed.then_some(next)).await
    }

    /// The name is taken: by the new set itself, made by an earlier pass, or by a set of another template with the same hash.
    async fn collided(&self, key: &ObjectKey, deployment: &Deployment, set: &ReplicaSet) -> Result<(), PassError> {
        let found = self.sets_of(key).get(meta::name(&set.metadata)).await?;
        let template = deployment.spec.as_ref().map(|spec| &spec.template);
        if plan::is_same(&found, set) && template.is_some_and(|template| template::is_of(&found, template)) {
            self.wrote_set(key, &found);
            return Ok(());
        }
        let mut next = deployment.status.clone().unwrap_or_default();
        next.collision_count = Some(next.collision_count.unwrap_or_default() + 1);
        self.report(key, deployment, Some(next)).await?;
        Err(PassError::Wait(format!("the replica set name {:?} is taken", meta::name(&set.metadata))))
    }

    async fn delete(&self, key: &ObjectKey, set: &ReplicaSet) -> Result<(), ApiError> {
        let preconditions = Preconditions { uid: set.metadata.uid.clone(), revision: None };
        let options = DeleteOptions { preconditions, ..DeleteOptions::default() };
        match self.sets_of(key).delete(meta::name(&set.metadata), options).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => {
                self.memory.deleted(key, meta::uid(&set.metadata));
                Ok(())
            }
        }
    }

    async fn annotate(&self, key: &ObjectKey, deployment: &Deployment, revision: &str) -> Result<(), ApiError> {
        let mut next = deployment.clone();
        next.metadata.annotations.get_or_insert_default().insert(sets::REVISION.to_owned(), revision.to_owned());
        let written = self.own(key).replace(&next).await?;
        self.memory.wrote(key, self.deployments.cache(), written.metadata.resource_version.as_deref());
        Ok(())
    }

    async fn report(
        &self,
        key: &ObjectKey,
        deployment: &Deployment,
        status: Option<DeploymentStatus>,
    ) -> Result<(), PassError> {
        let Some(status) = status else { return Ok(()) };
        let next = Deployment { status: Some(status), ..deployment.clone() };
        match self.own(key).replace_status(&next).await {
            Ok(written) => {
                self.memory.wrote(key, self.deployments.cache(), written.metadata.resource_version.as_deref())
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
