//! Routes of one Service: a pure function of the Service and its EndpointSlices.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};

/// The transport of a port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// SCTP
    Sctp,
}

impl Protocol {
    fn parse(text: Option<&str>) -> Option<Self> {
        match text.unwrap_or("TCP") {
            "TCP" => Some(Self::Tcp),
            "UDP" => Some(Self::Udp),
            "SCTP" => Some(Self::Sctp),
            _ => None,
        }
    }
}

/// One port of a Service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortRoute {
    /// The port's name, empty when the Service has only one.
    pub name: String,
    /// The transport.
    pub protocol: Protocol,
    /// The Service's addresses with the port; empty for headless Services.
    pub cluster: Vec<SocketAddr>,
    /// The port on every node, if there is one.
    pub node_port: Option<u16>,
    /// Where connections go, sorted. While no endpoint is ready, those that still serve while terminating.
    pub endpoints: Vec<SocketAddr>,
}

/// The routes of one Service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServiceRoutes {
    /// One entry a port.
    pub ports: Vec<PortRoute>,
}

impl ServiceRoutes {
    /// The routes of a Service. Slices of other Services must not be among `slices`.
    pub fn of<'a>(service: &Service, slices: impl IntoIterator<Item = &'a EndpointSlice> + Clone) -> Self {
        let Some(spec) = &service.spec else { return Self::default() };
        if spec.type_.as_deref() == Some("ExternalName") {
            return Self::default();
        }
        let addresses: Vec<IpAddr> = spec.cluster_ips.iter().flatten().filter_map(|ip| ip.parse().ok()).collect();
        let ports = spec.ports.iter().flatten();
        Self { ports: ports.filter_map(|port| route(port, &addresses, slices.clone())).collect() }
    }
}

fn route<'a>(
    port: &ServicePort,
    addresses: &[IpAddr],
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
) -> Option<PortRoute> {
    let number = u16::try_from(port.port).ok()?;
    let protocol = Protocol::parse(port.protocol.as_deref())?;
    let name = port.name.clone().unwrap_or_default();
    let (mut ready, mut draining) = (BTreeSet::new(), BTreeSet::new());
    for slice in slices {
        let Some(target) = target(slice.ports.as_deref().unwrap_or_default(), &name, protocol) else { continue };
        for endpoint in slice.endpoints.iter().flatten() {
            let at = endpoint
                .addresses
                .iter()
                .filter_map(|ip| ip.parse().ok())
                .map(|ip: IpAddr| SocketAddr::new(ip, target));
            match state(endpoint) {
                State::Ready => ready.extend(at),
                State::Draining => draining.extend(at),
                State::Out => {}
            }
        }
    }
    let endpoints = if ready.is_empty() { draining } else { ready };
    Some(PortRoute {
        name,
        protocol,
        cluster: addresses.iter().map(|ip| SocketAddr::new(*ip, number)).collect(),
        node_port: port.node_port.and_then(|p| u16::try_from(p).ok()).filter(|p| *p > 0),
        endpoints: endpoints.into_iter().collect(),
    })
}

fn target(ports: &[EndpointPort], name: &str, protocol: Protocol) -> Option<u16> {
    let matches = |port: &&EndpointPort| {
        port.name.as_deref().unwrap_or_default() == name && Protocol::parse(port.protocol.as_deref()) == Some(protocol)
    };
    ports.iter().find(matches).and_then(|port| u16::try_from(port.port?).ok())
}

enum State {
    Ready,
    Draining,
    Out,
}

/// KEP-1669: endpoints that terminate but still serve take traffic while nothing else is ready.
fn state(endpoint: &Endpoint) -> State {
    let conditions = endpoint.conditions.as_ref();
    let flag =
        |pick: fn(&k8s_openapi::api::discovery::v1::EndpointConditions) -> Option<bool>| conditions.and_then(pick);
    if flag(|c| c.ready).unwrap_or(true) {
        State::Ready
    } else if flag(|c| c.serving).unwrap_or(false) && flag(|c| c.terminating).unwrap_or(false) {
        State::Draining
    } else {
        State::Out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ServiceSpec;
    use k8s_openapi::api::discovery::v1::EndpointConditions;

    fn service() -> Service {
        let port = ServicePort { port: 80, node_port: Some(30080), ..Default::default() };
        let spec =
            ServiceSpec { cluster_ips: Some(vec!["10.96.0.7".into()]), ports: Some(vec![port]), ..Default::default() };
        Service { spec: Some(spec), ..Default::default() }
    }

    fn endpoint(ip: &str, ready: bool, serving: bool, terminating: bool) -> Endpoint {
        let conditions =
            EndpointConditions { ready: Some(ready), serving: Some(serving), terminating: Some(terminating) };
        Endpoint { addresses: vec![ip.into()], conditions: Some(conditions), ..Default::default() }
    }

    fn slice(endpoints: Vec<Endpoint>) -> EndpointSlice {
        let port = EndpointPort { port: Some(8080), ..Default::default() };
        EndpointSlice {
            endpoints: Some(endpoints),
            ports: Some(vec![port]),
            address_type: "IPv4".into(),
            ..Default::default()
        }
    }

    #[test]
    fn only_ready_endpoints_are_routed_to() {
        let slices = [
            slice(vec![endpoint("10.1.0.2", true, true, false), endpoint("10.1.0.1", true, true, false)]),
            slice(vec![endpoint("10.1.0.3", false, false, false), endpoint("10.1.0.4", false, true, true)]),
        ];
        let routes = ServiceRoutes::of(&service(), &slices);
        let port = &routes.ports[0];
        assert_eq!(port.endpoints, ["10.1.0.1:8080".parse().unwrap(), "10.1.0.2:8080".parse().unwrap()]);
        assert_eq!(port.cluster, ["10.96.0.7:80".parse().unwrap()]);
        assert_eq!(port.node_port, Some(30080));
    }

    #[test]
    fn the_last_endpoints_serve_while_they_end() {
        let slices = [slice(vec![endpoint("10.1.0.4", false, true, true), endpoint("10.1.0.5", false, false, true)])];
        assert_eq!(ServiceRoutes::of(&service(), &slices).ports[0].endpoints, ["10.1.0.4:8080".parse().unwrap()]);
    }
}
