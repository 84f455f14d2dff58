//! The objects that answers are made of.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use orc_core::{ObjectKey, ResourceId};
use orc_store::cache::{Interest, Typed};
use orc_store::{Env, Stored};

/// The label that names a slice's Service.
pub(crate) const SERVICE_LABEL: &str = "kubernetes.io/service-name";
const BY_SERVICE: &str = "service";
const BY_ADDRESS: &str = "address";

/// Services and EndpointSlices, as far as names need them. Implementations answer from memory and must not block.
pub trait View: Send + Sync + 'static {
    /// A number that grows when objects change; `None` while not all objects are there yet.
    fn serial(&self) -> Option<u32>;
    /// A Service.
    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>>;
    /// Whether a namespace has any Service.
    fn has_services(&self, namespace: &str) -> bool;
    /// The slices of a Service.
    fn slices(&self, namespace: &str, service: &str) -> Vec<Arc<EndpointSlice>>;
    /// Services with a cluster address.
    fn services_at(&self, address: IpAddr) -> Vec<Arc<Service>>;
    /// Slices that have an endpoint at an address.
    fn slices_at(&self, address: IpAddr) -> Vec<Arc<EndpointSlice>>;
}

/// The caches as a view.
pub struct CacheView {
    services: Typed<Service>,
    slices: Typed<EndpointSlice>,
}

impl CacheView {
    /// The view of an environment's caches, which are started.
    pub fn new(env: &Env) -> Self {
        let services = env.caches.cache(Interest::of::<Service>());
        services.add_index(BY_ADDRESS, Arc::new(cluster_addresses));
        let slices = env.caches.cache(Interest::of::<EndpointSlice>());
        slices.add_index(BY_SERVICE, Arc::new(|stored: &Stored| owner(stored).into_iter().collect()));
        slices.add_index(BY_ADDRESS, Arc::new(endpoint_addresses));
        Self { services: services.start().typed(), slices: slices.start().typed() }
    }
}

fn owner(stored: &Stored) -> Option<String> {
    Some(format!("{}/{}", stored.key.namespace_str(), stored.head.labels.get(SERVICE_LABEL)?))
}

fn cluster_addresses(stored: &Stored) -> Vec<String> {
    let Ok(service) = stored.view::<Service>() else { return Vec::new() };
    addresses_of(&service).map(|ip| ip.to_string()).collect()
}

fn endpoint_addresses(stored: &Stored) -> Vec<String> {
    let Ok(slice) = stored.view::<EndpointSlice>() else { return Vec::new() };
    let addresses = slice.endpoints.iter().flatten().flat_map(|endpoint| &endpoint.addresses);
    addresses.filter_map(|text| text.parse::<IpAddr>().ok()).map(|ip| ip.to_string()).collect()
}

/// The cluster addresses of a Service.
pub(super) fn addresses_of(service: &Service) -> impl Iterator<Item = IpAddr> + '_ {
    let spec = service.spec.iter();
    spec.flat_map(|spec| spec.cluster_ips.iter().flatten()).filter_map(|text| text.parse().ok())
}

impl View for CacheView {
    fn serial(&self) -> Option<u32> {
        let (services, slices) = (self.services.cache(), self.slices.cache());
        if !services.is_synced() || !slices.is_synced() {
            return None;
        }
        let revision = services.snapshot().revision().max(slices.snapshot().revision());
        // Serials wrap around by design (RFC 1982).
        Some(revision.0 as u32)
    }

    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>> {
        self.services.get(&ObjectKey::namespaced(ResourceId::of::<Service>(), namespace, name))
    }

    fn has_services(&self, namespace: &str) -> bool {
        self.services.cache().snapshot().in_namespace(namespace).next().is_some()
    }

    fn slices(&self, namespace: &str, service: &str) -> Vec<Arc<EndpointSlice>> {
        self.slices.by_index(BY_SERVICE, &format!("{namespace}/{service}"))
    }

    fn services_at(&self, address: IpAddr) -> Vec<Arc<Service>> {
        self.services.by_index(BY_ADDRESS, &address.to_string())
    }

    fn slices_at(&self, address: IpAddr) -> Vec<Arc<EndpointSlice>> {
        self.slices.by_index(BY_ADDRESS, &address.to_string())
    }
}
