//! The nodes of this process.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use k8s_openapi::api::core::v1::Node;
use orc_api::Identity;
use orc_core::ApiError;
use orc_core::env::Task;
use orc_net::dns::DnsServer;
use orc_net::{Listen, LocalNode};
use orc_reconcile::CancellationToken;
use orc_runtime::agent::{Agent, AgentConfig, stop_pods};
use orc_runtime::pod_net::{Cidr, InstanceId, Network};
use orc_runtime::process::{Isolation, ProcessConfig, ProcessRuntime};
use orc_runtime::rootless::{Entered, HostPorts};
use orc_runtime::runtime::RuntimeService;
use orc_runtime::sim::{Fleet, FleetConfig, Script, SimConfig, SimRuntime};
use orc_store::cache::CacheEvent;
use orc_store::{Env, NodeDialer, NodeService};
use parking_lot::RwLock;

use crate::args::{RuntimeKind, ServiceCidr, UpArgs};
use crate::control_plane::ControlPlane;
use crate::progress;
use crate::ranges::PodRanges;

/// The way to the nodes of this process.
#[derive(Default)]
pub struct LocalNodes(RwLock<BTreeMap<String, NodeService>>);

#[async_trait]
impl NodeDialer for LocalNodes {
    async fn dial(&self, node: &str) -> Result<NodeService, ApiError> {
        let service = self.0.read().get(node).cloned();
        service
            .ok_or_else(|| ApiError::unavailable(format!("node {node:?} is not one of this cluster's running nodes")))
    }
}

/// The network that pods and services share.
pub struct NodeNet {
    network: Option<Arc<Network>>,
    /// Whether addresses of Services can be bound here.
    pub services: bool,
    /// Opens ports on the host.
    pub host_ports: HostPorts,
    ranges: PodRanges,
}

impl NodeNet {
    /// No network: for a server without nodes of its own.
    pub fn none(entered: &Entered, ranges: PodRanges) -> Self {
        Self { network: None, services: false, host_ports: entered.host_ports.clone(), ranges }
    }

    /// Makes the bridge and claims the service network, where namespaces are allowed.
    ///
    /// # Errors
    /// When the kernel refuses although it allows namespaces.
    pub async fn start(
        plane: &ControlPlane,
        entered: &Entered,
        ranges: PodRanges,
        services: ServiceCidr,
    ) -> anyhow::Result<Self> {
        let host_ports = entered.host_ports.clone();
        if let Isolation::Unavailable { reason } = &entered.isolation {
            progress::started("network", &format!("none: {reason}; only pods with hostNetwork: true can run"));
            return Ok(Self { network: None, services: false, host_ports, ranges });
        }
        let instance = InstanceId::of(&plane.data.path().to_string_lossy());
        ranges.check_free(&instance, services)?;
        let network = Network::start(instance).await.context("the pod network cannot be set up")?;
        network.add_range(ranges.node(1)?).await.context("the pod network cannot be set up")?;
        orc_net::userspace::claim_network(services.base, services.bits).await?;
        progress::started("network", &format!("{} {}", network.bridge_name(), entered.isolation));
        Ok(Self { network: Some(Arc::new(network)), services: true, host_ports, ranges })
    }

    /// Takes the bridge away, once no pod is left on it.
    pub async fn stop(&self) {
        if let Some(network) = &self.network
            && let Err(error) = network.remove().await
        {
            tracing::warn!(%error, "the pod network was not removed");
        }
    }

    /// The first node's address on the bridge.
    pub fn gateway(&self) -> Option<Ipv4Addr> {
        self.network.as_ref()?;
        self.ranges.node(1).ok().map(|range| range.gateway())
    }

    /// The first nodes by number, as the routing of Services knows them.
    ///
    /// # Errors
    /// As [`PodRanges::node`].
    pub fn local(&self, count: u16) -> anyhow::Result<Vec<LocalNode>> {
        let node = |number| {
            let range = self.ranges.node(number)?;
            Ok(LocalNode { name: format!("node-{number}"), range: (range.gateway(), range.prefix()) })
        };
        (1..=count).map(node).collect()
    }

    /// The range that all pod networks are cut from.
    pub fn pod_range(&self) -> (Ipv4Addr, u8) {
        self.ranges.network()
    }

    /// Whether the API listens on all addresses of this network.
    pub fn api_is_everywhere(&self, plane: &ControlPlane) -> bool {
        !self.host_ports.is_relayed() && !plane.url.contains("127.0.0.1")
    }
}

/// Node ports open on the host, wherever this process is.
pub struct OnHost(pub HostPorts);

#[async_trait]
impl Listen for OnHost {
    async fn listen_on_host(&self, address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
        self.0.listen_tcp(address).await
    }

    async fn bind_on_host(&self, address: SocketAddr) -> std::io::Result<std::net::UdpSocket> {
        self.0.bind_udp(address).await
    }
}

/// The running nodes.
pub struct Nodes {
    tasks: Vec<Task>,
    runtimes: Vec<Arc<dyn RuntimeService>>,
}

/// How long containers may take to end by themselves when the cluster is stopped.
const GRACE: Duration = Duration::from_secs(5);

impl Nodes {
    /// Waits for the agents to end, and then, unless they are to stay, stops the pods. Returns how many there were.
    pub async fn stop(self, leave_pods: bool) -> usize {
        let agents = futures::future::join_all(self.tasks.into_iter().map(Task::join));
        let _ = tokio::time::timeout(GRACE, agents).await;
        if leave_pods {
            return 0;
        }
        let stopped = self.runtimes.iter().map(|runtime| stop_pods(runtime, GRACE));
        let counts = futures::future::join_all(stopped).await;
        counts.into_iter().map(|count| count.unwrap_or_else(|error| told(&error))).sum()
    }
}

fn told(error: &dyn std::fmt::Display) -> usize {
    tracing::warn!(%error, "a node's pods were not stopped");
    0
}

/// Starts the agents of all nodes.
///
/// # Errors
/// When a runtime cannot be set up.
pub async fn start(
    args: &UpArgs,
    plane: &ControlPlane,
    net: &NodeNet,
    entered: &Entered,
    dns: Option<&DnsServer>,
    dialer: &LocalNodes,
    stop: &CancellationToken,
) -> anyhow::Result<Nodes> {
    if let Some(folder) = &args.static_pods {
        anyhow::ensure!(folder.exists(), "--static-pods {}: there is no such folder", folder.display());
    }
    let (mut tasks, mut runtimes) = (Vec::new(), Vec::new());
    for number in 1..=args.nodes {
        let name = format!("node-{number}");
        let range = net.ranges.node(number)?;
        let mut config = agent_config(args, plane, net, &name, range);
        config.cluster_dns = dns.iter().map(|server| server.address().ip()).collect();
        let runtime = runtime(args, plane, net, entered, &name, range).await?;
        let agent = Agent::new(config, node_env(plane, &name), runtime.clone());
        runtimes.push(runtime);
        dialer.0.write().insert(name.clone(), agent.service());
        tasks.push(plane.system.spawn.spawn(agent.run(stop.clone())));
        progress::started("node", &name);
    }
    if args.sim_nodes > 0 {
        let fleet = fleet(args, plane)?;
        dialer.0.write().extend(fleet.services());
        tasks.push(plane.system.spawn.spawn(fleet.run(stop.clone())));
        progress::started("nodes", &format!("{} simulated", args.sim_nodes));
    }
    Ok(Nodes { tasks, runtimes })
}

fn agent_config(args: &UpArgs, plane: &ControlPlane, net: &NodeNet, name: &str, range: Cidr) -> AgentConfig {
    let address = match net.gateway() {
        Some(_) => IpAddr::V4(range.gateway()),
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let config = match args.runtime {
        RuntimeKind::Process => AgentConfig::new(name, plane.data.node(name)),
        RuntimeKind::Sim => AgentConfig::simulated(name),
    };
    // Absolute, for the process may change its folder.
    let static_pods =
        args.static_pods.as_ref().map(|folder| std::path::absolute(folder).unwrap_or_else(|_| folder.clone()));
    AgentConfig { addresses: vec![address], pod_cidr: Some(range.to_string()), static_pods, ..config }
}

async fn runtime(
    args: &UpArgs,
    plane: &ControlPlane,
    net: &NodeNet,
    entered: &Entered,
    name: &str,
    range: Cidr,
) -> anyhow::Result<Arc<dyn RuntimeService>> {
    if args.runtime == RuntimeKind::Sim {
        let config = SimConfig { pod_cidr: range, script: Script::default() };
        return Ok(Arc::new(SimRuntime::new(config, plane.system.clock.clone())));
    }
    let mut config = ProcessConfig::new(plane.data.node(name).join("runtime"));
    config.isolation = entered.isolation.clone();
    config.host_ports = entered.host_ports.clone();
    config.hidden = vec![plane.data.path().to_owned()];
    if let Some(network) = &net.network {
        config = config.with_network(network.clone(), range);
    }
    let runtime = ProcessRuntime::new(config).await.with_context(|| format!("the process runtime of {name}"))?;
    Ok(Arc::new(runtime))
}

fn fleet(args: &UpArgs, plane: &ControlPlane) -> anyhow::Result<Fleet> {
    let node = |number: u16| {
        let name = format!("sim-{number}");
        // 100.64.0.0/10 (RFC 6598) has room for 16,384 ranges of 256 and is nobody's public network.
        let range: Cidr = format!("100.{}.{}.0/24", 64 + number / 256, number % 256).parse()?;
        let config = AgentConfig {
            addresses: vec![IpAddr::V4(range.gateway())],
            pod_cidr: Some(range.to_string()),
            ..AgentConfig::simulated(&name)
        };
        Ok((config, range))
    };
    let nodes = (1..=args.sim_nodes).map(node).collect::<anyhow::Result<Vec<_>>>()?;
    // One watch of pods for all of them, so one identity as well; it is no node's, which would be held to one node's pods.
    let identity = Identity::user(orc_api::bootstrap::SIMULATED_NODES, &[]);
    let env = Env::new(Arc::new(plane.registry.client(identity, "kubelet")), &plane.system);
    Ok(Fleet::new(FleetConfig { nodes, script: Script::default() }, &env))
}

fn node_env(plane: &ControlPlane, name: &str) -> Env {
    let identity = Identity::user(format!("system:node:{name}"), &["system:nodes"]);
    Env::new(Arc::new(plane.registry.client(identity, "kubelet")), &plane.system)
}

/// How long to wait for the next node; a start of many goes on as long as there are more.
const NEXT_NODE: Duration = Duration::from_secs(60);

/// Waits until all nodes of this process are Ready.
///
/// # Errors
/// When none is within a minute. Where some are, the cluster can be used, and the rest are left to come later.
pub async fn wait_ready(plane: &ControlPlane, wanted: usize, stop: &CancellationToken) -> anyhow::Result<()> {
    let env = Env::new(Arc::new(plane.registry.client(Identity::admin(), "orc")), &plane.system);
    let nodes = env.caches.typed::<Node>();
    let (_, mut changes) = nodes.cache().subscribe();
    let bar = progress::joining(wanted);
    let mut ready = BTreeSet::new();
    let take = |node: &Node, ready: &mut BTreeSet<String>| {
        if is_ready(node) && ready.insert(node.metadata.name.clone().unwrap_or_default()) {
            bar.set_position(ready.len() as u64);
        }
    };
    nodes.list().iter().for_each(|node| take(node, &mut ready));
    while ready.len() < wanted {
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            next = tokio::time::timeout(NEXT_NODE, changes.next()) => next,
        };
        match next {
            Ok(Some(CacheEvent::Changed(change))) => {
                if let Some(Ok(node)) = change.after.map(|after| after.view::<Node>()) {
                    take(&node, &mut ready);
                }
            }
            Ok(Some(CacheEvent::Lagged)) => nodes.list().iter().for_each(|node| take(node, &mut ready)),
            Ok(None) => break,
            Err(_) if ready.is_empty() => {
                anyhow::bail!("no node became Ready within a minute; run again with --log info to see why")
            }
            Err(_) => {
                tracing::warn!(ready = ready.len(), wanted, "some nodes are not Ready yet");
                break;
            }
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
