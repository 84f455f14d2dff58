//! What an agent is told once.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Taint;

/// Settings of one node's agent.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Name of the Node object.
    pub node_name: String,
    /// Labels that the node registers with, besides host name, system and architecture.
    pub labels: BTreeMap<String, String>,
    /// Taints that the node registers with.
    pub taints: Vec<Taint>,
    /// Addresses of the node, the primary one first. Pods with the host's network have them.
    pub addresses: Vec<IpAddr>,
    /// `status.capacity` (`cpu`, `memory`, ...) as quantities. What is missing is read from `/proc`.
    pub capacity: BTreeMap<String, String>,
    /// Pods at a time.
    pub max_pods: u32,
    /// Where the agent keeps volumes and logs; absolute. `None`: a simulated node, which writes no files, resolves no
    /// environment, and whose network probes succeed while the container runs.
    pub data_dir: Option<PathBuf>,
    /// `spec.podCIDR`, when the node brings its own.
    pub pod_cidr: Option<String>,
    /// Addresses of the cluster's DNS.
    pub cluster_dns: Vec<IpAddr>,
    /// The cluster's DNS domain.
    pub cluster_domain: String,
    /// Port of the agent's HTTP API, when it is served on one.
    pub port: Option<u16>,
    /// Processes and threads of one pod; `None`: no limit (`podPidsLimit`).
    pub pod_pids_limit: Option<u64>,
    /// Bytes from which a container's log is moved aside (`containerLogMaxSize`).
    pub log_max_bytes: u64,
    /// Files of one log, the present one counted (`containerLogMaxFiles`); at least 2.
    pub log_max_files: u32,
    /// How often the logs are looked at (`containerLogMonitorInterval`).
    pub log_check_interval: Duration,
    /// A folder of files, each with a pod that this node runs by itself, or one such file (`staticPodPath`).
    pub static_pods: Option<PathBuf>,
    /// How often that folder is looked at.
    pub static_pod_interval: Duration,
    /// Pods whose containers are made and started at the same time.
    pub parallel_starts: usize,
    /// Whether Event objects are written; a scale test does without.
    pub events: bool,
    /// Whether the agent renews its own Lease and Node status; a fleet does it for all its nodes.
    pub heartbeats: bool,
}

impl AgentConfig {
    /// Settings of a real node over a data directory, with the defaults of a kubelet.
    pub fn new(node_name: impl Into<String>, data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: Some(data_dir.into()), ..Self::simulated(node_name) }
    }

    /// Settings of a simulated node: 32 CPUs, 256 GiB, 110 pods.
    pub fn simulated(node_name: impl Into<String>) -> Self {
        Self {
            node_name: node_name.into(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
            addresses: Vec::new(),
            capacity: BTreeMap::new(),
            // The kubelet's default.
            max_pods: 110,
            data_dir: None,
            pod_cidr: None,
            cluster_dns: Vec::new(),
            cluster_domain: "cluster.local".to_owned(),
            port: None,
            pod_pids_limit: None,
            // These three are the kubelet's defaults.
            log_max_bytes: 10 << 20,
            log_max_files: 5,
            log_check_interval: Duration::from_secs(10),
            static_pods: None,
            // The kubelet is told by the kernel at once, and looks every 20 s besides; a second is between.
            static_pod_interval: Duration::from_secs(1),
            parallel_starts: 8,
            events: true,
            heartbeats: true,
        }
    }

    /// Whether nothing of the node is real.
    pub fn is_simulated(&self) -> bool {
        self.data_dir.is_none()
    }
}
