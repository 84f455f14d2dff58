//! Endpoints of services: `EndpointSlice`s, and the older `Endpoints` that some clients still read.
//!
//! A pod concerns the services of its namespace that select it, in its state before or after a change. A service without a
//! selector is left alone.

mod facts;
mod kubernetes;
mod legacy;
mod slices;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use orc_core::{Name, ObjectKey, ResourceId};
use orc_store::cache::Typed;
use orc_store::client::{DeleteOptions, Preconditions};
use orc_store::{Api, Env, Stored};

pub use self::kubernetes::kubernetes_endpoints;
use super::support::{AGAIN, Memory, PassError, filled, meta};
use crate::{CacheSource, Controller, Next, Reconciler, service as serve};

/// The index of slices by namespace and service, `namespace/service`.
const BY_SERVICE: &str = "service";

/// The loop that keeps endpoint slices.
pub fn endpoint_slice(env: Env) -> Controller<ObjectKey> {
    let slices = env.caches.typed::<EndpointSlice>();
    slices.cache().add_index(BY_SERVICE, Arc::new(|slice: &Stored| service_of(slice).into_iter().collect()));
    let to_service = |slice: &Arc<Stored>| {
        let name = slice.head.labels.get(slices::SERVICE).filter(|_| service_of(slice).is_some());
        name.map(|name| key_of(&slice.key, name)).into_iter().collect()
    };
    let pods = Pods::new(&env);
    let sources = pods.sources();
    let reconciler = Slices { env: env.clone(), pods, slices: slices.clone(), memory: Memory::default() };
    Controller::new("endpointslice-controller", &env, serve(reconciler))
        .concurrency(5)
        .source(sources.0)
        .source(sources.1)
        .source(CacheSource::new(slices.cache().clone(), to_service))
}

/// The loop that keeps `Endpoints`.
pub fn endpoints(env: Env) -> Controller<ObjectKey> {
    let objects = env.caches.typed::<Endpoints>();
    let to_service = |object: &Arc<Stored>| vec![key_of(&object.key, &object.key.name)];
    let pods = Pods::new(&env);
    let sources = pods.sources();
    let reconciler = Legacy { env: env.clone(), pods, objects: objects.clone(), memory: Memory::default() };
    Controller::new("endpoint-controller", &env, serve(reconciler))
        .concurrency(5)
        .source(sources.0)
        .source(sources.1)
        .source(CacheSource::new(objects.cache().clone(), to_service))
}

fn key_of(near: &ObjectKey, name: &str) -> ObjectKey {
    ObjectKey { resource: ResourceId::of::<Service>(), namespace: near.namespace.clone(), name: Name::new(name) }
}

/// The service of a slice that this loop manages.
fn service_of(slice: &Stored) -> Option<String> {
    let labels = &slice.head.labels;
    let ours = labels.get(slices::MANAGED_BY).is_some_and(|by| by == slices::MANAGER);
    labels.get(slices::SERVICE).filter(|_| ours).map(|name| format!("{}/{name}", slice.key.namespace_str()))
}

/// Services and the pods that they select.
struct Pods {
    services: Typed<Service>,
    pods: Typed<Pod>,
}

impl Pods {
    fn new(env: &Env) -> Self {
        Self { services: env.caches.typed(), pods: env.caches.typed() }
    }

    fn sources(&self) -> (CacheSource<ObjectKey>, CacheSource<ObjectKey>) {
        let services = self.services.clone();
        let selecting = move |pod: &Arc<Stored>| {
            let near = services.in_namespace(pod.key.namespace_str());
            let selects = |service: &&Arc<Service>| {
                facts::selector(service).is_some_and(|selector| facts::selects(selector, Some(&pod.head.labels)))
            };
            near.iter().filter(selects).map(|service| key_of(&pod.key, facts::name(service))).collect()
        };
        (CacheSource::keys(self.services.cache().clone()), CacheSource::new(self.pods.cache().clone(), selecting))
    }

    fn selected(&self, service: &Service) -> Option<Vec<Arc<Pod>>> {
        let selector = facts::selector(service)?;
        let mut pods = self.pods.in_namespace(meta::namespace(&service.metadata));
        pods.retain(|pod| facts::selects(selector, pod.metadata.labels.as_ref()));
        Some(pods)
    }
}

struct Slices {
    env: Env,
    pods: Pods,
    slices: Typed<EndpointSlice>,
    memory: Memory,
}

#[async_trait]
impl Reconciler for Slices {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        filled(&[self.pods.services.cache(), self.pods.pods.cache(), self.slices.cache()]).await;
        self.memory.settle(&key).await?;
        let present = self.present(&key);
        let service = self.pods.services.get(&key);
        let writes = match &service {
            None => present.into_iter().map(slices::Write::Delete).collect(),
            Some(service) if meta::is_terminating(&service.metadata) => Vec::new(),
            Some(service) => match self.pods.selected(service) {
                None => Vec::new(),
                Some(pods) => slices::plan(service, &pods, &present).writes,
            },
        };
        if service.is_none() && writes.is_empty() {
            self.memory.forget(&key);
        }
        let done = writes.is_empty();
        self.write(&key, writes).await?;
        Ok(if done { Next::Done } else { AGAIN })
    }
}

impl Slices {
    fn present(&self, key: &ObjectKey) -> Vec<Arc<EndpointSlice>> {
        let mut present = self.slices.by_index(BY_SERVICE, &format!("{}/{}", key.namespace_str(), key.name));
        self.memory.seen(key, &present.iter().map(|slice| meta::name(&slice.metadata)).collect());
        let alive = present.iter().map(|slice| meta::uid(&slice.metadata)).collect::<BTreeSet<_>>();
        let leaving = self.memory.leaving(key, &alive);
        present.retain(|slice| !leaving.contains(meta::uid(&slice.metadata)));
        present
    }

    async fn write(&self, key: &ObjectKey, writes: Vec<slices::Write>) -> Result<(), PassError> {
        let api: Api<EndpointSlice> = Api::namespaced(self.env.client.clone(), key.namespace_str());
        let wrote = |slice: &EndpointSlice| {
            self.memory.wrote(key, self.slices.cache(), slice.metadata.resource_version.as_deref())
        };
        for write in writes {
            match write {
                slices::Write::Create(mut slice) => {
                    let prefix = slice.metadata.generate_name.clone().unwrap_or_default();
                    let name = self.memory.names(key, 1, || self.env.ids.generate(&prefix)).remove(0);
                    slice.metadata.name = Some(name.clone());
                    match api.create(&slice).await {
                        Ok(made) => wrote(&made),
                        // Its fate is open, or an earlier try made it: the cache will show it.
                        Err(error) if meta::is_uncertain(&error) => return Err(error.into()),
                        Err(error)
                            if error.is_already_exists() && self.slices.cache().get(&api.key(&name)).is_none() =>
                        {
                            return Err(error.into());
                        }
                        Err(error) => {
                            self.memory.decided(key, &name);
                            return Err(error.into());
                        }
                    }
                    self.memory.decided(key, &name);
                }
                slices::Write::Replace(slice) => wrote(&*api.replace(&slice).await?),
                slices::Write::Delete(slice) => {
                    let preconditions = Preconditions { uid: slice.metadata.uid.clone(), revision: None };
                    let options = DeleteOptions { preconditions, ..DeleteOptions::default() };
                    match api.delete(meta::name(&slice.metadata), options).await {
                        Err(error) if !error.is_not_found() => return Err(error.into()),
                        _ => self.memory.deleted(key, meta::uid(&slice.metadata)),
                    }
                }
            }
        }
        Ok(())
    }
}

struct Legacy {
    env: Env,
    pods: Pods,
    objects: Typed<Endpoints>,
    memory: Memory,
}

#[async_trait]
impl Reconciler for Legacy {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        filled(&[self.pods.services.cache(), self.pods.pods.cache(), self.objects.cache()]).await;
        self.memory.settle(&key).await?;
        let api: Api<Endpoints> = Api::namespaced(self.env.client.clone(), key.namespace_str());
        let present = self.objects.get(&api.key(&key.name));
        let Some(service) = self.pods.services.get(&key) else {
            self.memory.forget(&key);
            return self.delete(&api, present.as_deref()).await;
        };
        let Some(pods) = self.pods.selected(&service) else { return Ok(Next::Done) };
        for write in legacy::plan(&service, &pods, present.as_deref()).writes {
            let written = match write {
                legacy::Write::Create(object) => api.create(&object).await,
                legacy::Write::Replace(object) => api.replace(&object).await,
            };
            match written {
                Ok(written) => {
                    self.memory.wrote(&key, self.objects.cache(), written.metadata.resource_version.as_deref())
                }
                Err(error) if meta::namespace_is_ending(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Next::Done)
    }
}

impl Legacy {
    /// Endpoints end with their service, whoever wrote them; those that elect a leader are none of a service.
    async fn delete(&self, api: &Api<Endpoints>, present: Option<&Endpoints>) -> Result<Next, PassError> {
        let Some(present) = present else { return Ok(Next::Done) };
        if meta::annotation(&present.metadata, "control-plane.alpha.kubernetes.io/leader").is_some() {
            return Ok(Next::Done);
        }
        let preconditions = Preconditions { uid: present.metadata.uid.clone(), revision: None };
        let options = DeleteOptions { preconditions, ..DeleteOptions::default() };
        match api.delete(meta::name(&present.metadata), options).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(Next::Done),
        }
    }
}
