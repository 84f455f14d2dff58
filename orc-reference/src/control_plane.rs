//! The API server and the store.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use orc_api::audit::{Audit, Log, LogConfig, Mode, Policy, Webhook, WebhookConfig};
use orc_api::bootstrap::{self, ApiEndpoint};
use orc_api::certificates::Authority;
use orc_api::fairness::{Fairness, FairnessOptions};
use orc_api::http::Extra;
use orc_api::identity::service_account::{ServiceAccountTokens, Signer};
use orc_api::identity::{StaticTokens, TokenAuthenticator};
use orc_api::metrics::{self as api_metrics, MeteredBackend};
use orc_api::pki::Pki;
use orc_api::remote::Kubeconfig;
use orc_api::{ApiConfig, ApiService, Identity, Registry, RegistryOptions};
use orc_core::env::System;
use orc_core::metrics::Sources;
use orc_core::{ApiError, ObjectKey, ResourceId};
use orc_store::client::Freshness;
use orc_store::{NodeDialer, NodeService, Store};
use tokio::net::TcpListener;

use crate::args::{AuditArgs, AuditMode, AuditWebhookArgs, ClusterArgs, FairnessArgs};
use crate::board::Board;
use crate::data_dir::DataDir;
use crate::status::{self, Status};
use crate::{aggregation, backup, health, kubeconfig, metrics, page, progress, storage};

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
    /// Signs certificates that are asked for.
    pub authority: Arc<Authority>,
    /// Signs the tokens of service accounts.
    pub signer: Arc<Signer>,
    /// Time, ids, tasks.
    pub system: System,
    /// Where the API answers.
    pub url: String,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// The folder that holds everything.
    pub data: DataDir,
    /// Whether other servers may use the same store.
    pub shared: bool,
    /// What this server calls itself among others; different at every start.
    pub identity: String,
    /// What runs here.
    pub board: Board,
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
    plane.board.stop();
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
    let audit = audit(args, &system)?;
    let seats = seats(args.fairness)?;
    let storage = storage::open(args, &data, &system).await?;
    let backend = MeteredBackend::new(storage.backend, system.clock.clone());
    let store = Store::open(backend.clone(), Registry::fields(), system.clone()).await?;
    let address = listener.local_addr()?;
    let mut addresses = server_addresses(address.ip(), args.service_cidr.api(), inside);
    addresses.extend(args.advertise_address);
    let pki_dir = args.pki_dir.clone().unwrap_or_else(|| data.pki());
    let pki = Pki::open(&pki_dir, &server_names(), &addresses, &system.clock)?;
    if storage.shared {
        check_authority(&store, &pki, &pki_dir).await?;
    }
    let signer = Signer::new(&pki.service_account_key)?.with_issuers(args.service_account_issuer.clone());
    let signer = Arc::new(signer);
    let cidr = args.service_cidr;
    let options =
        RegistryOptions { service_cidr: (cidr.base, cidr.bits), node_ports: NODE_PORTS, signer: signer.clone() };
    let registry = Registry::open(store.clone(), options, system.clone()).await?;
    let admin = registry.client(Identity::admin(), "orc");
    bootstrap::ensure(&admin, ApiEndpoint { cluster_ip: cidr.api(), service_cidr: (cidr.base, cidr.bits) }).await?;
    orc_api::aggregation::ensure(&admin, &system.clock).await?;
    page::ensure(&admin).await?;
    let claims = registry.clone();
    system.spawn.detach(async move { claims.keep_claims().await });
    system.spawn.detach(orc_api::expiry::run(store.clone(), system.clock.clone(), orc_api::expiry::TTL));
    let accounts = ServiceAccountTokens { signer: signer.clone(), store, clock: system.clock.clone() };
    let mut authenticators: Vec<Arc<dyn TokenAuthenticator>> = vec![Arc::new(accounts)];
    authenticators.extend(tokens.map(|tokens| Arc::new(tokens) as Arc<dyn TokenAuthenticator>));
    let aggregator = aggregation::start(&registry, &admin, &pki, nodes.clone(), &system).await?;
    let (board, sources) = (Board::new(system.clock.clone()), Sources::default());
    let identity = format!("{}_{}", host_name(), system.ids.uid());
    let status = Arc::new(Status {
        board: board.clone(),
        registry: registry.clone(),
        backend: backend.clone(),
        folder: (!storage.shared).then(|| data.store()),
        identity: identity.clone(),
        requests: Default::default(),
    });
    let extras: [(&str, Arc<dyn Extra>); 5] = [
        (backup::PATH, backup::of(storage.kept)),
        (api_metrics::PATH, api_metrics::page(sources.clone())),
        (status::PATH, status.clone()),
        (page::PATH, page::files()),
        (page::ROOT, page::files()),
    ];
    let config = ApiConfig {
        registry: registry.clone(),
        tokens: authenticators,
        nodes,
        clock: system.clock.clone(),
        extras: extras.map(|(path, extra)| (path.to_owned(), extra)).into(),
    };
    let checks = health::checks(&board, backend.clone(), storage.encryption);
    let service = ApiService::new(config).with_aggregator(aggregator).with_checks(checks);
    *status.requests.lock() = Some(service.metrics().clone());
    sources.add(service.metrics().clone());
    sources.add(api_metrics::of_store(registry.store().clone()));
    sources.add(api_metrics::of_build());
    sources.add(backend);
    metrics::add(&sources, &board);
    let service = match audit {
        Some(audit) => service.with_audit(audit),
        None => service,
    };
    let service = match seats {
        Some(seats) => {
            let options = FairnessOptions { seats, ..FairnessOptions::default() };
            let fairness = Fairness::start(&registry, options, &system).await?;
            sources.add(fairness.clone());
            service.with_fairness(fairness)
        }
        None => service,
    };
    let acceptor = orc_api::serve::acceptor(&pki)?;
    let listener = TcpListener::from_std(listener)?;
    system.spawn.detach(orc_api::serve::serve(listener, acceptor.clone(), service.clone()));
    let url = format!("https://{}", reachable(address));
    let kubeconfig = args.kubeconfig.clone().unwrap_or_else(|| data.kubeconfig());
    kubeconfig::write(&kubeconfig, &url, &pki)?;
    let shared = storage.shared;
    let authority = Arc::new(Authority::new(&pki.ca)?);
    let ca = pki.ca.certificate;
    Ok(ControlPlane {
        registry,
        service,
        acceptor,
        ca,
        authority,
        signer,
        system,
        url,
        kubeconfig,
        data,
        shared,
        identity,
        board,
    })
}

/// Servers that share a store must share the authority too, or each other's clients and nodes cannot trust them.
async fn check_authority(store: &Store, pki: &Pki, folder: &std::path::Path) -> anyhow::Result<()> {
    let key = ObjectKey::namespaced(ResourceId::new("", "configmaps"), "kube-system", "kube-root-ca.crt");
    let Some(stored) = store.get(&key, Freshness::Latest).await? else { return Ok(()) };
    let doc = stored.to_doc()?;
    let theirs = doc.str_at(&["data", "ca.crt"]).unwrap_or_default();
    anyhow::ensure!(
        theirs.trim() == pki.ca.certificate.trim(),
        "the cluster in this etcd has another certificate authority than {}; give the other servers' folder with --pki-dir (it holds \
         ca.crt, ca.key and service-account.key), or another --etcd-prefix for a cluster of its own",
        folder.display()
    );
    Ok(())
}

/// This machine's name.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The seats of all priority levels, `None` where nothing is limited.
fn seats(args: FairnessArgs) -> anyhow::Result<Option<u32>> {
    let seats = args.max_requests_inflight.saturating_add(args.max_mutating_requests_inflight);
    anyhow::ensure!(
        !args.enable_priority_and_fairness || seats > 0,
        "--max-requests-inflight and --max-mutating-requests-inflight must not both be 0; nothing is limited with \
         --enable-priority-and-fairness=false"
    );
    Ok(args.enable_priority_and_fairness.then_some(seats))
}

/// The audit log that the flags name.
fn audit(args: &ClusterArgs, system: &System) -> anyhow::Result<Option<Arc<Audit>>> {
    let AuditArgs { policy, path, max_age, max_backup, max_size, mode, webhook } = &args.audit;
    let Some(policy) = policy else { return Ok(None) };
    anyhow::ensure!(
        path.is_some() || webhook.config.is_some(),
        "--audit-policy-file needs --audit-log-path or --audit-webhook-config-file: events must go somewhere"
    );
    let text = std::fs::read_to_string(policy)
        .with_context(|| format!("the audit policy {} cannot be read", policy.display()))?;
    let policy = Policy::parse(&text).with_context(|| format!("the audit policy {}", policy.display()))?;
    let (max_age_days, max_backups, max_size_mb) = (*max_age, *max_backup, *max_size);
    let log = path.as_ref().map(|path| {
        let config =
            LogConfig { max_age_days, max_backups, max_size_mb, mode: audit_mode(*mode), ..LogConfig::new(path) };
        Log::open(&config, system.clock.clone())
    });
    let (log, webhook) = (log.transpose()?, audit_webhook(webhook, system)?);
    Ok(Some(Arc::new(Audit { policy, log, webhook, system: system.clone() })))
}

fn audit_mode(mode: AuditMode) -> Mode {
    if mode == AuditMode::Batch { Mode::Batch } else { Mode::Blocking }
}

fn audit_webhook(args: &AuditWebhookArgs, system: &System) -> anyhow::Result<Option<Webhook>> {
    let Some(file) = &args.config else { return Ok(None) };
    let config = WebhookConfig {
        mode: audit_mode(args.webhook_mode),
        buffer: args.buffer,
        batch: args.batch,
        wait: args.wait,
        throttle: args.throttle.then_some((args.qps, args.burst)),
        backoff: args.backoff,
    };
    let to = Kubeconfig::read(file).context("--audit-webhook-config-file")?;
    Ok(Some(Webhook::start(to, &config, system).with_context(|| file.display().to_string())?))
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
