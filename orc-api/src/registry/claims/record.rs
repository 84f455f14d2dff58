//! What a claim looks like in the store.

use std::net::Ipv4Addr;

use bytes::Bytes;
use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use orc_store::local::rules;
use serde_json::{Value, json};

use super::Number;
use crate::registry::Registry;

/// Marks the addresses that servers claim, as upstream does.
pub(super) const MANAGED_BY: (&str, &str) = ("ipaddress.kubernetes.io/managed-by", "ipallocator");

/// The resource of addresses.
pub(super) fn addresses() -> ResourceId {
    ResourceId::new("networking.k8s.io", "ipaddresses")
}

/// The resource of node ports; not served.
pub(super) fn node_ports() -> ResourceId {
    ResourceId::new("internal.orc", "nodeports")
}

/// The key of a number's claim.
pub(super) fn key(number: Number) -> ObjectKey {
    match number {
        Number::Address(address) => ObjectKey::cluster(addresses(), Ipv4Addr::from(address).to_string()),
        Number::Port(port) => ObjectKey::cluster(node_ports(), port.to_string()),
    }
}

/// The number that a claim is of.
pub(super) fn number(key: &ObjectKey) -> Option<Number> {
    if key.resource == addresses() {
        return key.name.parse::<Ipv4Addr>().ok().map(|address| Number::Address(address.into()));
    }
    key.name.parse().ok().map(Number::Port)
}

/// The Service that a claim was made for: namespace and name. `None` for what users made by themselves.
pub(super) fn owner(doc: &Doc) -> Option<ObjectKey> {
    let by_server = doc.kind() == "NodePort" || doc.str_at(&["metadata", "labels", MANAGED_BY.0]) == Some(MANAGED_BY.1);
    let text = |field: &str| doc.str_at(&["spec", "parentRef", field]).filter(|text| !text.is_empty());
    let (namespace, name) = (text("namespace")?, text("name")?);
    by_server.then(|| ObjectKey::namespaced(ResourceId::new("", "services"), namespace, name))
}

impl Registry {
    /// The body of a claim.
    pub(super) fn claim_body(&self, number: Number, of: &ObjectKey) -> Result<Bytes, ApiError> {
        let parent = json!({
            "group": "", "resource": "services", "namespace": of.namespace_str(), "name": of.name.as_str()
        });
        let mut doc = Doc::from_value(match number {
            Number::Address(_) => address(parent),
            Number::Port(_) => port(parent),
        })?;
        let key = key(number);
        rules::stamp_new(&mut doc, &key, self.system.ids.uid(), self.system.clock.now());
        if let Number::Address(_) = number {
            let kind = self.kind(&key.resource)?;
            if kind.rules.generation() {
                rules::start_generation(&mut doc);
            }
            kind.canonical(&mut doc);
        }
        Ok(doc.to_body())
    }
}

fn address(parent: Value) -> Value {
    let labels = json!({"ipaddress.kubernetes.io/ip-family": "IPv4", MANAGED_BY.0: MANAGED_BY.1});
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress",
        "metadata": {"labels": labels}, "spec": {"parentRef": parent}
    })
}

fn port(parent: Value) -> Value {
    json!({"apiVersion": "internal.orc/v1", "kind": "NodePort", "metadata": {}, "spec": {"parentRef": parent}})
}
