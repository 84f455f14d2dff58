//! A data plane of sockets: each Service port is a socket that passes connections, or datagrams, on to ready pods.
//!
//! It needs no root, no program and no kernel module, and it tries the next pod when one does not answer, so that a pod
//! which just ended costs nobody a failed request. It copies every byte once; a data plane in the kernel does not.

mod claim;
mod datagrams;
mod port;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use async_trait::async_trait;
use orc_core::ObjectKey;
use orc_core::env::{Clock, Spawner, Task};
use parking_lot::Mutex;
use tokio::net::TcpListener;

pub use claim::claim_network;

use crate::choice::{LocalNode, Side};
use crate::plane::{DataPlane, RouteError};
use crate::routes::{PortRoute, Protocol, ServiceRoutes};
use crate::table::RoutingTable;
use datagrams::Datagrams;
use port::Port;
use udp::Flows;

/// Opens sockets. Node ports open on the host, which may be another network namespace than the pods'.
#[async_trait]
pub trait Listen: Send + Sync + 'static {
    /// A listening socket on the host.
    ///
    /// # Errors
    /// When the address is taken, not the host's, or not allowed.
    async fn listen_on_host(&self, address: SocketAddr) -> io::Result<std::net::TcpListener>;

    /// A socket of datagrams on the host.
    ///
    /// # Errors
    /// As [`Listen::listen_on_host`].
    async fn bind_on_host(&self, address: SocketAddr) -> io::Result<std::net::UdpSocket>;
}

/// What the data plane needs.
pub struct UserspaceConfig {
    /// Opens sockets on the host.
    pub host: Arc<dyn Listen>,
    /// The address that node ports open on.
    pub node_address: Ipv4Addr,
    /// Whether cluster addresses can be bound here (see [`claim_network`]).
    pub cluster_addresses: bool,
    /// Cluster addresses that this process answers at by itself, such as cluster DNS: nothing is opened there.
    pub served: Vec<IpAddr>,
    /// The nodes whose connections these sockets carry: what a traffic policy of `Local` is about.
    pub nodes: Vec<LocalNode>,
    /// Ends affinities and flows.
    pub clock: Clock,
    /// Starts the accepting tasks.
    pub spawn: Spawner,
}

/// The data plane.
pub struct Userspace {
    config: UserspaceConfig,
    nodes: Arc<[LocalNode]>,
    state: Mutex<State>,
}

/// What is open, by Service.
#[derive(Default)]
struct State {
    ports: BTreeMap<(ObjectKey, PortId), Arc<Port>>,
    doors: BTreeMap<(ObjectKey, Front), Door>,
}

/// A port of a Service, whichever number it has: its name and transport.
type PortId = (String, Protocol);

/// Where connections come in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Front {
    port: PortId,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Place {
    Cluster(SocketAddr),
    External(SocketAddr),
    Node(u16),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(address) => write!(f, "cluster address {address}"),
            Self::External(address) => write!(f, "external address {address}"),
            Self::Node(port) => write!(f, "node port {port}"),
        }
    }
}

impl Place {
    fn side(self) -> Side {
        match self {
            Self::Cluster(_) => Side::Internal,
            Self::External(_) | Self::Node(_) => Side::External,
        }
    }
}

/// An open socket.
struct Door {
    /// Of datagrams.
    flows: Option<Arc<Flows>>,
    _task: Task,
}

impl Userspace {
    /// A data plane with nothing open.
    pub fn new(config: UserspaceConfig) -> Self {
        Self { nodes: config.nodes.clone().into(), config, state: Mutex::default() }
    }

    fn fronts(&self, port: &PortRoute) -> Vec<Front> {
        let open = |address: &&SocketAddr| self.config.cluster_addresses && !self.config.served.contains(&address.ip());
        let cluster = port.cluster.iter().filter(open).map(|address| Place::Cluster(*address));
        let external = port.external.iter().map(|address| Place::External(*address));
        let places = cluster.chain(external).chain(port.node_port.map(Place::Node));
        places.map(|place| Front { port: (port.name.clone(), port.protocol), place }).collect()
    }

    /// Closes the sockets of a Service that its routes no longer have. What they carry goes on: it ends with the pods.
    fn close(&self, service: &ObjectKey, to: Option<&ServiceRoutes>) {
        let routes = || to.iter().flat_map(|routes| &routes.ports);
        let fronts: Vec<Front> = routes().flat_map(|port| self.fronts(port)).collect();
        let ports: Vec<PortId> = routes().map(|port| (port.name.clone(), port.protocol)).collect();
        let mut state = self.state.lock();
        state.doors.retain(|(of, front), _| of != service || fronts.contains(front));
        state.ports.retain(|(of, port), _| of != service || ports.contains(port));
    }

    /// Brings the endpoints of a port up to date, for the sockets that are open already as well.
    fn follow(&self, service: &ObjectKey, routes: &ServiceRoutes, route: &PortRoute) -> Arc<Port> {
        let id = (route.name.clone(), route.protocol);
        let mut state = self.state.lock();
        let new = || Arc::new(Port::new(self.nodes.clone(), self.config.clock.clone()));
        let port = state.ports.entry((service.clone(), id.clone())).or_insert_with(new).clone();
        port.follow(routes, route);
        let doors = state.doors.iter().filter(|((of, front), _)| of == service && front.port == id);
        doors.filter_map(|(_, door)| door.flows.as_ref()).for_each(|flows| flows.drop_gone());
        port
    }

    async fn apply_port(
        &self,
        service: &ObjectKey,
        routes: &ServiceRoutes,
        route: &PortRoute,
        errors: &mut Vec<RouteError>,
    ) {
        let fronts = self.fronts(route);
        if route.protocol == Protocol::Sctp {
            errors.extend(fronts.first().map(|front| RouteError::Protocol {
                service: service.clone(),
                place: front.place.to_string(),
                protocol: "SCTP".to_owned(),
            }));
            return;
        }
        let port = self.follow(service, routes, route);
        for front in fronts {
            errors.extend(self.open(service, front, &port).await.err());
        }
    }

    async fn open(&self, service: &ObjectKey, front: Front, port: &Arc<Port>) -> Result<(), RouteError> {
        let at = (service.clone(), front.clone());
        if self.state.lock().doors.contains_key(&at) {
            return Ok(());
        }
        let opened = match front.port.1 {
            Protocol::Udp => self.open_udp(front.place, port).await,
            _ => self.open_tcp(front.place, port).await,
        };
        let door = opened.map_err(|error| RouteError::Listen {
            service: service.clone(),
            address: front.place.to_string(),
            why: why(front.place, &error),
        })?;
        self.state.lock().doors.insert(at, door);
        Ok(())
    }

    /// The address of a place, and whether it is opened on the host.
    fn address(&self, place: Place) -> (SocketAddr, bool) {
        match place {
            Place::Cluster(address) => (address, false),
            Place::External(address) => (address, true),
            Place::Node(port) => (SocketAddrV4::new(self.config.node_address, port).into(), true),
        }
    }

    async fn open_tcp(&self, place: Place, port: &Arc<Port>) -> io::Result<Door> {
        let listener = match self.address(place) {
            (address, true) => self.config.host.listen_on_host(address).await?,
            (address, false) => std::net::TcpListener::bind(address)?,
        };
        listener.set_nonblocking(true)?;
        let accepting = tcp::accept(TcpListener::from_std(listener)?, port.clone(), place.side());
        Ok(Door { flows: None, _task: self.config.spawn.spawn(accepting) })
    }

    async fn open_udp(&self, place: Place, port: &Arc<Port>) -> io::Result<Door> {
        let socket = match self.address(place) {
            (address, true) => self.config.host.bind_on_host(address).await?,
            (address, false) => std::net::UdpSocket::bind(address)?,
        };
        let (clock, spawn) = (self.config.clock.clone(), self.config.spawn.clone());
        let flows = Flows::new(Datagrams::new(socket)?, port.clone(), place.side(), clock, spawn);
        Ok(Door { flows: Some(flows.clone()), _task: self.config.spawn.spawn(flows.run()) })
    }
}

/// Why a place cannot be opened, with the remedy where there is one.
fn why(place: Place, error: &io::Error) -> String {
    match (place, error.kind()) {
        (Place::External(_), io::ErrorKind::AddrNotAvailable) => {
            format!("this host does not have the address; add it to an interface of the host ({error})")
        }
        _ => error.to_string(),
    }
}

#[async_trait]
impl DataPlane for Userspace {
    async fn apply(&self, service: &ObjectKey, to: Option<&ServiceRoutes>) -> Result<(), RouteError> {
        self.close(service, to);
        let mut errors = Vec::new();
        if let Some(routes) = to {
            for route in &routes.ports {
                self.apply_port(service, routes, route, &mut errors).await;
            }
        }
        RouteError::of(errors)
    }

    async fn resync(&self, to: &RoutingTable) -> Result<(), RouteError> {
        let gone = |service: &ObjectKey| to.get(service).is_none();
        let known: Vec<ObjectKey> = self.state.lock().ports.keys().map(|(service, _)| service.clone()).collect();
        known.iter().filter(|service| gone(service)).for_each(|service| self.close(service, None));
        let mut errors = Vec::new();
        for (service, routes) in to.iter() {
            errors.extend(self.apply(service, Some(routes)).await.err());
        }
        RouteError::of(errors)
    }
}
