//! Claims of devices: made from templates for pods that name one, and given back when their pods are gone.
//!
//! Follows `k8s.io/kubernetes/pkg/controller/resourceclaim`: the scheduler gives devices to claims, this loop takes them back
//! once the last pod that a claim is reserved for has ended or is gone.

mod plan;

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceClaimTemplate};
use orc_core::{Object, ObjectKey, ResourceId};
use orc_store::cache::Typed;
use orc_store::{Api, Env, Stored};

use self::plan::Step;
use super::support::workload::only;
use super::support::{AGAIN, Memory, PassError, filled, meta};
use crate::{CacheSource, Controller, Next, Reconciler, service};

/// The loop that makes claims of templates and frees the devices of claims that nobody uses. Its keys are those of pods and of
/// claims.
pub fn resource_claim(env: Env) -> Controller<ObjectKey> {
    let (claims, pods) = (env.caches.typed::<ResourceClaim>(), env.caches.typed::<Pod>());
    let templates = env.caches.typed::<ResourceClaimTemplate>();
    let (of_claims, of_pods, of_templates) = (claims.cache().clone(), pods.cache().clone(), templates.cache().clone());
    let waiting = pods.clone();
    let reconciler = Claims { env: env.clone(), claims, pods, templates, memory: Memory::default() };
    Controller::new("resource-claim-controller", &env, service(reconciler))
        .concurrency(4)
        .source(CacheSource::keys(of_claims.clone()))
        .source(CacheSource::owners::<Pod>(of_claims))
        .source(CacheSource::new(of_pods, keys_of_pod))
        .source(CacheSource::new(of_templates, move |template| pods_of_template(&waiting, template)))
}

/// A pod that names claims, and the claims. Few do, and every change of every pod comes by here.
fn keys_of_pod(stored: &Arc<Stored>) -> Vec<ObjectKey> {
    if !stored.may_have("resourceClaims") {
        return Vec::new();
    }
    let Ok(pod) = stored.view::<Pod>() else { return Vec::new() };
    let named = plan::named(&pod);
    if named.is_empty() && plan::templated(&pod).is_empty() {
        return Vec::new();
    }
    let claim = |name: &str| ObjectKey::namespaced(claims_id(), stored.key.namespace_str(), name);
    named.into_iter().map(claim).chain([stored.key.clone()]).collect()
}

/// The pods that may wait for a template.
fn pods_of_template(pods: &Typed<Pod>, template: &Arc<Stored>) -> Vec<ObjectKey> {
    let namespace = template.key.namespace_str();
    let names = |pod: &Arc<Pod>| {
        let all = plan::templated(pod).into_iter();
        all.filter(|claim| claim.resource_claim_template_name.as_deref() == Some(template.key.name.as_str())).count()
    };
    let waiting = pods.in_namespace(namespace).into_iter().filter(|pod| names(pod) > 0);
    waiting.map(|pod| ObjectKey::namespaced(ResourceId::of::<Pod>(), namespace, meta::name(&pod.metadata))).collect()
}

fn claims_id() -> ResourceId {
    ResourceId::of::<ResourceClaim>()
}

struct Claims {
    env: Env,
    claims: Typed<ResourceClaim>,
    pods: Typed<Pod>,
    templates: Typed<ResourceClaimTemplate>,
    memory: Memory,
}

#[async_trait]
impl Reconciler for Claims {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        filled(&[self.claims.cache(), self.pods.cache(), self.templates.cache()]).await;
        self.memory.settle(&key).await?;
        let of_claim = key.resource == claims_id();
        let found = if of_claim { self.claims.get(&key).is_some() } else { self.pods.get(&key).is_some() };
        if !found {
            self.memory.forget(&key);
            return Ok(Next::Done);
        }
        if of_claim { self.claim(&key).await } else { self.pod(&key).await }
    }
}

impl Claims {
    fn api<K: Object>(&self, key: &ObjectKey) -> Api<K>
    where
        K::DynamicType: Default,
    {
        Api::namespaced(self.env.client.clone(), key.namespace_str())
    }

    /// Makes the claims of a pod, and tells the pod their names.
    async fn pod(&self, key: &ObjectKey) -> Result<Next, PassError> {
        let Some(pod) = self.pods.get(key) else { return Ok(Next::Done) };
        for entry in plan::templated(&pod) {
            let template = entry.resource_claim_template_name.as_deref().unwrap_or_default();
            let claim = self.claim_of(key, &pod, &entry.name, template).await?;
            if plan::told(&pod, &entry.name) == Some(claim.as_str()) {
                continue;
            }
            let (uid, name) = (meta::uid(&pod.metadata).to_owned(), entry.name.clone());
            let tell = |there: &mut Pod| {
                if meta::uid(&there.metadata) == uid {
                    plan::tell(there, &name, &claim);
                }
            };
            match self.api::<Pod>(key).modify_status(&key.name, tell).await {
                Ok(pod) => self.memory.wrote(key, self.pods.cache(), pod.metadata.resource_version.as_deref()),
                Err(error) if error.is_not_found() => return Ok(Next::Done),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Next::Done)
    }

    /// The name of the claim of an entry, which is made where there is none.
    async fn claim_of(&self, key: &ObjectKey, pod: &Pod, entry: &str, template: &str) -> Result<String, PassError> {
        let own = |claim: &Arc<ResourceClaim>| {
            plan::is_for(claim, pod) && meta::annotation(&claim.metadata, plan::POD_CLAIM) == Some(entry)
        };
        if let Some(found) = self.claims.in_namespace(key.namespace_str()).into_iter().find(own) {
            return Ok(meta::name(&found.metadata).to_owned());
        }
        let place = ObjectKey::namespaced(ResourceId::of::<ResourceClaimTemplate>(), key.namespace_str(), template);
        let missing = || PassError::Wait(format!("resourceclaimtemplate \"{template}\" not found"));
        let made = plan::claim(pod, entry, &*self.templates.get(&place).ok_or_else(missing)?);
        let name = meta::name(&made.metadata).to_owned();
        match self.api::<ResourceClaim>(key).create(&made).await {
            Ok(written) => {
                self.memory.wrote(key, self.claims.cache(), written.metadata.resource_version.as_deref());
                Ok(name)
            }
            // Made by a pass whose answer was lost; or somebody else's.
            Err(error) if error.is_already_exists() => match self.api::<ResourceClaim>(key).get_opt(&name).await? {
                Some(there) if plan::is_for(&there, pod) => Ok(name),
                _ => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Takes devices back from a claim, and lets it go.
    async fn claim(&self, key: &ObjectKey) -> Result<Next, PassError> {
        let Some(claim) = self.claims.get(key) else { return Ok(Next::Done) };
        let mut gone = Vec::new();
        for user in claim.status.iter().flat_map(|status| status.reserved_for.iter().flatten()) {
            if user.resource == "pods" && self.is_gone(key, &user.name, &user.uid).await? {
                gone.push(user.uid.clone());
            }
        }
        let owner = meta::controller(&claim.metadata).filter(|owner| owner.kind == "Pod");
        let made = meta::annotation(&claim.metadata, plan::POD_CLAIM).is_some();
        let ended = match owner.filter(|_| made) {
            Some(owner) => self.is_gone(key, &owner.name, &owner.uid).await?,
            None => false,
        };
        let api = self.api::<ResourceClaim>(key);
        let next = match plan::plan(&claim, ended, |_, uid| gone.iter().any(|own| own == uid)) {
            Step::Done => return Ok(Next::Done),
            Step::Status(status) => {
                // Bound to the revision: a pod that was added meanwhile must not be lost.
                api.replace_status(&ResourceClaim { status: Some(*status), ..ResourceClaim::clone(&claim) }).await
            }
            Step::Release => {
                let mut next = ResourceClaim::clone(&claim);
                next.metadata.finalizers.iter_mut().for_each(|all| all.retain(|own| own != plan::FINALIZER));
                api.replace(&next).await
            }
            Step::Delete => {
                return match api.delete(&key.name, only(&claim.metadata)).await {
                    Err(error) if !error.is_not_found() => Err(error.into()),
                    _ => Ok(Next::Done),
                };
            }
        };
        match next {
            Ok(written) => {
                self.memory.wrote(key, self.claims.cache(), written.metadata.resource_version.as_deref());
                Ok(AGAIN)
            }
            Err(error) if error.is_not_found() => Ok(Next::Done),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a pod uses nothing any more. That there is none is asked of the server: a cache that is behind must not take
    /// devices from a pod that runs.
    async fn is_gone(&self, claim: &ObjectKey, name: &str, uid: &str) -> Result<bool, PassError> {
        let key = ObjectKey::namespaced(ResourceId::of::<Pod>(), claim.namespace_str(), name);
        if let Some(pod) = self.pods.get(&key).filter(|pod| meta::uid(&pod.metadata) == uid) {
            return Ok(plan::is_done(&pod));
        }
        let there = self.api::<Pod>(claim).get_opt(name).await?.filter(|pod| meta::uid(&pod.metadata) == uid);
        Ok(there.is_none_or(|pod| plan::is_done(&pod)))
    }
}
