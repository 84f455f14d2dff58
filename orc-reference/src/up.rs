//! `orc up`: a whole cluster in the foreground.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use orc_api::Identity;
use orc_core::env::Task;
use orc_reconcile::CancellationToken;
use orc_runtime::rootless::{self, Enter, Entered};
use tokio::net::TcpListener;

use crate::args::{ClusterArgs, UpArgs};
use crate::client::{apply, manifest};
use crate::control_plane::{self, ControlPlane};
use crate::data_dir::DataDir;
use crate::nodes::{LocalNodes, NodeNet};
use crate::ranges::PodRanges;
use crate::{dns, loops, nodes, progress, servers, volumes};

/// How long the loops may take to end.
const DRAIN: Duration = Duration::from_secs(6);

/// Runs a cluster until a signal.
///
/// # Errors
/// When a part cannot be started.
pub fn run(args: UpArgs) -> anyhow::Result<()> {
    let data = DataDir::open(&args.cluster)?;
    // Before any thread starts: without root, the program goes on inside namespaces of its own.
    let enter = Enter { data_dir: data.path().to_owned(), listen: vec![args.cluster.listen] };
    let entered =
        rootless::enter_if_needed(&enter).with_context(|| control_plane::cannot_listen(args.cluster.listen))?;
    runtime()?.block_on(cluster(args, data, entered))
}

/// The tokio runtime of every command.
///
/// # Errors
/// When the system gives no threads.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

async fn cluster(args: UpArgs, data: DataDir, mut entered: Entered) -> anyhow::Result<()> {
    progress::title();
    let listener = entered.listeners.pop().context("the API's socket was lost on the way into the namespaces")?;
    listener.set_nonblocking(true)?;
    let ranges = match &args.pod_cidr {
        Some(text) => PodRanges::parse(text)?,
        None => PodRanges::of(data.path(), args.cluster.service_cidr)?,
    };
    let gateway = IpAddr::V4(ranges.node(1)?.gateway());
    let dialer = Arc::new(LocalNodes::default());
    let plane = control_plane::start(&args.cluster, data, listener, &[gateway], dialer.clone()).await?;
    progress::started("api", &plane.url);
    volumes::ensure_class(&plane.registry.client(Identity::admin(), "orc")).await?;
    let net = match args.nodes {
        0 => NodeNet::none(&entered, ranges),
        _ => NodeNet::start(&plane, &entered, ranges, args.cluster.service_cidr).await?,
    };
    let inside = inner_api(&plane, &net, args.cluster.listen.port()).await?;
    let stop = CancellationToken::new();
    let mut loops = loops::start(&plane, dialer.clone(), &stop);
    let mut dns = None;
    if args.nodes > 0 {
        let env = loops::network_env(&plane);
        dns = dns::start(&plane, &net, &env, &args).await?;
        let served = dns.iter().map(|server| server.address().ip()).collect();
        loops.push(loops::start_router(&plane, &net, &env, served, net.local(args.nodes)?, &stop));
    }
    loops.extend(endpoints(&plane, &args.cluster, inside.map(|port| SocketAddr::new(gateway, port))));
    let nodes = nodes::start(&args, &plane, &net, &entered, dns.as_ref(), &dialer, &stop).await?;
    if args.nodes + args.sim_nodes > 0 {
        nodes::wait_ready(&plane, usize::from(args.nodes + args.sim_nodes), &stop).await?;
    }
    progress::ready(&plane);
    apply_files(&args, &plane).await?;
    progress::next(&plane);
    control_plane::stopped().await?;
    plane.board.stop();
    progress::stopping(args.leave_pods);
    stop.cancel();
    // The loops go first: nothing shall be started again while the pods end.
    let _ = tokio::time::timeout(DRAIN, futures::future::join_all(loops.into_iter().map(Task::join))).await;
    let stopped = nodes.stop(args.leave_pods).await;
    plane.registry.store().close();
    if !args.leave_pods {
        net.stop().await;
        rootless::release(plane.data.path())?;
        progress::stopped(stopped);
    }
    Ok(())
}

/// Keeps the endpoints of the API, where it has an address that others can reach.
fn endpoints(plane: &ControlPlane, args: &ClusterArgs, inside: Option<SocketAddr>) -> Option<Task> {
    let listens = args.listen;
    let open = (!listens.ip().is_loopback() && !listens.ip().is_unspecified()).then_some(listens);
    let told = args.advertise_address.map(|address| SocketAddr::new(address, listens.port()));
    let own = told.or(inside).or(open)?;
    let identity = plane.shared.then(|| plane.identity.clone());
    Some(plane.system.spawn.spawn(servers::run(servers::env(plane), own, identity)))
}

/// Makes the objects of `--apply`, in the order given.
async fn apply_files(args: &UpArgs, plane: &ControlPlane) -> anyhow::Result<()> {
    let admin = plane.registry.client(Identity::admin(), "orc");
    for file in &args.apply {
        apply::in_process(&admin, &manifest::read(file)?)
            .await
            .with_context(|| format!("--apply {}", file.display()))?;
    }
    Ok(())
}

/// Pods reach the API through the bridge: a second listener, on the first node's gateway address.
async fn inner_api(plane: &ControlPlane, net: &NodeNet, port: u16) -> anyhow::Result<Option<u16>> {
    let Some(gateway) = net.gateway() else { return Ok(None) };
    let listener = match TcpListener::bind((gateway, port)).await {
        Ok(listener) => listener,
        // The API listens on every address already.
        Err(_) if net.api_is_everywhere(plane) => return Ok(Some(port)),
        Err(error) => return Err(error).with_context(|| format!("the API cannot listen on {gateway}:{port} for pods")),
    };
    plane.system.spawn.detach(orc_api::serve::serve(listener, plane.acceptor.clone(), plane.service.clone()));
    Ok(Some(port))
}
