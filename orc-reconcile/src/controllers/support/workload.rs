//! Pods of one owner, as the loops that keep pods write them: claimed, made, deleted, and told about.
//!
//! Names of new pods are chosen here and remembered until their creation is decided, so that a creation whose answer was lost
//! never makes a second pod; deletions that were accepted count until the cache shows them.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use orc_core::labels::Selector;
use orc_core::{ApiError, Name, Object, ObjectKey, ResourceId};
use orc_store::cache::Typed;
use orc_store::client::{DeleteOptions, Preconditions};
use orc_store::{Api, Env, Stored};

use super::{Memory, PassError, Recorder, abreast, claim, meta, pods};

/// The most pods that one pass creates or deletes, as upstream's.
pub(crate) const BURST: usize = 500;

/// The index of objects that nobody controls, by namespace.
pub(crate) const ORPHANS: &str = "orphans";

/// The values of [`ORPHANS`].
pub(crate) fn orphan_of(stored: &Stored) -> Vec<String> {
    let orphan = stored.head.controller().is_none();
    orphan.then(|| stored.key.namespace_str().to_owned()).into_iter().collect()
}

/// The owners of kind `K` that an object concerns: its controller, or for an orphan those that select it.
pub(crate) fn owners_of<K: Object>(
    stored: &Stored,
    owners: &Typed<K>,
    selector: impl Fn(&K) -> Selector,
) -> Vec<ObjectKey>
where
    K::DynamicType: Default,
{
    let kind = K::DynamicType::default();
    let key = |name: &str| ObjectKey {
        resource: ResourceId::of::<K>(),
        namespace: stored.key.namespace.clone(),
        name: Name::new(name),
    };
    if let Some(owner) = stored.head.controller() {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        let ours = *owner.kind == *K::kind(&kind) && group == K::group(&kind);
        return ours.then(|| key(&owner.name)).into_iter().collect();
    }
    let near = owners.in_namespace(stored.key.namespace_str());
    near.iter().filter(|of| selector(of).matches(&stored.head.labels)).map(|of| key(meta::name(of.meta()))).collect()
}

/// The selector of an object, which selects nothing when it does not parse.
pub(crate) fn selector_of(
    selector: Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector>,
) -> Selector {
    Selector::from_label_selector(selector).unwrap_or_else(|_| Selector::nothing())
}

/// The pods of owners of one kind.
pub(crate) struct Pods {
    /// What the loop lives in.
    pub(crate) env: Env,
    /// All pods.
    pub(crate) pods: Typed<Pod>,
    /// What the loop wrote.
    pub(crate) memory: Memory,
    /// Where it tells what it did.
    pub(crate) recorder: Recorder,
}

/// A pod to make.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct NewPod {
    /// The pod; its name is filled in when it is made, unless it has one.
    pub(crate) pod: Pod,
    /// What its name begins with.
    pub(crate) prefix: String,
}

impl Pods {
    /// The pods of a loop that is called `name`.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn new(env: &Env, name: &'static str) -> Self {
        let pods = env.caches.typed::<Pod>();
        pods.cache().add_index(ORPHANS, Arc::new(orphan_of));
        Self { env: env.clone(), pods, memory: Memory::default(), recorder: Recorder::new(env, name) }
    }

    /// The face of pods beside a key.
    pub(crate) fn api(&self, key: &ObjectKey) -> Api<Pod> {
        Api::namespaced(self.env.client.clone(), key.namespace_str())
    }

    /// Pods that name the owner as their controller, and orphans of its namespace; and the uids of those whose deletion the
    /// cache does not show yet.
    pub(crate) fn candidates(&self, key: &ObjectKey, owner_uid: &str) -> (Vec<Arc<Pod>>, BTreeSet<String>) {
        let snapshot = self.pods.snapshot();
        let mut found = snapshot.by_owner(owner_uid);
        self.memory.seen(key, &found.iter().map(|pod| meta::name(&pod.metadata)).collect());
        found.extend(snapshot.by_index(ORPHANS, key.namespace_str()));
        let alive = found.iter().filter(|pod| !meta::is_terminating(&pod.metadata));
        let leaving = self.memory.leaving(key, &alive.map(|pod| meta::uid(&pod.metadata)).collect());
        (found, leaving)
    }

    fn wrote(&self, key: &ObjectKey, pod: &Pod) {
        self.memory.wrote(key, self.pods.cache(), pod.metadata.resource_version.as_deref());
    }

    /// Notes the outcome of a write of a pod that may be gone by now.
    pub(crate) fn changed(&self, key: &ObjectKey, outcome: Result<Arc<Pod>, ApiError>) -> Result<(), ApiError> {
        match outcome {
            Err(error) if error.is_not_found() => Ok(()),
            outcome => outcome.map(|pod| self.wrote(key, &pod)),
        }
    }

    /// Takes orphans in, for an owner that a live read still shows: a cache may show one that was deleted.
    pub(crate) async fn adopt<K: Object>(&self, key: &ObjectKey, owner: &K, pods: &[Arc<Pod>]) -> Result<(), PassError>
    where
        K::DynamicType: Default,
    {
        if pods.is_empty() {
            return Ok(());
        }
        may_adopt(&self.env, key, owner).await?;
        for pod in pods {
            let reference = meta::controller_reference(owner);
            self.changed(key, claim::adopt(&self.api(key), &**pod, reference).await)?;
        }
        Ok(())
    }

    /// Lets a pod go that is no longer selected.
    pub(crate) async fn release(&self, key: &ObjectKey, owner_uid: &str, pod: &Pod) -> Result<(), PassError> {
        Ok(self.changed(key, claim::release(&self.api(key), pod, owner_uid).await)?)
    }

    /// Creates pods in batches of 1, 2, 4, ...: when the first is refused (by a quota, say), the others are not tried.
    pub(crate) async fn create<K: Object>(
        &self,
        key: &ObjectKey,
        owner: &K,
        mut wanted: Vec<NewPod>,
    ) -> Result<(), PassError>
    where
        K::DynamicType: Default,
    {
        let (mut used, mut fresh) = (BTreeSet::new(), BTreeSet::new());
        for new in wanted.iter_mut().filter(|new| new.pod.metadata.name.is_none()) {
            let (name, is_fresh) =
                self.memory.name_like(key, &new.prefix, &used, || self.env.ids.generate(&new.prefix));
            used.insert(name.clone());
            if is_fresh {
                fresh.insert(name.clone());
            }
            new.pod.metadata.name = Some(name);
        }
        let mut rest = wanted.as_slice();
        let mut batch = 1;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(batch.min(rest.len()));
            let done = abreast(now.iter().map(|new| self.create_one(key, owner, &new.pod))).await;
            if let Some(error) = done.into_iter().find_map(Result::err) {
                // Names that were made now and never tried are in no doubt.
                for name in later.iter().map(|new| meta::name(&new.pod.metadata)).filter(|name| fresh.contains(*name)) {
                    self.memory.decided(key, name);
                }
                return Err(error.into());
            }
            (rest, batch) = (later, batch * 2);
        }
        Ok(())
    }

    /// Creates one pod and tells of it; a name whose fate is not known stays in doubt.
    pub(crate) async fn create_one<K: Object>(&self, key: &ObjectKey, owner: &K, pod: &Pod) -> Result<(), ApiError>
    where
        K::DynamicType: Default,
    {
        let name = meta::name(&pod.metadata);
        let error = match self.api(key).create(pod).await {
            Ok(made) => {
                self.wrote(key, &made);
                self.memory.decided(key, name);
                self.recorder.normal(owner, "SuccessfulCreate", format!("Created pod: {name}"));
                return Ok(());
            }
            Err(error) => error,
        };
        if error.is_already_exists() {
            // Made by an earlier try, or somebody else's: the cache shows which. Until then the name stays in doubt.
            if self.pods.cache().get(&self.api(key).key(name)).is_some() {
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
        self.recorder.warning(owner, "FailedCreate", format!("Error creating: {error}"));
        Err(error)
    }

    /// Deletes pods, whatever becomes of the others; gives the first failure.
    pub(crate) async fn delete<K: Object>(
        &self,
        key: &ObjectKey,
        owner: &K,
        victims: &[Arc<Pod>],
    ) -> Result<(), PassError>
    where
        K::DynamicType: Default,
    {
        let done = abreast(victims.iter().map(|pod| self.delete_one(key, owner, pod))).await;
        done.into_iter().find_map(Result::err).map_or(Ok(()), |error| Err(error.into()))
    }

    /// Deletes one pod, this one and no namesake, and tells of it.
    pub(crate) async fn delete_one<K: Object>(&self, key: &ObjectKey, owner: &K, pod: &Pod) -> Result<(), ApiError>
    where
        K::DynamicType: Default,
    {
        let name = meta::name(&pod.metadata);
        match self.api(key).delete(name, only(&pod.metadata)).await {
            Ok(()) => {
                self.memory.deleted(key, meta::uid(&pod.metadata));
                self.recorder.normal(owner, "SuccessfulDelete", format!("Deleted pod: {name}"));
                Ok(())
            }
            Err(error) if error.is_not_found() => {
                self.memory.deleted(key, meta::uid(&pod.metadata));
                Ok(())
            }
            // Another pod stands under its name, or somebody was faster: the cache will tell.
            Err(error) if error.is_conflict() => Err(error),
            Err(error) => {
                self.recorder.warning(owner, "FailedDelete", format!("Error deleting: {error}"));
                Err(error)
            }
        }
    }
}

/// Deletion of this very object, not of its namesake.
pub(crate) fn only(of: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> DeleteOptions {
    let preconditions = Preconditions { uid: of.uid.clone(), revision: None };
    DeleteOptions { preconditions, ..DeleteOptions::default() }
}

/// Fails unless a live read shows the owner, and that it is not going away.
pub(crate) async fn may_adopt<K: Object>(env: &Env, key: &ObjectKey, owner: &K) -> Result<(), PassError>
where
    K::DynamicType: Default,
{
    let fresh = Api::<K>::namespaced(env.client.clone(), key.namespace_str()).get(&key.name).await?;
    if fresh.meta().uid != owner.meta().uid || meta::is_terminating(fresh.meta()) {
        return Err(PassError::Wait(format!("{} is gone or going", K::kind(&K::DynamicType::default()))));
    }
    Ok(())
}

/// Writes a status, `None` when it stands. An object that is gone needs none.
pub(crate) async fn report<K: Object>(
    env: &Env,
    memory: &Memory,
    key: &ObjectKey,
    cache: &Typed<K>,
    next: Option<K>,
) -> Result<(), PassError>
where
    K::DynamicType: Default,
{
    let Some(next) = next else { return Ok(()) };
    match Api::<K>::namespaced(env.client.clone(), key.namespace_str()).replace_status(&next).await {
        Ok(written) => memory.wrote(key, cache.cache(), written.meta().resource_version.as_deref()),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// The pods that count as there, and those that are ending: by themselves, or by a deletion that the cache does not show yet.
pub(crate) fn split_ending(owned: Vec<Arc<Pod>>, leaving: &BTreeSet<String>) -> (Vec<Arc<Pod>>, Vec<Arc<Pod>>) {
    let is_ending = |pod: &Arc<Pod>| meta::is_terminating(&pod.metadata) || leaving.contains(meta::uid(&pod.metadata));
    let (ending, alive): (Vec<_>, Vec<_>) = owned.into_iter().partition(is_ending);
    (alive, ending.into_iter().filter(|pod| !pods::is_terminal(pod)).collect())
}
