//! The loop that keeps a data plane up to date: a key is a Service.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use orc_core::{ObjectKey, ResourceId};
use orc_reconcile::{CacheSource, Controller, Next, Reconciler, service};
use orc_store::cache::{Interest, Typed};
use orc_store::{Env, Stored};
use parking_lot::Mutex;

use crate::events;
use crate::plane::{DataPlane, RouteError};
use crate::routes::ServiceRoutes;
use crate::table::RoutingTable;

/// The label that names a slice's Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// The index of slices by `namespace/service`.
const BY_SERVICE: &str = "service";

/// Services applied at the same time: opening sockets is quick, but one that is refused must not hold up the rest.
const CONCURRENCY: usize = 8;

struct Router {
    services: Typed<Service>,
    slices: Typed<EndpointSlice>,
    plane: Arc<dyn DataPlane>,
    table: Mutex<RoutingTable>,
    /// What each Service was last told of; an error that stays is told once.
    told: Mutex<BTreeMap<ObjectKey, String>>,
    env: Env,
}

/// The router of a data plane.
pub fn router(env: &Env, plane: Arc<dyn DataPlane>) -> Controller<ObjectKey> {
    let services = env.caches.typed::<Service>();
    let cache = env.caches.cache(Interest::of::<EndpointSlice>());
    cache.add_index(
        BY_SERVICE,
        Arc::new(|stored: &Stored| service_of(stored).map(|key| index_value(&key)).into_iter().collect()),
    );
    let slices = cache.start().typed::<EndpointSlice>();
    let sources = (services.cache().clone(), slices.cache().clone());
    let router = Router { services, slices, plane, table: Mutex::default(), told: Mutex::default(), env: env.clone() };
    Controller::new("service-router", env, service(router))
        .concurrency(CONCURRENCY)
        .source(CacheSource::keys(sources.0))
        .source(CacheSource::new(sources.1, |stored| service_of(stored).into_iter().collect()))
}

fn service_of(stored: &Stored) -> Option<ObjectKey> {
    let name = stored.head.labels.get(SERVICE_LABEL)?;
    Some(ObjectKey {
        resource: ResourceId::of::<Service>(),
        namespace: stored.key.namespace.clone(),
        name: name.into(),
    })
}

fn index_value(key: &ObjectKey) -> String {
    format!("{}/{}", key.namespace_str(), key.name)
}

#[async_trait]
impl Reconciler for Router {
    type Error = RouteError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, RouteError> {
        // Until both caches are full, a Service without endpoints may be one whose slices are still to come.
        self.services.cache().synced().await;
        self.slices.cache().synced().await;
        let service = self.services.get(&key);
        let routes = service.as_ref().map(|service| {
            let snapshot = self.slices.snapshot();
            let slices = snapshot.by_index(BY_SERVICE, &index_value(&key));
            ServiceRoutes::of(service, slices.iter().map(AsRef::as_ref))
        });
        let applied = self.plane.apply(&key, routes.as_ref()).await;
        self.tell(&key, service.as_deref(), applied.as_ref().err()).await;
        applied?;
        self.table.lock().set(&key, routes);
        Ok(Next::Done)
    }
}

impl Router {
    /// Tells of an error that is new, by an event about the Service.
    async fn tell(&self, key: &ObjectKey, service: Option<&Service>, error: Option<&RouteError>) {
        let message = error.map(ToString::to_string);
        let is_new = {
            let mut told = self.told.lock();
            match &message {
                Some(text) => told.insert(key.clone(), text.clone()).as_ref() != Some(text),
                None => told.remove(key).is_some(),
            }
        };
        if let (true, Some(service), Some(message)) = (is_new, service, message) {
            events::warn(&self.env, service, &message).await;
        }
    }
}
