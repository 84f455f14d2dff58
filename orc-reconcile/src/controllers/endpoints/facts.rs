//! What services and pods make of each other: addresses, ports, conditions.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use orc_core::labels::LabelMap;

use crate::controllers::support::{meta, pods};

/// A port that a pod serves for a service.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) number: i32,
    pub(crate) protocol: String,
    pub(crate) app_protocol: Option<String>,
}

/// The labels that a service selects; `None` for a service whose endpoints somebody else keeps.
pub(crate) fn selector(service: &Service) -> Option<&BTreeMap<String, String>> {
    let spec = service.spec.as_ref()?;
    let external = spec.type_.as_deref() == Some("ExternalName");
    spec.selector.as_ref().filter(|selector| !selector.is_empty() && !external)
}

/// Whether a selector of plain labels selects these.
pub(crate) fn selects(selector: &BTreeMap<String, String>, labels: Option<&impl LabelMap>) -> bool {
    selector.iter().all(|(key, value)| labels.is_some_and(|labels| labels.label(key) == Some(value)))
}

/// Whether addresses are given before pods are ready.
pub(crate) fn publishes_unready(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| spec.publish_not_ready_addresses == Some(true))
}

/// The address families of a service: `IPv4`, `IPv6`.
pub(crate) fn families(service: &Service) -> Vec<String> {
    let spec = service.spec.clone().unwrap_or_default();
    if let Some(families) = spec.ip_families.filter(|families| !families.is_empty()) {
        return families;
    }
    let v6 = spec.cluster_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok()).is_some_and(|ip| ip.is_ipv6());
    vec![if v6 { "IPv6" } else { "IPv4" }.to_owned()]
}

/// The pod's address of a family.
pub(crate) fn address(pod: &Pod, family: &str) -> Option<String> {
    let status = pod.status.as_ref()?;
    let all = status.pod_ips.iter().flatten().map(|ip| &ip.ip).chain(&status.pod_ip);
    let of_family = |ip: &&String| ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6() == (family == "IPv6"));
    all.into_iter().find(of_family).cloned()
}

/// Whether a pod can be an endpoint at all: it has not ended.
pub(crate) fn may_serve(pod: &Pod) -> bool {
    !pods::is_terminal(pod)
        && pod.status.as_ref().is_some_and(|status| status.pod_ip.is_some() || status.pod_ips.is_some())
}

/// The ports that a pod serves. A named target is looked up in the pod, so it may differ from pod to pod or be missing.
pub(crate) fn ports(service: &Service, pod: &Pod) -> Vec<Port> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    ports.filter_map(|port| Some(described(port, target(port, pod)?))).collect()
}

fn described(port: &ServicePort, number: i32) -> Port {
    Port {
        name: port.name.clone().unwrap_or_default(),
        number,
        protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
        app_protocol: port.app_protocol.clone(),
    }
}

fn target(port: &ServicePort, pod: &Pod) -> Option<i32> {
    let name = match port.target_port.as_ref() {
        None | Some(IntOrString::Int(0)) => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let spec = pod.spec.as_ref()?;
    let sidecar =
        spec.init_containers.iter().flatten().filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecar).flat_map(|container| container.ports.iter().flatten());
    let fits = |found: &&k8s_openapi::api::core::v1::ContainerPort| {
        found.name.as_deref() == Some(name) && found.protocol.as_deref().unwrap_or("TCP") == protocol
    };
    ports.into_iter().find(fits).map(|found| found.container_port)
}

/// The pod's host name, where the service gives it a DNS record.
pub(crate) fn hostname(service: &Service, pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let ours = spec.subdomain == service.metadata.name && service.metadata.namespace == pod.metadata.namespace;
    spec.hostname.clone().filter(|_| ours)
}

/// How endpoints point at their pod.
pub(crate) fn target_ref(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..Default::default()
    }
}

/// The labels of a service on its endpoints, and whether it is headless.
pub(crate) fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    let headless = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None");
    match headless {
        true => drop(labels.insert("service.kubernetes.io/headless".to_owned(), String::new())),
        false => drop(labels.remove("service.kubernetes.io/headless")),
    }
    labels
}

/// The name of a service.
pub(crate) fn name(service: &Service) -> &str {
    meta::name(&service.metadata)
}
