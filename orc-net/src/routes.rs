//! Routes of one Service: a pure function of the Service and its EndpointSlices.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
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
    /// The Service's external addresses with the port; empty for headless Services.
    pub external: Vec<SocketAddr>,
    /// The port on every node, if there is one.
    pub node_port: Option<u16>,
    /// What serves, ready or while it terminates; sorted by address, each address once.
    pub endpoints: Vec<Backend>,
}

/// One endpoint of a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    /// The node that it is on, if that is known.
    pub node: Option<Arc<str>>,
    /// Whether it terminates: then it is used only while nothing else is ready.
    pub draining: bool,
}

/// Which endpoints serve a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TrafficPolicy {
    /// All of the cluster.
    #[default]
    Cluster,
    /// Those of the node that the connection came to.
    Local,
}

impl TrafficPolicy {
    fn parse(text: Option<&str>) -> Self {
        if text == Some("Local") { Self::Local } else { Self::Cluster }
    }
}

/// The routes of one Service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServiceRoutes {
    /// One entry a port.
    pub ports: Vec<PortRoute>,
    /// `internalTrafficPolicy`: of connections to cluster addresses.
    pub internal: TrafficPolicy,
    /// `externalTrafficPolicy`: of connections to node ports and external addresses.
    pub external: TrafficPolicy,
    /// How long a client keeps its endpoint after its last connection (`sessionAffinity: ClientIP`).
    pub affinity: Option<Duration>,
}

/// Three hours, Kubernetes' default of `sessionAffinityConfig.clientIP.timeoutSeconds`.
const AFFINITY: Duration = Duration::from_secs(10_800);

impl ServiceRoutes {
    /// The routes of a Service. Slices of other Services must not be among `slices`.
    pub fn of<'a>(service: &Service, slices: impl IntoIterator<Item = &'a EndpointSlice> + Clone) -> Self {
        let Some(spec) = &service.spec else { return Self::default() };
        if spec.type_.as_deref() == Some("ExternalName") {
            return Self::default();
        }
        let addresses = parsed(spec.cluster_ips.iter().flatten());
        // Headless Services have no addresses at all: their external ones are ignored.
        let external = if addresses.is_empty() { Vec::new() } else { parsed(spec.external_ips.iter().flatten()) };
        let ports = spec.ports.iter().flatten();
        Self {
            ports: ports.filter_map(|port| route(port, &addresses, &external, slices.clone())).collect(),
            internal: TrafficPolicy::parse(spec.internal_traffic_policy.as_deref()),
            external: TrafficPolicy::parse(spec.external_traffic_policy.as_deref()),
            affinity: affinity(spec),
        }
    }
}

fn parsed<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<IpAddr> {
    texts.filter_map(|ip| ip.parse().ok()).collect()
}

fn affinity(spec: &ServiceSpec) -> Option<Duration> {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    let seconds = config.and_then(|config| config.timeout_seconds).and_then(|seconds| u64::try_from(seconds).ok());
    Some(seconds.map_or(AFFINITY, Duration::from_secs))
}

fn route<'a>(
    port: &ServicePort,
    addresses: &[IpAddr],
    external: &[IpAddr],
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
) -> Option<PortRoute> {
    let number = u16::try_from(port.port).ok()?;
    let protocol = Protocol::parse(port.protocol.as_deref())?;
    let name = port.name.clone().unwrap_or_default();
    let at_port = |ips: &[IpAddr]| ips.iter().map(|ip| SocketAddr::new(*ip, number)).collect();
    Some(PortRoute {
        protocol,
        cluster: at_port(addresses),
        external: at_port(external),
        node_port: port.node_port.and_then(|p| u16::try_from(p).ok()).filter(|p| *p > 0),
        endpoints: endpoints(slices, &name, protocol),
        name,
    })
}

fn endpoints<'a>(slices: impl IntoIterator<Item = &'a EndpointSlice>, name: &str, protocol: Protocol) -> Vec<Backend> {
    let mut found = BTreeMap::<SocketAddr, Backend>::new();
    for slice in slices {
        let Some(target) = target(slice.ports.as_deref().unwrap_or_default(), name, protocol) else { continue };
        for endpoint in slice.endpoints.iter().flatten() {
            let Some(draining) = is_draining(endpoint) else { continue };
            for ip in parsed(endpoint.addresses.iter()) {
                let address = SocketAddr::new(ip, target);
                let node = endpoint.node_name.as_deref().map(Into::into);
                // An endpoint that moves to another slice is in both for a moment: what says that it is ready is newer or as good.
                if found.get(&address).is_none_or(|known| known.draining && !draining) {
                    found.insert(address, Backend { address, node, draining });
                }
            }
        }
    }
    found.into_values().collect()
}

fn target(ports: &[EndpointPort], name: &str, protocol: Protocol) -> Option<u16> {
    let matches = |port: &&EndpointPort| {
        port.name.as_deref().unwrap_or_default() == name && Protocol::parse(port.protocol.as_deref()) == Some(protocol)
    };
    ports.iter().find(matches).and_then(|port| u16::try_from(port.port?).ok())
}

/// Whether an endpoint terminates and still serves (KEP-1669); `None` when it is not to be used.
fn is_draining(endpoint: &Endpoint) -> Option<bool> {
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    if conditions.ready.unwrap_or(true) {
        return Some(false);
    }
    (conditions.serving.unwrap_or(false) && conditions.terminating.unwrap_or(false)).then_some(true)
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
    fn what_serves_is_routed_to() {
        let slices = [
            slice(vec![endpoint("10.1.0.2", true, true, false), endpoint("10.1.0.1", true, true, false)]),
            slice(vec![
                endpoint("10.1.0.3", false, false, false),
                endpoint("10.1.0.4", false, true, true),
                endpoint("10.1.0.5", false, false, true),
                endpoint("10.1.0.1", false, true, true),
            ]),
        ];
        let routes = ServiceRoutes::of(&service(), &slices);
        let port = &routes.ports[0];
        let told: Vec<_> = port.endpoints.iter().map(|one| (one.address.to_string(), one.draining)).collect();
        let wanted = [("10.1.0.1:8080", false), ("10.1.0.2:8080", false), ("10.1.0.4:8080", true)];
        assert_eq!(told, wanted.map(|(address, draining)| (address.to_owned(), draining)));
        assert_eq!(port.cluster, ["10.96.0.7:80".parse().unwrap()]);
        assert_eq!(port.node_port, Some(30080));
        assert_eq!((routes.internal, routes.external, routes.affinity), Default::default());
    }

    #[test]
    fn policies_affinity_and_external_addresses_are_read() {
        let change = |patch: serde_json::Value| {
            let spec =
                serde_json::json!({"spec": {"clusterIPs": ["10.96.0.7"], "ports": [{"port": 53, "protocol": "UDP"}]}});
            let mut service = spec;
            service["spec"].as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
            ServiceRoutes::of(&serde_json::from_value(service).unwrap(), &[])
        };
        let routes = change(serde_json::json!({
            "externalIPs": ["192.0.2.4"], "internalTrafficPolicy": "Local", "externalTrafficPolicy": "Local",
            "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 7}}
        }));
        assert_eq!(routes.ports[0].protocol, Protocol::Udp);
        assert_eq!(routes.ports[0].external, ["192.0.2.4:53".parse().unwrap()]);
        assert_eq!((routes.internal, routes.external), (TrafficPolicy::Local, TrafficPolicy::Local));
        assert_eq!(routes.affinity, Some(Duration::from_secs(7)));
        assert_eq!(change(serde_json::json!({"sessionAffinity": "ClientIP"})).affinity, Some(AFFINITY));
        let headless = change(serde_json::json!({"clusterIPs": ["None"], "externalIPs": ["192.0.2.4"]}));
        assert!(headless.ports[0].cluster.is_empty() && headless.ports[0].external.is_empty());
    }
}
