//! Volumes and claims that are in use are not deleted: the finalizers that see to it.
//!
//! Follows `pvcprotection` and `pvprotection` of `k8s.io/kubernetes/pkg/controller/volume`. Every claim and every volume gets
//! a finalizer. It is taken away from a claim that is to go once no pod that is on a node names it (asked for at the source,
//! for a cache may lag), and from a volume that is to go once it is not bound.

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use orc_core::{Object, ObjectKey, ResourceId};
use orc_store::cache::Typed;
use orc_store::client::ListOptions;
use orc_store::{Api, Env, Stored};

use super::support::{Memory, PassError, filled, meta, pods};
use crate::{CacheSource, Controller, Next, Reconciler, service};

const CLAIM: &str = "kubernetes.io/pvc-protection";
const VOLUME: &str = "kubernetes.io/pv-protection";
/// The index of pods by the claims they name, `<namespace>/<claim>`.
pub(super) const OF_CLAIM: &str = "pods-by-claim";

/// The loop that keeps claims while pods use them.
pub fn pvc_protection(env: Env) -> Controller<ObjectKey> {
    let claims = env.caches.typed::<PersistentVolumeClaim>();
    let pods = env.caches.typed::<Pod>();
    index_pods_by_claim(&pods);
    let of_pods = move |pod: &Arc<Stored>| {
        let key = |claim: &String| {
            ObjectKey::namespaced(ResourceId::of::<PersistentVolumeClaim>(), pod.key.namespace_str(), claim.as_str())
        };
        named_by(pod).iter().map(key).collect()
    };
    let caches = (claims.cache().clone(), pods.cache().clone());
    let reconciler = Claims { env: env.clone(), claims, pods, memory: Memory::default() };
    Controller::new("pvc-protection-controller", &env, service(reconciler))
        .source(CacheSource::keys(caches.0))
        .source(CacheSource::new(caches.1, of_pods))
}

/// The loop that keeps volumes while they are bound.
pub fn pv_protection(env: Env) -> Controller<ObjectKey> {
    let volumes = env.caches.typed::<PersistentVolume>();
    let cache = volumes.cache().clone();
    let reconciler = Volumes { env: env.clone(), volumes, memory: Memory::default() };
    Controller::new("pv-protection-controller", &env, service(reconciler)).source(CacheSource::keys(cache))
}

/// Makes pods be found by the claims that they name; asked for by each loop that looks for them so.
pub(super) fn index_pods_by_claim(pods: &Typed<Pod>) {
    let place = |namespace: &str, claim: &str| format!("{namespace}/{claim}");
    let index = move |pod: &Stored| named_by(pod).iter().map(|claim| place(pod.key.namespace_str(), claim)).collect();
    pods.cache().add_index(OF_CLAIM, Arc::new(index));
}

/// The claims that a pod names. Few do, and every change of every pod comes by here.
fn named_by(pod: &Stored) -> Vec<String> {
    let may = pod.may_have("persistentVolumeClaim") || pod.may_have("ephemeral");
    if may { pod.view::<Pod>().map(|pod| claims_of(&pod)).unwrap_or_default() } else { Vec::new() }
}

/// The claims that a pod names: in its volumes, and by way of ephemeral ones, whose claims are named after pod and volume.
fn claims_of(pod: &Pod) -> Vec<String> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let claim = |volume: &k8s_openapi::api::core::v1::Volume| match &volume.persistent_volume_claim {
        Some(source) => Some(source.claim_name.clone()),
        None => volume.ephemeral.as_ref().map(|_| format!("{}-{}", meta::name(&pod.metadata), volume.name)),
    };
    volumes.filter_map(claim).collect()
}

/// Whether a pod keeps a claim: it is on a node, which may have mounted it.
pub(super) fn uses(pod: &Pod, claim: &str) -> bool {
    !pods::node(pod).is_empty() && claims_of(pod).iter().any(|own| own == claim)
}

/// The metadata with the finalizer as it should be, `None` when it is. `in_use` is asked only of what is to go.
fn plan(of: &ObjectMeta, finalizer: &str, in_use: bool) -> Option<ObjectMeta> {
    let mut next = of.clone();
    let finalizers = next.finalizers.get_or_insert_default();
    let stands = finalizers.iter().any(|own| own == finalizer);
    match (meta::is_terminating(of), stands) {
        (false, false) => finalizers.push(finalizer.to_owned()),
        (true, true) if !in_use => finalizers.retain(|own| own != finalizer),
        _ => return None,
    }
    Some(next)
}

/// Puts an object in the place of what was read; one that is gone or was changed meanwhile comes by again.
async fn write<K: Object>(
    api: &Api<K>,
    memory: &Memory,
    key: &ObjectKey,
    cache: &Typed<K>,
    next: &K,
) -> Result<(), PassError> {
    match api.replace(next).await {
        Ok(written) => memory.wrote(key, cache.cache(), written.meta().resource_version.as_deref()),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

struct Claims {
    env: Env,
    claims: Typed<PersistentVolumeClaim>,
    pods: Typed<Pod>,
    memory: Memory,
}

impl Claims {
    /// Whether a pod uses the claim: as the cache shows, and, when it shows none, as the server does.
    async fn in_use(&self, key: &ObjectKey) -> Result<bool, PassError> {
        let place = format!("{}/{}", key.namespace_str(), key.name);
        if self.pods.by_index(OF_CLAIM, &place).iter().any(|pod| uses(pod, &key.name)) {
            return Ok(true);
        }
        let api: Api<Pod> = Api::namespaced(self.env.client.clone(), key.namespace_str());
        let pods = api.list(&ListOptions::default()).await?.items;
        Ok(pods.iter().any(|pod| uses(pod, &key.name)))
    }
}

#[async_trait]
impl Reconciler for Claims {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        filled(&[self.claims.cache(), self.pods.cache()]).await;
        self.memory.settle(&key).await?;
        let Some(claim) = self.claims.get(&key) else {
            self.memory.forget(&key);
            return Ok(Next::Done);
        };
        let goes = plan(&claim.metadata, CLAIM, false).is_some() && meta::is_terminating(&claim.metadata);
        let in_use = goes && self.in_use(&key).await?;
        if let Some(metadata) = plan(&claim.metadata, CLAIM, in_use) {
            let api = Api::namespaced(self.env.client.clone(), key.namespace_str());
            let next = PersistentVolumeClaim { metadata, ..PersistentVolumeClaim::clone(&claim) };
            write(&api, &self.memory, &key, &self.claims, &next).await?;
        }
        Ok(Next::Done)
    }
}

struct Volumes {
    env: Env,
    volumes: Typed<PersistentVolume>,
    memory: Memory,
}

#[async_trait]
impl Reconciler for Volumes {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        filled(&[self.volumes.cache()]).await;
        self.memory.settle(&key).await?;
        let Some(volume) = self.volumes.get(&key) else {
            self.memory.forget(&key);
            return Ok(Next::Done);
        };
        let bound = volume.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Bound"));
        if let Some(metadata) = plan(&volume.metadata, VOLUME, bound) {
            let next = PersistentVolume { metadata, ..PersistentVolume::clone(&volume) };
            write(&Api::all(self.env.client.clone()), &self.memory, &key, &self.volumes, &next).await?;
        }
        Ok(Next::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_finalizer_comes_at_once_and_goes_when_nothing_uses_the_object() {
        let mut of = ObjectMeta { finalizers: Some(vec!["other".to_owned()]), ..Default::default() };
        of = plan(&of, CLAIM, true).unwrap();
        assert_eq!(of.finalizers.as_ref().unwrap(), &["other", CLAIM]);
        assert_eq!(plan(&of, CLAIM, false), None, "it stays while the object does");
        of.deletion_timestamp = Some(meta::time(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(plan(&of, CLAIM, true), None);
        of = plan(&of, CLAIM, false).unwrap();
        assert_eq!(of.finalizers.as_ref().unwrap(), &["other"]);
        assert_eq!(plan(&of, CLAIM, false), None);
    }

    #[test]
    fn a_pod_uses_claims_once_it_is_on_a_node() {
        let pod = |node: serde_json::Value| -> Pod {
            serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"nodeName": node, "containers": [],
                "volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "e", "ephemeral": {}}]}}))
            .unwrap()
        };
        assert!(uses(&pod(json!("n")), "c") && uses(&pod(json!("n")), "p-e"));
        assert!(!uses(&pod(json!("n")), "a") && !uses(&pod(json!(null)), "c"));
    }
}
