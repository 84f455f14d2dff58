//! A data plane of listening sockets: each Service port is a socket that passes connections on to ready pods.
//!
//! It needs no root, no program and no kernel module, and it tries the next pod when one does not answer, so that a pod
//! which just ended costs nobody a failed request. It copies every byte once; a data plane in the kernel does not.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use orc_core::ObjectKey;
use orc_core::env::{Spawner, Task};
use parking_lot::{Mutex, RwLock};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::plane::{DataPlane, RouteError};
use crate::routes::{PortRoute, Protocol, ServiceRoutes};
use crate::table::RoutingTable;

/// A pod that does not answer by then is passed over.
const CONNECT: Duration = Duration::from_secs(3);
/// Connections carried at a time by one Service port.
const MAX_CONNECTIONS: usize = 4096;

/// Opens sockets. Node ports open on the host, which may be another network namespace than the pods'.
#[async_trait]
pub trait Listen: Send + Sync + 'static {
    /// A listening socket on the host.
    ///
    /// # Errors
    /// When the address is taken or not allowed.
    async fn listen_on_host(&self, address: SocketAddr) -> io::Result<std::net::TcpListener>;
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
    /// Starts the accepting tasks.
    pub spawn: Spawner,
}

/// The data plane.
pub struct Userspace {
    config: UserspaceConfig,
    open: Mutex<BTreeMap<(ObjectKey, Front), Door>>,
}

/// Where connections come in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Front {
    Cluster(SocketAddr),
    Node(u16),
}

/// An open socket and where it leads.
struct Door {
    endpoints: Arc<Endpoints>,
    _accepting: Task,
}

struct Endpoints {
    list: RwLock<Arc<[SocketAddr]>>,
    next: AtomicUsize,
}

impl Endpoints {
    /// All endpoints, starting with the one whose turn it is.
    fn in_turn(&self) -> Vec<SocketAddr> {
        let list = self.list.read().clone();
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        (0..list.len()).map(|step| list[(start + step) % list.len()]).collect()
    }
}

impl Userspace {
    /// A data plane with nothing open.
    pub fn new(config: UserspaceConfig) -> Self {
        Self { config, open: Mutex::default() }
    }

    fn fronts(&self, port: &PortRoute) -> Vec<Front> {
        let open = |address: &&SocketAddr| self.config.cluster_addresses && !self.config.served.contains(&address.ip());
        let cluster = port.cluster.iter().filter(open).map(|address| Front::Cluster(*address));
        cluster.chain(port.node_port.map(Front::Node)).collect()
    }

    /// Closes the sockets of a Service that its routes no longer have.
    fn close(&self, service: &ObjectKey, to: Option<&ServiceRoutes>) {
        let kept: Vec<Front> = to.iter().flat_map(|routes| &routes.ports).flat_map(|port| self.fronts(port)).collect();
        self.open.lock().retain(|(of, front), _| of != service || kept.contains(front));
    }

    async fn open(&self, service: &ObjectKey, front: Front, endpoints: &[SocketAddr]) -> Result<(), RouteError> {
        let place = (service.clone(), front);
        if let Some(door) = self.open.lock().get(&place) {
            *door.endpoints.list.write() = endpoints.into();
            return Ok(());
        }
        let listener = self.listen(front).await.map_err(|error| RouteError::Listen {
            service: service.clone(),
            address: format!("{front:?}"),
            why: error.to_string(),
        })?;
        let endpoints = Arc::new(Endpoints { list: RwLock::new(endpoints.into()), next: AtomicUsize::new(0) });
        let accepting = self.config.spawn.spawn(accept(listener, endpoints.clone()));
        self.open.lock().insert(place, Door { endpoints, _accepting: accepting });
        Ok(())
    }

    async fn listen(&self, front: Front) -> io::Result<TcpListener> {
        match front {
            Front::Cluster(address) => TcpListener::bind(address).await,
            Front::Node(port) => {
                let address = SocketAddrV4::new(self.config.node_address, port);
                let listener = self.config.host.listen_on_host(address.into()).await?;
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener)
            }
        }
    }
}

#[async_trait]
impl DataPlane for Userspace {
    async fn apply(&self, service: &ObjectKey, to: Option<&ServiceRoutes>) -> Result<(), RouteError> {
        self.close(service, to);
        let mut first = None;
        for port in to.iter().flat_map(|routes| &routes.ports) {
            let is_served = |address: &SocketAddr| self.config.served.contains(&address.ip());
            if port.protocol != Protocol::Tcp && port.node_port.is_none() && port.cluster.iter().any(is_served) {
                continue;
            }
            if port.protocol != Protocol::Tcp {
                let (service, protocol) = (service.clone(), format!("{:?}", port.protocol));
                first.get_or_insert(RouteError::Protocol { service, port: port.name.clone(), protocol });
                continue;
            }
            for front in self.fronts(port) {
                if let Err(error) = self.open(service, front, &port.endpoints).await {
                    first.get_or_insert(error);
                }
            }
        }
        first.map_or(Ok(()), Err)
    }

    async fn resync(&self, to: &RoutingTable) -> Result<(), RouteError> {
        self.open.lock().retain(|(service, _), _| to.get(service).is_some());
        let mut first = None;
        for (service, routes) in to.iter() {
            if let Err(error) = self.apply(service, Some(routes)).await {
                first.get_or_insert(error);
            }
        }
        first.map_or(Ok(()), Err)
    }
}

async fn accept(listener: TcpListener, endpoints: Arc<Endpoints>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => {
                let endpoints = endpoints.clone();
                tokio::spawn(async move {
                    carry(client, &endpoints).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to a service could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Carries one connection. Without an endpoint it is reset, as a kernel without routes would do.
async fn carry(mut client: TcpStream, endpoints: &Endpoints) {
    for endpoint in endpoints.in_turn() {
        match tokio::time::timeout(CONNECT, TcpStream::connect(endpoint)).await {
            Ok(Ok(mut server)) => {
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                // An end on either side is how connections end; there is nobody to tell.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                return;
            }
            Ok(Err(error)) => tracing::debug!(%endpoint, %error, "an endpoint did not answer"),
            Err(_) => tracing::debug!(%endpoint, "an endpoint did not answer in time"),
        }
    }
    let _ = client.set_zero_linger();
}

/// Makes every address of a network one of this machine's own, so that cluster addresses can be bound (a local route on the
/// loopback interface). Needs the right to change routes in this network namespace; repeating it changes nothing.
///
/// # Errors
/// When the kernel refuses.
pub async fn claim_network(base: Ipv4Addr, bits: u8) -> Result<(), RouteError> {
    use futures::TryStreamExt as _;
    use rtnetlink::packet_route::route::{RouteScope, RouteType};
    let refuse = |error: &dyn std::fmt::Display| RouteError::Network(error.to_string());
    let (connection, handle, _) = rtnetlink::new_connection().map_err(|e| refuse(&e))?;
    let _connection = Spawner::new().spawn(connection);
    let mut links = handle.link().get().match_name("lo".to_owned()).execute();
    let lo =
        links.try_next().await.map_err(|e| refuse(&e))?.ok_or_else(|| refuse(&"there is no loopback interface"))?;
    let route = rtnetlink::RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(base, bits)
        .output_interface(lo.header.index)
        .kind(RouteType::Local)
        .scope(RouteScope::Host)
        .table_id(255)
        .build();
    match handle.route().add(route).replace().execute().await {
        Err(error) => Err(refuse(&error)),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orc_core::ResourceId;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    struct Here;

    #[async_trait]
    impl Listen for Here {
        async fn listen_on_host(&self, address: SocketAddr) -> io::Result<std::net::TcpListener> {
            std::net::TcpListener::bind(address)
        }
    }

    /// A server that says its name and closes.
    async fn server(name: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(name.as_bytes()).await;
            }
        });
        address
    }

    async fn ask(address: SocketAddr) -> String {
        let mut text = String::new();
        TcpStream::connect(address).await.unwrap().read_to_string(&mut text).await.unwrap();
        text
    }

    fn free_port() -> u16 {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    #[tokio::test]
    async fn connections_take_turns_pass_over_the_dead_and_follow_changes() {
        let plane = Userspace::new(UserspaceConfig {
            host: Arc::new(Here),
            node_address: Ipv4Addr::LOCALHOST,
            cluster_addresses: false,
            served: Vec::new(),
            spawn: Spawner::new(),
        });
        let (a, b) = (server("a").await, server("b").await);
        let dead: SocketAddr = ([127, 0, 0, 1], free_port()).into();
        let node_port = free_port();
        let routes = |endpoints: &[SocketAddr]| ServiceRoutes {
            ports: vec![PortRoute {
                name: String::new(),
                protocol: Protocol::Tcp,
                cluster: Vec::new(),
                node_port: Some(node_port),
                endpoints: endpoints.to_vec(),
            }],
        };
        let key = ObjectKey::namespaced(ResourceId::new("", "services"), "d", "web");
        let at: SocketAddr = ([127, 0, 0, 1], node_port).into();
        plane.apply(&key, Some(&routes(&[a, dead, b]))).await.unwrap();
        let mut said = Vec::new();
        for _ in 0..6 {
            said.push(ask(at).await);
        }
        assert!(said.contains(&"a".to_owned()) && said.contains(&"b".to_owned()), "{said:?}");
        plane.apply(&key, Some(&routes(&[b]))).await.unwrap();
        assert_eq!(ask(at).await, "b");
        plane.apply(&key, None).await.unwrap();
        tokio::task::yield_now().await;
        assert!(TcpStream::connect(at).await.is_err(), "a forgotten service must not listen");
    }
}
