//! What the node refuses: pods for which it has no room, whatever the scheduler thought.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use orc_core::quantity::Quantity;

use super::config::AgentConfig;
use super::node;
use crate::machine::Room;

/// An address that stands for all.
const EVERYWHERE: &str = "0.0.0.0";

/// Reason and message when a pod does not fit beside the others.
pub(super) fn refuse(pod: &Pod, others: &[Arc<Pod>], config: &AgentConfig) -> Option<(String, String)> {
    let spec = pod.spec.as_ref()?;
    let room = node::capacity(config);
    if others.len() >= usize::try_from(config.max_pods).unwrap_or(usize::MAX) {
        return Some(("OutOfpods".into(), out_of("pods", 1, others.len() as i64, i64::from(config.max_pods))));
    }
    for name in ["cpu", "memory"] {
        let Some(capacity) = room.get(name).and_then(|text| Quantity::parse(text).ok()) else { continue };
        let count = |quantity: Quantity| if name == "cpu" { quantity.milli_value() } else { quantity.value() };
        let wanted = request(pod, name);
        let used = others.iter().fold(Quantity::ZERO, |sum, other| sum.add(request(other, name)));
        if !wanted.is_zero() && count(wanted.add(used)) > count(capacity) {
            return Some((format!("OutOf{name}"), out_of(name, count(wanted), count(used), count(capacity))));
        }
    }
    let taken: Vec<HostPort> = others.iter().flat_map(|other| host_ports(other)).collect();
    if host_ports(pod).iter().any(|port| taken.iter().any(|other| meet(port, other))) {
        let text = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        return Some(("NodePorts".into(), text.into()));
    }
    let labels = node::labels(config);
    let fits = spec.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    (!fits).then(|| {
        (
            "NodeAffinity".into(),
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector".into(),
        )
    })
}

/// A port of the host: address, protocol, number.
type HostPort = (String, String, i32);

fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let sidecars = spec.init_containers.iter().flatten().filter(|one| one.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    let taken = ports.filter_map(|port| {
        let number = port.host_port.filter(|number| *number > 0)?;
        let address = port.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or_else(|| EVERYWHERE.to_owned());
        Some((address, port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()), number))
    });
    taken.collect()
}

/// Whether two cannot be open at once.
fn meet(one: &HostPort, other: &HostPort) -> bool {
    let everywhere = one.0 == EVERYWHERE || other.0 == EVERYWHERE;
    (&one.1, one.2) == (&other.1, other.2) && (everywhere || one.0 == other.0)
}

/// Whether a pod that runs here can have other resources beside the others.
pub(super) fn room(pod: &Pod, others: &[Arc<Pod>], config: &AgentConfig) -> Room {
    let all = node::capacity(config);
    for name in ["cpu", "memory"] {
        let Some(capacity) = all.get(name).and_then(|text| Quantity::parse(text).ok()) else { continue };
        let count = |quantity: Quantity| if name == "cpu" { quantity.milli_value() } else { quantity.value() };
        let wanted = request(pod, name);
        let (asked, there) = (count(wanted), count(capacity));
        if asked > there {
            let text = format!("Node didn't have enough capacity: {name}, requested: {asked}, capacity: {there}");
            return Room::Infeasible(text);
        }
        let used = others.iter().fold(Quantity::ZERO, |sum, other| sum.add(request(other, name)));
        if !wanted.is_zero() && count(wanted.add(used)) > there {
            return Room::Deferred(out_of(name, asked, count(used), there));
        }
    }
    Room::Fits
}

fn out_of(name: &str, wanted: i64, used: i64, capacity: i64) -> String {
    format!("Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {capacity}")
}

/// What a pod asks for: the sum of its containers and sidecars, or the largest init container.
fn request(pod: &Pod, name: &str) -> Quantity {
    let Some(spec) = &pod.spec else { return Quantity::ZERO };
    let of = |container: &k8s_openapi::api::core::v1::Container| {
        let requests: &BTreeMap<_, _> = container.resources.as_ref()?.requests.as_ref()?;
        Quantity::parse(&requests.get(name)?.0).ok()
    };
    let sidecar =
        |container: &&k8s_openapi::api::core::v1::Container| container.restart_policy.as_deref() == Some("Always");
    let inits = spec.init_containers.iter().flatten();
    let running = spec.containers.iter().chain(inits.clone().filter(sidecar));
    let sum = running.filter_map(of).fold(Quantity::ZERO, Quantity::add);
    let largest =
        inits.filter(|container| !sidecar(container)).filter_map(of).max_by_key(|quantity| quantity.milli_value());
    let overhead = spec.overhead.as_ref().and_then(|overhead| Quantity::parse(&overhead.get(name)?.0).ok());
    let most = largest.filter(|largest| largest.milli_value() > sum.milli_value()).unwrap_or(sum);
    most.add(overhead.unwrap_or(Quantity::ZERO))
}
