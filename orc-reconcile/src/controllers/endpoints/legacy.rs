//! The `Endpoints` object of a service: `endpoints_controller.go` of upstream.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::facts::{self, Port};
use crate::controllers::support::{Plan, meta, pods};

/// The most addresses of an object; beyond it they are cut off, and the object says so.
const MAX: usize = 1000;
const OVER: &str = "endpoints.kubernetes.io/over-capacity";
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";

/// A write of a service's endpoints.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Write {
    Create(Box<Endpoints>),
    Replace(Box<Endpoints>),
}

/// Brings a service's endpoints in line with its pods.
pub(crate) fn plan(service: &Service, selected: &[Arc<Pod>], present: Option<&Endpoints>) -> Plan<Write, ()> {
    let (subsets, cut) = subsets(service, selected);
    let mut next = present.cloned().unwrap_or_else(|| Endpoints {
        metadata: ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            ..Default::default()
        },
        ..Default::default()
    });
    next.subsets = Some(subsets).filter(|subsets| !subsets.is_empty());
    let mut labels = facts::labels(service);
    labels.insert(MANAGED_BY.to_owned(), "endpoint-controller".to_owned());
    next.metadata.labels = Some(labels);
    let annotations = next.metadata.annotations.get_or_insert_default();
    match cut {
        true => drop(annotations.insert(OVER.to_owned(), "truncated".to_owned())),
        false => drop(annotations.remove(OVER)),
    }
    next.metadata.annotations = next.metadata.annotations.filter(|annotations| !annotations.is_empty());
    let writes = match present {
        None => vec![Write::Create(Box::new(next))],
        Some(present) if *present != next => vec![Write::Replace(Box::new(next))],
        Some(_) => Vec::new(),
    };
    Plan { writes, ..Plan::default() }
}

/// Addresses by the ports they serve, ready and not; cut off at the limit, ready ones first.
fn subsets(service: &Service, selected: &[Arc<Pod>]) -> (Vec<EndpointSubset>, bool) {
    let family = facts::families(service).into_iter().next().unwrap_or_default();
    let headless = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None");
    let ending = |pod: &Pod| meta::is_terminating(&pod.metadata);
    let unready_too = facts::publishes_unready(service);
    let pods: Vec<_> = selected.iter().filter(|pod| facts::may_serve(pod) && (unready_too || !ending(pod))).collect();
    let (ready, unready): (Vec<_>, Vec<_>) = pods.into_iter().partition(|pod| unready_too || pods::is_ready(pod));
    let all = ready.iter().map(|pod| (*pod, true)).chain(unready.iter().map(|pod| (*pod, false)));
    let mut by_ports: BTreeMap<Vec<Port>, (Vec<EndpointAddress>, Vec<EndpointAddress>)> = BTreeMap::new();
    let mut count = 0;
    for (pod, is_ready) in all {
        let Some(ip) = facts::address(pod, &family) else { continue };
        let ports = facts::ports(service, pod);
        if ports.is_empty() && !headless {
            continue;
        }
        count += 1;
        if count > MAX {
            break;
        }
        let (ready, unready) = by_ports.entry(ports).or_default();
        if is_ready { ready.push(address(service, pod, ip)) } else { unready.push(address(service, pod, ip)) }
    }
    (by_ports.into_iter().map(|(ports, (ready, unready))| subset(ports, ready, unready)).collect(), count > MAX)
}

fn address(service: &Service, pod: &Pod, ip: String) -> EndpointAddress {
    EndpointAddress {
        ip,
        hostname: facts::hostname(service, pod),
        node_name: Some(pods::node(pod).to_owned()).filter(|node| !node.is_empty()),
        target_ref: Some(facts::target_ref(pod)),
    }
}

fn subset(ports: Vec<Port>, mut ready: Vec<EndpointAddress>, mut unready: Vec<EndpointAddress>) -> EndpointSubset {
    for list in [&mut ready, &mut unready] {
        list.sort_by(|a, b| a.ip.cmp(&b.ip));
    }
    let port = |port: Port| EndpointPort {
        name: Some(port.name).filter(|name| !name.is_empty()),
        port: port.number,
        protocol: Some(port.protocol),
        app_protocol: port.app_protocol,
    };
    let some = |list: Vec<EndpointAddress>| Some(list).filter(|list| !list.is_empty());
    let ports: Vec<_> = ports.into_iter().map(port).collect();
    EndpointSubset {
        addresses: some(ready),
        not_ready_addresses: some(unready),
        ports: Some(ports).filter(|ports| !ports.is_empty()),
    }
}
