//! Host ports.

use k8s_openapi::api::core::v1::{Container, PodSpec};
use orc_core::Name;

/// A port of the host that a pod takes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostPort {
    /// The port.
    pub port: i32,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: Name,
    /// The address; `0.0.0.0` is every address.
    pub ip: Name,
}

/// Every address.
const ANY: &str = "0.0.0.0";

impl HostPort {
    /// Whether two pods cannot both have their port on one node.
    pub fn conflicts(&self, other: &Self) -> bool {
        let same_place = self.ip == other.ip || self.ip == *ANY || other.ip == *ANY;
        self.port == other.port && self.protocol == other.protocol && same_place
    }
}

/// The host ports of a pod's containers and sidecars.
pub(super) fn of(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten().filter(|c| super::requests::is_sidecar(c));
    let mut ports: Vec<HostPort> = sidecars.chain(&spec.containers).flat_map(taken).collect();
    ports.sort();
    ports.dedup();
    ports
}

fn taken(container: &Container) -> impl Iterator<Item = HostPort> + '_ {
    let ports = container.ports.iter().flatten();
    ports.filter(|port| port.host_port.is_some_and(|number| number > 0)).map(|port| HostPort {
        port: port.host_port.unwrap_or_default(),
        protocol: or(port.protocol.as_deref(), "TCP"),
        ip: or(port.host_ip.as_deref(), ANY),
    })
}

fn or(text: Option<&str>, default: &str) -> Name {
    Name::new(text.filter(|text| !text.is_empty()).unwrap_or(default))
}
