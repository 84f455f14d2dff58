//! The addresses and ports that a Service has names for.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::view::{View, addresses_of};

/// What a Service is to DNS.
pub(super) enum Shape {
    /// It has addresses of its own.
    Clustered(Vec<Ipv4Addr>),
    /// It is its endpoints.
    Headless(BTreeSet<Member>),
    /// It is another name.
    Alias(String),
}

/// An endpoint of a headless Service.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Member {
    /// Its host name below the Service: its own, or its address with dashes.
    pub(super) host: String,
    pub(super) address: Ipv4Addr,
    /// Name, protocol in lower case, number.
    pub(super) ports: Vec<(String, String, u16)>,
}

pub(super) fn shape(view: &dyn View, namespace: &str, service: &Service) -> Shape {
    let spec = service.spec.as_ref();
    if spec.is_some_and(|spec| spec.type_.as_deref() == Some("ExternalName")) {
        return Shape::Alias(spec.and_then(|spec| spec.external_name.clone()).unwrap_or_default());
    }
    if spec.is_some_and(|spec| spec.cluster_ip.as_deref() == Some("None")) {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let slices = view.slices(namespace, name);
        let early = spec.and_then(|spec| spec.publish_not_ready_addresses).unwrap_or(false);
        return Shape::Headless(slices.iter().flat_map(|slice| members(slice, early)).collect());
    }
    Shape::Clustered(addresses_of(service).filter_map(v4).collect())
}

/// The endpoints of a slice that are ready, or all of them where the Service publishes them early.
pub(super) fn members(slice: &EndpointSlice, early: bool) -> Vec<Member> {
    let ports = slice.ports.iter().flatten().filter_map(|port| {
        let number = u16::try_from(port.port?).ok()?;
        let protocol = port.protocol.as_deref().unwrap_or("TCP").to_ascii_lowercase();
        Some((port.name.clone().unwrap_or_default(), protocol, number))
    });
    let ports: Vec<_> = ports.collect();
    let mut found = Vec::new();
    for endpoint in slice.endpoints.iter().flatten() {
        // No condition at all counts as ready, says the API.
        let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
        if !ready && !early {
            continue;
        }
        for address in endpoint.addresses.iter().filter_map(|text| text.parse().ok()).filter_map(v4) {
            let own = endpoint.hostname.clone().filter(|host| !host.is_empty());
            let host = own.unwrap_or_else(|| address.to_string().replace('.', "-"));
            found.push(Member { host, address, ports: ports.clone() });
        }
    }
    found
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}
