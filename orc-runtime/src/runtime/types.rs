//! What the agent asks for: the configuration of a pod sandbox and of a container.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes an id that a runtime made.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// The id as text, as it stands in a pod's status after `<runtime name>://`.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// Names a pod sandbox within one runtime.
    SandboxId
);
id!(
    /// Names a container within one runtime; unique over all sandboxes and attempts.
    ContainerId
);

/// Everything that makes a pod's surroundings: its names, its network, and where its logs go.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SandboxConfig {
    /// `metadata.uid` of the pod. With `attempt` it decides the sandbox's id.
    pub pod_uid: String,
    /// `metadata.name` of the pod.
    pub name: String,
    /// `metadata.namespace` of the pod.
    pub namespace: String,
    /// Counts the sandboxes of one pod: a pod whose sandbox died gets the next number.
    pub attempt: u32,
    /// Host name inside the pod; empty leaves the host's (host network pods).
    pub hostname: String,
    /// Labels, kept as given and handed back by `Observe`.
    pub labels: BTreeMap<String, String>,
    /// Annotations, kept as given and handed back by `Observe`.
    pub annotations: BTreeMap<String, String>,
    /// Directory for the containers' log files, on the host.
    pub log_directory: PathBuf,
    /// Ports of the host that lead into the pod.
    pub port_mappings: Vec<PortMapping>,
    /// Resolver settings of the pod, already merged from policy and node. `None`: the image's own.
    pub dns: Option<DnsConfig>,
    /// The pod lives in the node's network namespace.
    pub host_network: bool,
    /// The pod's processes live in the node's PID namespace.
    pub host_pid: bool,
    /// The pod shares the node's IPC namespace.
    pub host_ipc: bool,
    /// Limits of the pod as a whole.
    pub limits: Option<PodLimits>,
    /// `status.qosClass` of the pod; empty when it is not known.
    #[serde(default)]
    pub qos_class: String,
}

/// One `hostPort`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    /// Port on the node; 0 means none.
    pub host_port: u16,
    /// Port in the pod.
    pub container_port: u16,
    /// Transport.
    pub protocol: Protocol,
    /// Address on the node to listen on; empty for all.
    pub host_ip: String,
}

/// Transport protocol of a port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// The lines of a `resolv.conf`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsConfig {
    /// `nameserver` lines.
    pub servers: Vec<String>,
    /// `search` domains.
    pub searches: Vec<String>,
    /// `options` words.
    pub options: Vec<String>,
}

/// Limits for the sum of a pod's containers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodLimits {
    /// Thousandths of a CPU.
    pub cpu_millis: Option<u64>,
    /// Bytes.
    pub memory_bytes: Option<u64>,
    /// Requested CPU, thousandths.
    #[serde(default)]
    pub cpu_request_millis: Option<u64>,
    /// Processes and threads; `None`: no limit.
    #[serde(default)]
    pub pids: Option<u64>,
}

/// One container of a pod.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerConfig {
    /// Name of the container in the pod's spec.
    pub name: String,
    /// Counts the runs of this container: the agent's restart count.
    pub attempt: u32,
    /// Image reference as the pod's spec has it.
    pub image: String,
    /// Replaces the image's entry point.
    pub command: Vec<String>,
    /// Arguments, after `command`.
    pub args: Vec<String>,
    /// The environment, resolved; the last of equal names counts.
    pub env: Vec<(String, String)>,
    /// Directory to start in; empty means the image's, or `/`.
    pub working_dir: String,
    /// What is mounted into the container, sources already resolved on the host.
    pub mounts: Vec<Mount>,
    /// User and groups to run as.
    pub run_as: RunAs,
    /// Requests and limits.
    pub resources: ContainerResources,
    /// Give the container a terminal.
    pub tty: bool,
    /// Keep the standard input open for `attach`.
    pub stdin: bool,
    /// Close the standard input when the first attached client leaves.
    pub stdin_once: bool,
    /// Log file relative to the sandbox's `log_directory`; empty keeps no log.
    pub log_path: PathBuf,
    /// Labels, kept as given.
    pub labels: BTreeMap<String, String>,
    /// Annotations (restart count, hash of the spec, ...), kept as given.
    pub annotations: BTreeMap<String, String>,
    /// Path inside the container where the program may leave its last words. The agent mounts the file.
    pub termination_message_path: String,
    /// All capabilities and devices of the host.
    pub privileged: bool,
    /// Forbid gaining privileges by exec.
    pub no_new_privs: bool,
    /// The container cannot write outside its mounts.
    pub readonly_root: bool,
    /// Capabilities added to the default set, without `CAP_`; `ALL` means every one.
    pub add_capabilities: Vec<String>,
    /// Capabilities taken from the default set, without `CAP_`; `ALL` means every one.
    pub drop_capabilities: Vec<String>,
    /// A running container of the same sandbox whose processes this one sees and lives among (it ends with them).
    /// `None`: processes of its own.
    #[serde(default)]
    pub share_processes_of: Option<ContainerId>,
}

/// A file or directory of the host, seen in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path on the host; a `subPath` is already part of it.
    pub host_path: PathBuf,
    /// Absolute path in the container. What is missing there is made.
    pub container_path: PathBuf,
    /// Mount it read-only.
    pub readonly: bool,
    /// Whether later mounts on one side appear on the other.
    pub propagation: Propagation,
}

/// `mountPropagation` of a volume mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// Neither way (`None`).
    #[default]
    Private,
    /// The host's later mounts appear in the container (`HostToContainer`).
    HostToContainer,
    /// Both ways (`Bidirectional`).
    Bidirectional,
}

/// User and groups of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunAs {
    /// User id; `None`: the runtime's default (root of the container).
    pub user: Option<u32>,
    /// Primary group id; `None`: the user's primary group, or 0.
    pub group: Option<u32>,
    /// Further group ids.
    pub supplemental: Vec<u32>,
}

/// Requests and limits of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerResources {
    /// Requested CPU, thousandths.
    pub cpu_request_millis: Option<u64>,
    /// CPU limit, thousandths.
    pub cpu_limit_millis: Option<u64>,
    /// Memory limit, bytes.
    pub memory_limit_bytes: Option<u64>,
    /// `oom_score_adj` of the processes.
    pub oom_score_adj: Option<i32>,
}
