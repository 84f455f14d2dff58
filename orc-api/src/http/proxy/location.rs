//! Which address a proxied request is for.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{EndpointAddress, Endpoints, Node, Pod, Service};
use orc_core::{ApiError, Object, ObjectKey, ResourceId};
use orc_store::client::{ObjectClient as _, ReadOptions, Target};

use super::backend::Scheme;
use crate::http::request::Resolved;
use crate::http::service::{ApiService, Call};
use crate::registry::RegistryClient;

/// The kubelet's port: a node without a port means its API, wherever it listens.
const NODE_PORT: &str = "10250";

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// A node's HTTP API.
    Node(String),
    /// An address with a port.
    Address {
        /// With or without TLS.
        scheme: Scheme,
        /// `address:port`.
        address: String,
    },
}

impl Location {
    /// The host that the backend knows itself by.
    pub(super) fn authority(&self) -> String {
        match self {
            Self::Node(name) => name.clone(),
            Self::Address { address, .. } => address.clone(),
        }
    }
}

/// `name`, `name:port` or `scheme:name:port` (the port may be empty there), as `utilnet.SplitSchemeNamePort`.
fn split(id: &str) -> Option<(Scheme, &str, &str)> {
    let parts: Vec<&str> = id.split(':').collect();
    let (scheme, name, port) = match parts.as_slice() {
        [name] => ("", *name, ""),
        [name, port] => ("", *name, *port),
        [scheme, name, port] => (*scheme, *name, *port),
        _ => return None,
    };
    let scheme = match scheme {
        "" | "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return None,
    };
    (!name.is_empty()).then_some((scheme, name, port))
}

impl ApiService {
    /// What finds the address behind a request's name.
    pub(super) fn locator(&self, call: &Call) -> Locator {
        Locator { client: self.client(call), info: call.info.clone() }
    }
}

/// Finds addresses. It owns what it needs: a request's body cannot be held across an await by reference.
pub(super) struct Locator {
    client: RegistryClient,
    info: Resolved,
}

impl Locator {
    /// Finds the address.
    ///
    /// # Errors
    /// 400 for a name that does not read or an address that is not to be reached, 404, or 503 when nothing is there.
    pub(super) async fn find(self) -> Result<Location, ApiError> {
        let id = &self.info.name;
        let what = self.info.resource.trim_end_matches('s');
        let invalid = || ApiError::bad_request(format!("invalid {what} request {id:?}"));
        let (scheme, name, port) = split(id).ok_or_else(invalid)?;
        match what {
            "pod" => self.pod(scheme, name, port).await,
            "service" => self.service(scheme, name, port).await,
            _ => self.node(scheme, name, port).await,
        }
    }

    async fn read<T: Object>(&self, resource: &str, name: &str) -> Result<Arc<T>, ApiError> {
        let id = ResourceId::new("", resource);
        let key = if self.info.namespace.is_empty() {
            ObjectKey::cluster(id, name)
        } else {
            ObjectKey::namespaced(id, self.info.namespace.as_str(), name)
        };
        self.client.get(&Target::object(key), &ReadOptions::default()).await?.stored()?.view::<T>()
    }

    async fn pod(&self, scheme: Scheme, name: &str, port: &str) -> Result<Location, ApiError> {
        let pod: Arc<Pod> = self.read("pods", name).await?;
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        let first =
            containers.flat_map(|c| c.ports.iter().flatten()).next().map(|port| port.container_port.to_string());
        let port = if port.is_empty() { first.unwrap_or_default() } else { port.to_owned() };
        let ips = pod.status.as_ref().and_then(|status| status.pod_ips.as_ref()).and_then(|ips| ips.first());
        let ip = proxyable(ips.map(|ip| ip.ip.as_str()).unwrap_or_default())?;
        Ok(at(scheme, ip, &port))
    }

    async fn node(&self, scheme: Scheme, name: &str, port: &str) -> Result<Location, ApiError> {
        let node: Arc<Node> = self.read("nodes", name).await?;
        if port.is_empty() || port == NODE_PORT {
            return Ok(Location::Node(name.to_owned()));
        }
        let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
        let internal = addresses.into_iter().find(|address| address.type_ == "InternalIP");
        let ip = proxyable(internal.map(|address| address.address.as_str()).unwrap_or_default())?;
        Ok(at(scheme, ip, port))
    }

    async fn service(&self, scheme: Scheme, name: &str, port: &str) -> Result<Location, ApiError> {
        let service: Arc<Service> = self.read("services", name).await?;
        let port = match port.parse::<i32>() {
            Err(_) => port.to_owned(),
            Ok(number) => {
                let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
                let named = ports.into_iter().find(|port| port.port == number);
                let missing = || format!("no service port {number} found for service {name:?}");
                named.ok_or_else(|| ApiError::unavailable(missing()))?.name.clone().unwrap_or_default()
            }
        };
        let nothing = || ApiError::unavailable(format!("no endpoints available for service {name:?}"));
        let endpoints: Result<Arc<Endpoints>, ApiError> = self.read("endpoints", name).await;
        let endpoints = match endpoints {
            Err(error) if error.is_not_found() => return Err(nothing()),
            other => other?,
        };
        for (address, number) in candidates(&endpoints, &port) {
            if let Some(ip) = self.trusted_address(address).await? {
                return Ok(at(scheme, ip, &number.to_string()));
            }
        }
        Err(nothing())
    }

    /// The address of an endpoint, if it is that of a pod: whoever may write Endpoints must not reach any host by them
    /// (CVE-2020-8554's sibling; `isValidAddress` of the service registry).
    async fn trusted_address(&self, address: &EndpointAddress) -> Result<Option<IpAddr>, ApiError> {
        let Ok(ip) = proxyable(&address.ip) else { return Ok(None) };
        let Some(target) = address.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod")) else {
            return Ok(None);
        };
        let pod: Result<Arc<Pod>, ApiError> = self.read("pods", target.name.as_deref().unwrap_or_default()).await;
        let pod = match pod {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        let own = pod.status.iter().flat_map(|status| status.pod_ips.iter().flatten());
        Ok(own.into_iter().any(|own| own.ip == address.ip).then_some(ip))
    }
}

/// The ready addresses that have the port, with its number.
fn candidates<'a>(endpoints: &'a Endpoints, port: &'a str) -> impl Iterator<Item = (&'a EndpointAddress, i32)> {
    let subsets = endpoints.subsets.iter().flatten();
    subsets.flat_map(move |subset| {
        let found = subset.ports.iter().flatten().find(|own| own.name.as_deref().unwrap_or_default() == port);
        let addresses = subset.addresses.iter().flatten();
        found.into_iter().flat_map(move |port| addresses.clone().map(|address| (address, port.port)))
    })
}

/// An address of somebody else: not this machine's own, nor one that stands for many.
fn proxyable(text: &str) -> Result<IpAddr, ApiError> {
    let ip: Option<IpAddr> = text.parse().ok();
    let link_local = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    ip.filter(|ip| !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast() && !link_local(ip))
        .ok_or_else(|| ApiError::bad_request("address not allowed"))
}

fn at(scheme: Scheme, ip: IpAddr, port: &str) -> Location {
    let port = if port.is_empty() { scheme.port() } else { port };
    let address = if ip.is_ipv6() { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") };
    Location::Address { scheme, address }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_apart() {
        assert_eq!(split("a"), Some((Scheme::Http, "a", "")));
        assert_eq!(split("a:80"), Some((Scheme::Http, "a", "80")));
        assert_eq!(split("https:a:"), Some((Scheme::Https, "a", "")));
        assert_eq!(split("http:a:web"), Some((Scheme::Http, "a", "web")));
        for wrong in ["", ":80", "ftp:a:1", "a:b:c:d"] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn own_addresses_are_refused() {
        for own in ["127.0.0.1", "::1", "0.0.0.0", "169.254.169.254", "224.0.0.1", "fe80::1", "", "host"] {
            assert_eq!(proxyable(own).unwrap_err().message(), "address not allowed", "{own}");
        }
        assert!(proxyable("10.1.2.3").is_ok());
        assert_eq!(at(Scheme::Https, "fd00::1".parse().unwrap(), "").authority(), "[fd00::1]:443");
    }

    #[test]
    fn an_endpoint_is_found_by_its_ports_name() {
        let endpoints: Endpoints = serde_json::from_value(serde_json::json!({"subsets": [
            {"notReadyAddresses": [{"ip": "10.0.0.9"}], "ports": [{"name": "web", "port": 1}]},
            {"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "ports": [{"name": "web", "port": 8080}, {"port": 9}]}
        ]}))
        .unwrap();
        let found = |port| candidates(&endpoints, port).map(|(a, port)| (a.ip.as_str(), port)).collect::<Vec<_>>();
        assert_eq!(found("web"), [("10.0.0.1", 8080), ("10.0.0.2", 8080)]);
        assert_eq!(found(""), [("10.0.0.1", 9), ("10.0.0.2", 9)]);
        assert_eq!(found("other"), []);
    }
}
