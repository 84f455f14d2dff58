//! Endpoint slices of a service: `reconciler.go` of `k8s.io/endpointslice`, with the same aims: few writes, slices of at
//! most 100 endpoints, an endpoint stays in its slice.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::facts::{self, Port};
use crate::controllers::support::{Plan, meta, pods};

/// The label that names a slice's service.
pub(crate) const SERVICE: &str = "kubernetes.io/service-name";
pub(crate) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
pub(crate) const MANAGER: &str = "endpointslice-controller.k8s.io";
/// The most endpoints of a slice; upstream's default.
const MAX: usize = 100;

/// A write of a service's slices.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Write {
    Create(Box<EndpointSlice>),
    Replace(Box<EndpointSlice>),
    Delete(Arc<EndpointSlice>),
}

/// Slices are made for each family and each set of ports.
type Group = (String, Vec<Port>);

/// Brings a service's slices in line with its pods.
pub(crate) fn plan(service: &Service, selected: &[Arc<Pod>], present: &[Arc<EndpointSlice>]) -> Plan<Write, ()> {
    let mut groups = wanted(service, selected);
    let mut writes = Vec::new();
    let mut room: BTreeMap<Group, Vec<EndpointSlice>> = BTreeMap::new();
    let mut unused: Vec<Arc<EndpointSlice>> = Vec::new();
    for slice in present.iter().filter(|slice| !meta::is_terminating(&slice.metadata)) {
        let group = group_of(slice);
        match groups.get_mut(&group) {
            // Endpoints that are still wanted stay where they are, as they are now.
            Some(wanted) => {
                let mut next = EndpointSlice::clone(slice);
                let stay = next
                    .endpoints
                    .take()
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|old| wanted.remove(&identity(&old)));
                next.endpoints = Some(stay.collect());
                room.entry(group).or_default().push(next);
            }
            None => unused.push(slice.clone()),
        }
    }
    for (group, left) in groups {
        let mut left: Vec<Endpoint> = left.into_values().collect();
        let mut slices = room.remove(&group).unwrap_or_default();
        for slice in &mut slices {
            let endpoints = slice.endpoints.get_or_insert_default();
            let take = left.len().min(MAX.saturating_sub(endpoints.len()));
            endpoints.extend(left.drain(..take));
        }
        keep_or_drop(service, slices, present, &mut writes);
        for chunk in left.chunks(MAX) {
            writes.push(Write::Create(Box::new(made(service, &group, chunk))));
        }
    }
    writes.extend(unused.into_iter().map(Write::Delete));
    // A service without endpoints has one empty slice, so that its readers know that it has none.
    let empty = |write: &Write| matches!(write, Write::Delete(_));
    if writes.iter().filter(|write| empty(write)).count() == present.len() && writes.iter().all(empty) {
        writes.clear();
        writes.extend(placeholder(service, present));
    }
    Plan { writes, ..Plan::default() }
}

fn keep_or_drop(
    service: &Service,
    slices: Vec<EndpointSlice>,
    present: &[Arc<EndpointSlice>],
    writes: &mut Vec<Write>,
) {
    for mut slice in slices {
        let Some(before) = present.iter().find(|old| old.metadata.uid == slice.metadata.uid) else { continue };
        if slice.endpoints.as_ref().is_some_and(Vec::is_empty) {
            writes.push(Write::Delete(before.clone()));
            continue;
        }
        slice.metadata.labels = Some(labels(service));
        if slice != **before {
            writes.push(Write::Replace(Box::new(slice)));
        }
    }
}

/// One empty slice: an emptied one, or a new one.
fn placeholder(service: &Service, present: &[Arc<EndpointSlice>]) -> Vec<Write> {
    let families = facts::families(service);
    let Some((first, others)) = present.split_first() else {
        let group = (families.first().cloned().unwrap_or_default(), Vec::new());
        return vec![Write::Create(Box::new(made(service, &group, &[])))];
    };
    let mut writes = Vec::new();
    let mut next = EndpointSlice::clone(first);
    (next.endpoints, next.ports, next.metadata.labels) = (None, None, Some(labels(service)));
    let is_empty = first.endpoints.as_ref().is_none_or(Vec::is_empty) && first.ports.as_ref().is_none_or(Vec::is_empty);
    if !is_empty || first.metadata.labels != next.metadata.labels {
        writes.push(Write::Replace(Box::new(next)));
    }
    writes.extend(others.iter().cloned().map(Write::Delete));
    writes
}

/// The endpoints that a service should have, by group and identity.
fn wanted(service: &Service, selected: &[Arc<Pod>]) -> BTreeMap<Group, BTreeMap<(String, String), Endpoint>> {
    let mut groups: BTreeMap<Group, BTreeMap<_, _>> = BTreeMap::new();
    let families = facts::families(service);
    for pod in selected.iter().filter(|pod| facts::may_serve(pod)) {
        for family in &families {
            let Some(address) = facts::address(pod, family) else { continue };
            let endpoint = endpoint(service, pod, address);
            let group = (family.clone(), facts::ports(service, pod));
            groups.entry(group).or_default().insert(identity(&endpoint), endpoint);
        }
    }
    groups
}

fn endpoint(service: &Service, pod: &Pod, address: String) -> Endpoint {
    let serving = pods::is_ready(pod);
    let terminating = meta::is_terminating(&pod.metadata);
    let ready = facts::publishes_unready(service) || (serving && !terminating);
    Endpoint {
        addresses: vec![address],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: facts::hostname(service, pod),
        node_name: Some(pods::node(pod).to_owned()).filter(|node| !node.is_empty()),
        target_ref: Some(facts::target_ref(pod)),
        ..Default::default()
    }
}

/// An endpoint is the same while pod and address are.
fn identity(endpoint: &Endpoint) -> (String, String) {
    let uid = endpoint.target_ref.as_ref().and_then(|target| target.uid.clone());
    (uid.unwrap_or_default(), endpoint.addresses.first().cloned().unwrap_or_default())
}

fn group_of(slice: &EndpointSlice) -> Group {
    let ports = slice.ports.iter().flatten().map(|port| Port {
        name: port.name.clone().unwrap_or_default(),
        number: port.port.unwrap_or_default(),
        protocol: port.protocol.clone().unwrap_or_default(),
        app_protocol: port.app_protocol.clone(),
    });
    (slice.address_type.clone(), ports.collect())
}

fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = facts::labels(service);
    labels.insert(SERVICE.to_owned(), facts::name(service).to_owned());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

/// A new slice, without a name yet.
fn made(service: &Service, group: &Group, endpoints: &[Endpoint]) -> EndpointSlice {
    let port = |port: &Port| EndpointPort {
        name: Some(port.name.clone()),
        port: Some(port.number),
        protocol: Some(port.protocol.clone()),
        app_protocol: port.app_protocol.clone(),
    };
    EndpointSlice {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", facts::name(service))),
            namespace: service.metadata.namespace.clone(),
            labels: Some(labels(service)),
            owner_references: Some(vec![meta::controller_reference(service)]),
            ..Default::default()
        },
        address_type: group.0.clone(),
        // Nothing is null, which is what an empty list is after Kubernetes has stored it.
        endpoints: Some(endpoints.to_vec()).filter(|all| !all.is_empty()),
        ports: Some(group.1.iter().map(port).collect()).filter(|all: &Vec<EndpointPort>| !all.is_empty()),
    }
}
