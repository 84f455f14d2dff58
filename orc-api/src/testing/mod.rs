//! A whole API server inside a test: Kubernetes' rules over a store in memory, without a socket, started in milliseconds.
//!
//! ```
//! use k8s_openapi::api::core::v1::ConfigMap;
//! use kube::api::{Api, PostParams};
//! use orc_api::testing::ApiServer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = ApiServer::start().await?;
//! let maps: Api<ConfigMap> = Api::namespaced(server.client(), "default");
//! let map = serde_json::from_value(serde_json::json!({"metadata": {"name": "a"}, "data": {"k": "v"}}))?;
//! let made = maps.create(&PostParams::default(), &map).await?;
//! assert_eq!(made.metadata.generation, None);
//! assert!(maps.create(&PostParams::default(), &map).await.is_err(), "it is there already");
//! # Ok(())
//! # }
//! ```
//!
//! What runs is what `orc api` runs: every built-in kind, custom resources, admission, RBAC, watches, server-side apply. No
//! controllers and no nodes: objects stay as they are written, as with envtest. Servers of one process are isolated from each
//! other, and many may run at once. A test that wants time to stand still pauses tokio's clock.

mod client;
mod template;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use orc_core::ApiError;
use orc_core::env::{System, Task};
use orc_store::backend::MemoryBackend;
use orc_store::{NodeDialer, NodeService, Store};
use tokio::net::TcpListener;

use crate::identity::service_account::{ServiceAccountTokens, Signer};
use crate::pki::Pki;
use crate::serve::Patience;
use crate::{ApiConfig, ApiService, Identity, Registry, RegistryOptions};

/// The network of Service addresses, and the range of node ports.
const CIDR: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 96, 0, 0), 12);
const PORTS: (u16, u16) = (30000, 32767);

/// A running server. It ends, with its data, when this is dropped and no client is left.
pub struct ApiServer {
    service: ApiService,
    registry: Arc<Registry>,
    system: System,
}

impl ApiServer {
    /// Starts a server with the objects that every cluster starts with, and the service account `default/default`.
    ///
    /// # Errors
    /// Those of the start of a server; none is expected.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start() -> Result<Self, ApiError> {
        let template = template::of_this_process().await?;
        let system = System::real();
        let backend = Arc::new(MemoryBackend::holding(template.records.iter().cloned(), template.revision));
        let (service, registry) = serve(backend, &template.key, &system).await?;
        Ok(Self { service, registry, system })
    }

    /// A client that may do everything.
    pub fn client(&self) -> kube::Client {
        self.client_as(Identity::admin())
    }

    /// A client that acts as somebody, under their roles.
    pub fn client_as(&self, who: Identity) -> kube::Client {
        client::over(self.service.clone(), who)
    }

    /// The API as a `tower::Service`. A request says who asks by an [`Identity`] in its extensions, or by a token.
    pub fn service(&self) -> &ApiService {
        &self.service
    }

    /// The objects below, for tests that look past the API.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Serves the same API with TLS on a free port of this machine, for clients that need a socket. It listens until the
    /// result is dropped.
    ///
    /// # Errors
    /// When there is no port, or no certificate can be made.
    pub async fn listen(&self) -> std::io::Result<Listening> {
        self.listen_with(Patience::default()).await
    }

    /// As [`ApiServer::listen`], with deadlines for slow clients of the caller's.
    ///
    /// # Errors
    /// As [`ApiServer::listen`].
    pub async fn listen_with(&self, patience: Patience) -> std::io::Result<Listening> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let pki = Pki::in_memory(&[], &[IpAddr::V4(Ipv4Addr::LOCALHOST)], &self.system.clock);
        let pki = pki.map_err(std::io::Error::other)?;
        let acceptor = crate::serve::acceptor(&pki).map_err(std::io::Error::other)?;
        let serving = crate::serve::serve_patiently(listener, acceptor, self.service.clone(), patience);
        let task = self.system.spawn.spawn(serving);
        Ok(Listening { address, pki, _task: task })
    }
}

/// The API on a socket.
pub struct Listening {
    /// Where.
    pub address: SocketAddr,
    /// The authority that signed its certificate, and an administrator's certificate.
    pub pki: Pki,
    _task: Task,
}

/// Starts the parts of a server over a backend.
async fn serve(
    backend: Arc<MemoryBackend>,
    key: &[u8],
    system: &System,
) -> Result<(ApiService, Arc<Registry>), ApiError> {
    let store = Store::open(backend, Registry::fields(), system.clone()).await.map_err(ApiError::internal)?;
    let signer = Arc::new(Signer::new(key)?);
    let options = RegistryOptions { service_cidr: CIDR, node_ports: PORTS, signer: signer.clone() };
    let registry = Registry::open(store.clone(), options, system.clone()).await?;
    let accounts = ServiceAccountTokens { signer, store, clock: system.clock.clone() };
    let config = ApiConfig {
        registry: registry.clone(),
        tokens: vec![Arc::new(accounts)],
        nodes: Arc::new(NoNodes),
        clock: system.clock.clone(),
        extras: Default::default(),
    };
    Ok((ApiService::new(config), registry))
}

/// The kit has no nodes.
struct NoNodes;

#[async_trait]
impl NodeDialer for NoNodes {
    async fn dial(&self, node: &str) -> Result<NodeService, ApiError> {
        Err(ApiError::unavailable(format!("node {node:?} is not reachable: the test kit's API server runs no nodes")))
    }
}
