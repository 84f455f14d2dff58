//! Claims get their volumes, and volumes that lost their claims are kept or taken away.
//!
//! Follows `pkg/controller/volume/persistentvolume` of upstream: one loop over claims and volumes, whose passes write one
//! thing each and look again. The decisions are functions ([`claim::plan`], [`volume::plan`]); what makes them safe beside
//! another leader is said in [`bond`]. Local volumes (`orc.dev/local-path`) are made and wiped here as well, through
//! [`LocalVolumes`]; see `docs/design/volumes.md`.

mod bond;
mod carry;
mod claim;
mod grow;
#[cfg(test)]
mod leaders;
mod marks;
mod matching;
mod provision;
mod step;
#[cfg(test)]
mod tests;
mod volume;

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use orc_core::{Object, ObjectKey, ResourceId};
use orc_store::cache::Typed;
use orc_store::{Api, Env, Stored};

use super::support::{Memory, PassError, Recorder, filled, meta};
use super::volumes::{OF_CLAIM, index_pods_by_claim};
use crate::{CacheSource, Controller, Next, Reconciler, service};
use claim::View;
use marks::{SELECTED_NODE, claim_class, is_default, named_volume};
use matching::promised;

pub use provision::{LOCAL_PATH, LocalVolumes};

/// The name of the loop, which is upstream's.
const NAME: &str = "persistent-volume-binder";
/// The index of volumes by the claim they are promised to, `<namespace>/<claim>`.
const BY_CLAIM: &str = "volumes-by-claim";
/// The index of claims that name no volume by their class, `""` for none.
const UNBOUND: &str = "unbound-claims-by-class";

/// The loop that binds claims to volumes. Without `folders`, claims of the class `orc.dev/local-path` wait for a provisioner
/// of that name.
pub fn persistent_volume_binder(env: Env, folders: Option<Arc<dyn LocalVolumes>>) -> Controller<ObjectKey> {
    let binder = Arc::new(Binder {
        claims: env.caches.typed(),
        volumes: env.caches.typed(),
        classes: env.caches.typed(),
        nodes: env.caches.typed(),
        pods: env.caches.typed(),
        recorder: Recorder::new(&env, NAME),
        memory: Memory::default(),
        folders,
        env: env.clone(),
    });
    index_pods_by_claim(&binder.pods);
    binder.volumes.cache().add_index(BY_CLAIM, Arc::new(|volume| place_of(volume).into_iter().collect()));
    binder.claims.cache().add_index(UNBOUND, Arc::new(|claim| unbound_class(claim).into_iter().collect()));
    let (claims, volumes) = (binder.claims.cache().clone(), binder.volumes.cache().clone());
    let classes = binder.classes.cache().clone();
    let (by_claim, by_volume, by_class) = (binder.clone(), binder.clone(), binder.clone());
    Controller::new(NAME, &env, service(Shared(binder)))
        .concurrency(4)
        .source(CacheSource::keys(claims.clone()))
        .source(CacheSource::keys(volumes.clone()))
        .source(CacheSource::new(claims, move |claim| by_claim.volumes_of(claim)))
        .source(CacheSource::new(volumes, move |volume| by_volume.claims_of(volume)))
        .source(CacheSource::new(classes, move |class| by_class.waiting_for(&class.key.name)))
}

fn claim_key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey::namespaced(ResourceId::of::<PersistentVolumeClaim>(), namespace, name)
}

fn volume_key(name: &str) -> ObjectKey {
    ObjectKey::cluster(ResourceId::of::<PersistentVolume>(), name)
}

/// The claim that a volume is promised to.
fn place_of(volume: &Stored) -> Option<String> {
    let volume = volume.view::<PersistentVolume>().ok()?;
    let to = promised(&volume)?;
    Some(format!("{}/{}", to.namespace.as_deref()?, to.name.as_deref()?))
}

/// The class of a claim that names no volume, `""` where it names no class either.
fn unbound_class(claim: &Stored) -> Option<String> {
    let claim = claim.view::<PersistentVolumeClaim>().ok()?;
    named_volume(&claim).is_empty().then(|| claim_class(&claim).unwrap_or_default().to_owned())
}

struct Binder {
    env: Env,
    claims: Typed<PersistentVolumeClaim>,
    volumes: Typed<PersistentVolume>,
    classes: Typed<StorageClass>,
    nodes: Typed<Node>,
    pods: Typed<Pod>,
    recorder: Recorder,
    memory: Memory,
    folders: Option<Arc<dyn LocalVolumes>>,
}

/// Volumes and claims that a change wakes.
impl Binder {
    fn volumes_of(&self, claim: &Arc<Stored>) -> Vec<ObjectKey> {
        let place = format!("{}/{}", claim.key.namespace_str(), claim.key.name);
        let promised = self.volumes.by_index(BY_CLAIM, &place);
        let mut keys: Vec<_> = promised.iter().map(|volume| volume_key(meta::name(&volume.metadata))).collect();
        if let Ok(claim) = claim.view::<PersistentVolumeClaim>()
            && !named_volume(&claim).is_empty()
        {
            keys.push(volume_key(named_volume(&claim)));
        }
        keys
    }

    fn claims_of(&self, volume: &Arc<Stored>) -> Vec<ObjectKey> {
        let Ok(volume) = volume.view::<PersistentVolume>() else { return Vec::new() };
        match promised(&volume) {
            Some(to) => match (&to.namespace, &to.name) {
                (Some(namespace), Some(name)) => vec![claim_key(namespace, name)],
                _ => Vec::new(),
            },
            None => self.unbound(marks::volume_class(&volume)),
        }
    }

    /// Claims that a class helps: those that name it, and those that take the default.
    fn waiting_for(&self, class: &str) -> Vec<ObjectKey> {
        let mut keys = self.unbound(class);
        keys.extend(self.unbound(""));
        keys
    }

    fn unbound(&self, class: &str) -> Vec<ObjectKey> {
        let claims = self.claims.by_index(UNBOUND, class);
        claims.iter().map(|claim| claim_key(meta::namespace(&claim.metadata), meta::name(&claim.metadata))).collect()
    }
}

/// What decisions are made from.
impl Binder {
    /// What is not in the cache is asked of the server: a claim must not be lost, nor a volume released, to a stale read.
    async fn certain<K: Object>(
        &self,
        cache: &Typed<K>,
        key: &ObjectKey,
        good: impl Fn(&K) -> bool,
    ) -> Result<Option<Arc<K>>, PassError>
    where
        K::DynamicType: Default,
    {
        if let Some(found) = cache.get(key).filter(|found| good(found)) {
            return Ok(Some(found));
        }
        let api: Api<K> = match key.namespace.as_deref() {
            Some(namespace) => Api::namespaced(self.env.client.clone(), namespace),
            None => Api::all(self.env.client.clone()),
        };
        Ok(api.get_opt(&key.name).await?)
    }

    async fn view<'a>(&self, key: &ObjectKey, claim: &'a PersistentVolumeClaim) -> Result<View<'a>, PassError> {
        let named = match named_volume(claim) {
            "" => None,
            name => self.certain(&self.volumes, &volume_key(name), |_| true).await?,
        };
        let class = claim_class(claim).filter(|name| !name.is_empty());
        let class =
            class.and_then(|name| self.classes.get(&ObjectKey::cluster(ResourceId::of::<StorageClass>(), name)));
        let node = meta::annotation(&claim.metadata, SELECTED_NODE).filter(|node| !node.is_empty());
        let searches = named_volume(claim).is_empty();
        Ok(View {
            claim,
            named,
            volumes: if searches { self.volumes.list() } else { Vec::new() },
            class,
            default_class: self.default_class(),
            node: node.and_then(|node| self.nodes.get(&ObjectKey::cluster(ResourceId::of::<Node>(), node))),
            waiting: if searches { self.waiting_pods(key) } else { Vec::new() },
            provisions: self.folders.is_some(),
        })
    }

    /// Of several the newest, then the first by name.
    fn default_class(&self) -> Option<String> {
        let classes = self.classes.list();
        let marked = classes.iter().filter(|class| is_default(class));
        let age =
            |class: &&Arc<StorageClass>| std::cmp::Reverse(class.metadata.creation_timestamp.as_ref().map(|at| at.0));
        let best = marked.min_by_key(|class| (age(class), meta::name(&class.metadata).to_owned()));
        best.map(|class| meta::name(&class.metadata).to_owned())
    }

    fn waiting_pods(&self, claim: &ObjectKey) -> Vec<String> {
        let place = format!("{}/{}", claim.namespace_str(), claim.name);
        let pods = self.pods.by_index(OF_CLAIM, &place);
        let waits = |pod: &&Arc<Pod>| super::support::pods::node(pod).is_empty();
        pods.iter().filter(waits).map(|pod| meta::name(&pod.metadata).to_owned()).collect()
    }

    async fn decide_volume(&self, volume: &PersistentVolume) -> Result<step::Plan, PassError> {
        let claim = match promised(volume) {
            Some(to) if to.uid.as_deref().is_some_and(|uid| !uid.is_empty()) => {
                let key =
                    claim_key(to.namespace.as_deref().unwrap_or_default(), to.name.as_deref().unwrap_or_default());
                let same = |claim: &PersistentVolumeClaim| claim.metadata.uid == to.uid;
                self.certain(&self.claims, &key, same).await?
            }
            _ => None,
        };
        Ok(volume::plan(volume, claim.as_deref(), self.folders.is_some()))
    }
}

struct Shared(Arc<Binder>);

#[async_trait]
impl Reconciler for Shared {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        let binder = &self.0;
        filled(&[
            binder.claims.cache(),
            binder.volumes.cache(),
            binder.classes.cache(),
            binder.nodes.cache(),
            binder.pods.cache(),
        ])
        .await;
        binder.memory.settle(&key).await?;
        if key.resource == ResourceId::of::<PersistentVolumeClaim>() {
            let Some(claim) = binder.claims.get(&key) else {
                binder.memory.forget(&key);
                return Ok(Next::Done);
            };
            let plan = claim::plan(&binder.view(&key, &claim).await?);
            return binder.carry_out(&key, &*claim, plan).await;
        }
        let Some(volume) = binder.volumes.get(&key) else {
            binder.memory.forget(&key);
            return Ok(Next::Done);
        };
        let plan = binder.decide_volume(&volume).await?;
        binder.carry_out(&key, &*volume, plan).await
    }
}
