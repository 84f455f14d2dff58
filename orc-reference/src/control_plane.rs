//! The API server and the store.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use orc_api::bootstrap::{self, ApiEndpoint};
use orc_api::identity::service_account::{ServiceAccountTokens, Signer};
use orc_api::identity::{StaticTokens, TokenAuthenticator};
use orc_api::pki::Pki;
use orc_api::{ApiConfig, ApiService, Identity, Registry, RegistryOptions};
use orc_core::ApiError;
use orc_core::env::System;
use orc_store::backend::{DurableBackend, DurableConfig};
use orc_store::{NodeDialer, NodeService, Store};
use tokio::net::TcpListener;

use crate::args::ClusterArgs;
use crate::data_dir::DataDir;
use crate::{kubeconfig, progress};

/// The range of node ports.
pub const NODE_PORTS: (u16, u16) = (30000, 32767);

/// A running API server.
pub struct ControlPlane {
    /// Objects under Kubernetes' rules.
    pub registry: Arc<Registry>,
    /// The API as a service.
    pub service: ApiService,
    /// The TLS side of the API, for further listeners.
    pub acceptor: tokio_rustls::TlsAcceptor,
    /// PEM of the CA that signed the server's certificate.
    pub ca: String,
    /// Time, ids, tasks.
    pub system: System,
    /// Where the API answers.
    pub url: String,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// The folder that holds everything.
    pub data: DataDir,
}

/// Runs the API server and the store until a signal.
///
/// # Errors
/// When something cannot be opened, bound or read.
pub async fn run(args: ClusterArgs) -> anyhow::Result<()> {
    let data = DataDir::open(&args)?;
    let listener = bind(args.listen)?;
    let plane = start(&args, data, listener, &[], Arc::new(NoNodes)).await?;
    progress::ready(&plane);
    stopped().await?;
    plane.registry.store().close();
    Ok(())
}

/// Opens the listening socket.
///
/// # Errors
/// When the address is taken or not this machine's.
pub fn bind(address: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address).with_context(|| cannot_listen(address))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// What to do when the API's address cannot be had.
pub fn cannot_listen(address: SocketAddr) -> String {
    format!("the API cannot listen on {address}; choose another address or port with --listen ADDR:PORT")
}

/// Starts the API server over the store of the data folder. `inside` are further addresses it will be reached by.
///
/// # Errors
/// When something cannot be opened or read.
pub async fn start(
    args: &ClusterArgs,
    data: DataDir,
    listener: std::net::TcpListener,
    inside: &[IpAddr],
    nodes: Arc<dyn NodeDialer>,
) -> anyhow::Result<ControlPlane> {
    let system = System::real();
    let tokens = static_tokens(args)?;
    let backend = DurableBackend::open(DurableConfig::new(data.store()))?;
    let store = Store::open(Arc::new(backend), Registry::fields(), system.clone()).await?;
    let address = listener.local_addr()?;
    let pki = Pki::open(
        &data.pki(),
        &server_names(),
        &server_addresses(address.ip(), args.service_cidr.api(), inside),
        &system.clock,
    )?;
    let signer = Arc::new(Signer::new(&pki.service_account_key)?);
    let cidr = args.service_cidr;
    let options =
        RegistryOptions { service_cidr: (cidr.base, cidr.bits), node_ports: NODE_PORTS, signer: signer.clone() };
    let registry = Registry::open(store.clone(), options, system.clone()).await?;
    let admin = registry.client(Identity::admin(), "orc");
    bootstrap::ensure(&admin, ApiEndpoint { cluster_ip: cidr.api(), service_cidr: (cidr.base, cidr.bits) }).await?;
    system.spawn.detach(orc_api::expiry::run(store.clone(), system.clock.clone(), orc_api::expiry::TTL));
    let accounts = ServiceAccountTokens { signer, store, clock: system.clock.clone() };
    let mut authenticators: Vec<Arc<dyn TokenAuthenticator>> = vec![Arc::new(accounts)];
    authenticators.extend(tokens.map(|tokens| Arc::new(tokens) as Arc<dyn TokenAuthenticator>));
    let config = ApiConfig { registry: registry.clone(), tokens: authenticators, nodes, clock: system.clock.clone() };
    let service = ApiService::new(config);
    let acceptor = orc_api::serve::acceptor(&pki)?;
    let listener = TcpListener::from_std(listener)?;
    system.spawn.detach(orc_api::serve::serve(listener, acceptor.clone(), service.clone()));
    let url = format!("https://{}", reachable(address));
    let kubeconfig = args.kubeconfig.clone().unwrap_or_else(|| data.kubeconfig());
    kubeconfig::write(&kubeconfig, &url, &pki)?;
    Ok(ControlPlane { registry, service, acceptor, ca: pki.ca.certificate, system, url, kubeconfig, data })
}

fn static_tokens(args: &ClusterArgs) -> anyhow::Result<Option<StaticTokens>> {
    let Some(path) = &args.token_auth_file else { return Ok(None) };
    let text =
        std::fs::read_to_string(path).with_context(|| format!("the token file {} cannot be read", path.display()))?;
    let tokens = StaticTokens::parse(&text).with_context(|| format!("the token file {}", path.display()))?;
    Ok(Some(tokens))
}

fn server_names() -> Vec<String> {
    let names = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    names.map(str::to_owned).to_vec()
}

fn server_addresses(listen: IpAddr, service: Ipv4Addr, inside: &[IpAddr]) -> Vec<IpAddr> {
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4(service)];
    addresses.extend(inside);
    if !listen.is_unspecified() && !addresses.contains(&listen) {
        addresses.push(listen);
    }
    addresses
}

/// The address that a client on this machine dials.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() { SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()) } else { address }
}

/// Waits for SIGINT or SIGTERM.
///
/// # Errors
/// When the signals cannot be watched.
pub async fn stopped() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// `orc api` has no nodes.
struct NoNodes;

#[async_trait]
impl NodeDialer for NoNodes {
    async fn dial(&self, node: &str) -> Result<NodeService, ApiError> {
        Err(ApiError::unavailable(format!("node {node:?} is not reachable: `orc api` runs no nodes; use `orc up`")))
    }
}
