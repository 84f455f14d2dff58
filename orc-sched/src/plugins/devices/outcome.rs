//! What is written into a claim that gets devices.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};
use k8s_openapi::api::resource::v1::{
    AllocationResult, DeviceAllocationConfiguration, DeviceAllocationResult, DeviceRequestAllocationResult,
    ResourceClaim, ResourceClaimConsumerReference,
};

use super::allocate::Given;
use super::wanted::{Choice, Wanted};
use crate::facts::devices::Slice;
use crate::facts::{Fact, FactKey, FactKind, Facts};
use crate::pod::PodInfo;

/// The finalizer of claims with devices: they are given back before the claim goes.
pub(super) const FINALIZER: &str = "resource.kubernetes.io/delete-protection";
/// The most pods that may use a claim (`ResourceClaimReservedForMaxSize`).
pub(crate) const MOST_PODS: usize = 256;

/// The claim with its devices.
pub(super) fn allocated(facts: &Facts, slices: &[&Slice], wanted: &Wanted, given: &[Given]) -> ResourceClaim {
    let mut claim = wanted.claim.clone();
    let finalizers = claim.metadata.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|own| own == FINALIZER) {
        finalizers.push(FINALIZER.to_owned());
    }
    let choice = |given: &Given| &wanted.requests[given.request].choices[given.choice];
    let results = given.iter().map(|given| result(slices, choice(given), given)).collect();
    let devices = DeviceAllocationResult { results: Some(results), config: configs(facts, wanted, given) };
    claim.status.get_or_insert_default().allocation = Some(AllocationResult {
        devices: Some(devices),
        node_selector: node_selector(slices, given),
        ..AllocationResult::default()
    });
    claim
}

fn result(slices: &[&Slice], choice: &Choice, given: &Given) -> DeviceRequestAllocationResult {
    let slice = slices[given.place.0];
    DeviceRequestAllocationResult {
        request: choice.name.clone(),
        driver: slice.driver().to_owned(),
        pool: slice.pool().to_owned(),
        device: slice.devices()[given.place.1].name.clone(),
        admin_access: choice.admin.then_some(true),
        tolerations: (!choice.tolerations.is_empty()).then(|| choice.tolerations.clone()),
        ..DeviceRequestAllocationResult::default()
    }
}

/// The settings of the classes, each once with the requests that it is for, then those of the claim. Those of all requests
/// name none.
fn configs(facts: &Facts, wanted: &Wanted, given: &[Given]) -> Option<Vec<DeviceAllocationConfiguration>> {
    let mut of_class: Vec<(&str, Vec<String>)> = Vec::new();
    let mut chosen = Vec::new();
    for (at, request) in wanted.requests.iter().enumerate() {
        let choice = given.iter().find(|given| given.request == at).map_or(0, |given| given.choice);
        let choice = &request.choices[choice];
        chosen.extend([request.name.clone(), choice.name.clone()]);
        match of_class.iter_mut().find(|(class, _)| *class == choice.class) {
            Some((_, requests)) => requests.push(choice.name.clone()),
            None => of_class.push((&choice.class, vec![choice.name.clone()])),
        }
    }
    let mut all = Vec::new();
    for (class, requests) in of_class {
        let Some(Fact::DeviceClass(class)) = facts.get(&FactKey::new(FactKind::DeviceClass, "", class)).map(|f| &**f)
        else {
            continue;
        };
        let configs = class.spec.config.iter().flatten();
        all.extend(configs.map(|config| one("FromClass", requests.clone(), config.opaque.clone())));
    }
    let own = wanted.claim.spec.devices.iter().flat_map(|devices| devices.config.iter().flatten());
    for config in own {
        let requests = config.requests.clone().unwrap_or_default();
        if requests.is_empty() || requests.iter().any(|name| chosen.contains(name)) {
            all.push(one("FromClaim", requests, config.opaque.clone()));
        }
    }
    for config in &mut all {
        config.requests.take_if(|requests| requests.is_empty() || requests.len() == wanted.requests.len());
    }
    (!all.is_empty()).then_some(all)
}

fn one(
    source: &str,
    requests: Vec<String>,
    opaque: Option<k8s_openapi::api::resource::v1::OpaqueDeviceConfiguration>,
) -> DeviceAllocationConfiguration {
    DeviceAllocationConfiguration { opaque, requests: Some(requests), source: source.to_owned() }
}

/// Where devices can be used together; `None` when anywhere.
fn node_selector(slices: &[&Slice], given: &[Given]) -> Option<NodeSelector> {
    let mut term = NodeSelectorTerm::default();
    for place in given.iter().map(|given| given.place) {
        let spec = &slices[place.0].get()?.spec;
        let device = spec.devices.as_ref()?.get(place.1)?;
        let (node, selector) = match spec.per_device_node_selection {
            Some(true) => (&device.node_name, &device.node_selector),
            _ => (&spec.node_name, &spec.node_selector),
        };
        if let Some(node) = node.as_ref().filter(|node| !node.is_empty()) {
            return Some(of_node(node));
        }
        // Validation allows exactly one term, so that terms can be joined.
        if let Some(own) = selector.as_ref().and_then(|selector| selector.node_selector_terms.first()) {
            join(&mut term.match_expressions, own.match_expressions.as_deref());
            join(&mut term.match_fields, own.match_fields.as_deref());
        }
    }
    let any = term.match_expressions.is_some() || term.match_fields.is_some();
    any.then(|| NodeSelector { node_selector_terms: vec![term] })
}

fn of_node(name: &str) -> NodeSelector {
    let requirement = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![name.to_owned()]),
    };
    let term = NodeSelectorTerm { match_fields: Some(vec![requirement]), ..NodeSelectorTerm::default() };
    NodeSelector { node_selector_terms: vec![term] }
}

fn join(to: &mut Option<Vec<NodeSelectorRequirement>>, from: Option<&[NodeSelectorRequirement]>) {
    for requirement in from.unwrap_or_default() {
        let all = to.get_or_insert_default();
        if !all.contains(requirement) {
            all.push(requirement.clone());
        }
    }
}

/// Whether a claim has its devices.
pub(super) fn is_allocated(claim: &ResourceClaim) -> bool {
    claim.status.as_ref().is_some_and(|status| status.allocation.is_some())
}

/// Whether two states of a claim have the same devices in the same places.
pub(super) fn same_devices(one: &ResourceClaim, other: &ResourceClaim) -> bool {
    let allocation = |claim: &ResourceClaim| claim.status.as_ref().and_then(|status| status.allocation.clone());
    allocation(one) == allocation(other)
}

/// Whether a pod is among those that use a claim.
pub(super) fn is_reserved(claim: &ResourceClaim, pod: &PodInfo) -> bool {
    users(claim).iter().any(|user| user.uid == pod.uid.as_str())
}

/// Whether another pod may use a claim.
pub(super) fn has_room(claim: &ResourceClaim) -> bool {
    users(claim).len() < MOST_PODS
}

fn users(claim: &ResourceClaim) -> &[ResourceClaimConsumerReference] {
    claim.status.as_ref().and_then(|status| status.reserved_for.as_deref()).unwrap_or_default()
}

/// Adds a pod to those that use a claim.
pub(super) fn reserve(claim: &mut ResourceClaim, pod: &PodInfo) {
    let user = ResourceClaimConsumerReference {
        resource: "pods".to_owned(),
        name: pod.key.name.to_string(),
        uid: pod.uid.to_string(),
        api_group: None,
    };
    claim.status.get_or_insert_default().reserved_for.get_or_insert_default().push(user);
}

/// The facts of claims by their keys, one for each.
pub(super) type Claims = BTreeMap<FactKey, ResourceClaim>;
