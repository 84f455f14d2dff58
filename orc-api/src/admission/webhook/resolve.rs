//! From a Service to an address that can be called.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use orc_core::labels::{Operator, Requirement, Selector};
use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use orc_store::Store;
use orc_store::client::{Freshness, ListOptions, Scope, Selection};
use serde_json::Value;

/// Finds where a Service is served.
#[async_trait]
pub trait ServiceResolver: Send + Sync + 'static {
    /// An address of a ready endpoint behind a port of a Service. May be called often; must not keep the caller waiting
    /// for endpoints to come.
    ///
    /// # Errors
    /// A text for people, such as `service "x" not found`.
    async fn resolve(&self, namespace: &str, name: &str, port: u16) -> Result<SocketAddr, String>;
}

/// Resolves by the Services and EndpointSlices in the store.
pub struct StoreResolver {
    store: Arc<Store>,
}

impl StoreResolver {
    /// A resolver over a store.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    async fn slices(&self, namespace: &str, name: &str) -> Result<Vec<Doc>, ApiError> {
        let scope = Scope::within(ResourceId::new("discovery.k8s.io", "endpointslices"), namespace);
        let of = Requirement::new("kubernetes.io/service-name", Operator::Equals, [name.to_owned()]);
        let labels = Selector::of([of.map_err(ApiError::internal)?]);
        let select = Selection { labels, ..Selection::default() };
        let options = ListOptions { select, freshness: Freshness::Any, ..ListOptions::default() };
        self.store.list(&scope, &options).await?.items.iter().map(|item| item.to_doc()).collect()
    }
}

#[async_trait]
impl ServiceResolver for StoreResolver {
    async fn resolve(&self, namespace: &str, name: &str, port: u16) -> Result<SocketAddr, String> {
        let key = ObjectKey::namespaced(ResourceId::new("", "services"), namespace, name);
        let found = self.store.find(&key).await.map_err(|error| error.to_string())?;
        let service =
            found.ok_or_else(|| format!("service {name:?} not found"))?.to_doc().map_err(|e| e.to_string())?;
        let ports = service.at(&["spec", "ports"]).and_then(Value::as_array).into_iter().flatten();
        let wanted = ports.clone().find(|p| p.get("port").and_then(Value::as_u64) == Some(u64::from(port)));
        let wanted = wanted.ok_or_else(|| format!("no service port {port} found for service {name:?}"))?;
        let port_name = wanted.get("name").and_then(Value::as_str).unwrap_or_default();
        let slices = self.slices(namespace, name).await.map_err(|error| error.to_string())?;
        let found = slices.iter().find_map(|slice| ready(slice, port_name));
        found.ok_or_else(|| format!("no endpoints available for service {name:?}"))
    }
}

/// The first ready endpoint of a slice that serves the port.
fn ready(slice: &Doc, port_name: &str) -> Option<SocketAddr> {
    let ports = slice.at(&["ports"]).and_then(Value::as_array)?;
    let of_name = |p: &&Value| p.get("name").and_then(Value::as_str).unwrap_or_default() == port_name;
    let port = u16::try_from(ports.iter().find(of_name)?.get("port")?.as_u64()?).ok()?;
    let endpoints = slice.at(&["endpoints"]).and_then(Value::as_array)?;
    let is_ready = |e: &&Value| e.pointer("/conditions/ready").and_then(Value::as_bool) != Some(false);
    let address = |e: &Value| e.get("addresses")?.get(0)?.as_str()?.parse::<IpAddr>().ok();
    endpoints.iter().filter(is_ready).find_map(address).map(|ip| SocketAddr::new(ip, port))
}
