//! The API server inside a bench: the real service, TLS and store, without nodes and loops.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use orc_api::bootstrap::{self, ApiEndpoint};
use orc_api::identity::service_account::Signer;
use orc_api::pki::Pki;
use orc_api::{ApiConfig, ApiService, Identity, Registry, RegistryOptions};
use orc_core::ApiError;
use orc_core::env::System;
use orc_store::{Backend, NodeDialer, NodeService, Store};
use tempfile::TempDir;
use tokio::net::TcpListener;

const CIDR: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 96, 0, 0), 12);

/// A running server.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its certificates.
    pub pki: Pki,
    /// Its store.
    pub store: Arc<Store>,
    _folder: TempDir,
}

impl Server {
    /// Starts the API over a backend.
    ///
    /// # Errors
    /// When a part cannot be started.
    pub async fn start(backend: Arc<dyn Backend>) -> anyhow::Result<Self> {
        let system = System::real();
        let folder = tempfile::tempdir()?;
        let store = Store::open(backend, Registry::fields(), system.clone()).await?;
        let pki = Pki::open(folder.path(), &[], &[IpAddr::V4(Ipv4Addr::LOCALHOST)], &system.clock)?;
        let signer = Arc::new(Signer::new(&pki.service_account_key)?);
        let options = RegistryOptions { service_cidr: CIDR, node_ports: (30000, 32767), signer };
        let registry = Registry::open(store.clone(), options, system.clone()).await?;
        let endpoint = ApiEndpoint { cluster_ip: Ipv4Addr::new(10, 96, 0, 1), service_cidr: CIDR };
        bootstrap::ensure(&registry.client(Identity::admin(), "orc"), endpoint).await?;
        let config = ApiConfig {
            registry,
            tokens: Vec::new(),
            nodes: Arc::new(NoNodes),
            clock: system.clock.clone(),
            extras: Default::default(),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let acceptor = orc_api::serve::acceptor(&pki)?;
        system.spawn.detach(orc_api::serve::serve(listener, acceptor, ApiService::new(config)));
        Ok(Self { address, pki, store, _folder: folder })
    }
}

struct NoNodes;

#[async_trait]
impl NodeDialer for NoNodes {
    async fn dial(&self, node: &str) -> Result<NodeService, ApiError> {
        Err(ApiError::unavailable(format!("node {node:?}: this server has no nodes")))
    }
}
