//! What a runtime reports: states of sandboxes and containers, usage, and the news stream.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::types::{ContainerId, SandboxId};

/// Reasons that a runtime writes into `ContainerStatus::reason`, as Kubernetes spells them.
pub mod reason {
    /// The program ended with code 0.
    pub const COMPLETED: &str = "Completed";
    /// The program ended with another code or by a signal.
    pub const ERROR: &str = "Error";
    /// The kernel killed it for its memory limit.
    pub const OOM_KILLED: &str = "OOMKilled";
    /// The program could not be started.
    pub const START_ERROR: &str = "StartError";
    /// How it ended is not known: what watched it is gone.
    pub const UNKNOWN: &str = "ContainerStatusUnknown";
}

/// The exit code that Kubernetes shows for a program that a signal ended.
pub fn exit_code_of_signal(signal: i32) -> i32 {
    128 + signal
}

/// Whether a sandbox can take containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SandboxState {
    /// It lives.
    Ready,
    /// It was stopped, or died.
    NotReady,
}

/// A sandbox as the runtime knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SandboxStatus {
    /// Its id.
    pub id: SandboxId,
    /// `metadata.uid` of the pod.
    pub pod_uid: String,
    /// Name of the pod.
    pub name: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// Attempt of the configuration.
    pub attempt: u32,
    /// Whether it lives.
    pub state: SandboxState,
    /// When it was made.
    pub created_at: Timestamp,
    /// Addresses of the pod, the primary one first; empty with the host's network.
    pub ips: Vec<IpAddr>,
    /// Whether the pod is in the node's network namespace.
    pub host_network: bool,
    /// Labels of the configuration.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the configuration.
    pub annotations: BTreeMap<String, String>,
}

/// Where in its life a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerState {
    /// Made, not started.
    Created,
    /// Its program runs.
    Running,
    /// Its program ended, or never started.
    Exited,
    /// The runtime cannot tell right now.
    Unknown,
}

/// A container as the runtime knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Its id.
    pub id: ContainerId,
    /// The sandbox it is in.
    pub sandbox_id: SandboxId,
    /// Uid of its pod.
    pub pod_uid: String,
    /// Name in the pod's spec.
    pub name: String,
    /// Attempt of the configuration.
    pub attempt: u32,
    /// Image reference of the configuration.
    pub image: String,
    /// Where in its life it is.
    pub state: ContainerState,
    /// Process id of the program on the node while it runs.
    pub pid: Option<u32>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its program was started.
    pub started_at: Option<Timestamp>,
    /// When its program ended.
    pub finished_at: Option<Timestamp>,
    /// Exit code; 128 + n for signal n.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// See [`reason`]; empty while it lives.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// The log file on the host, when one is kept.
    pub log_path: Option<PathBuf>,
    /// Labels of the configuration.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the configuration.
    pub annotations: BTreeMap<String, String>,
}

/// Usage of one container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerStats {
    /// The container.
    pub id: ContainerId,
    /// Its name in the pod's spec.
    pub name: String,
    /// When this was read.
    pub at: Timestamp,
    /// CPU time used since the start, nanoseconds.
    pub cpu_nanos: u64,
    /// Memory that cannot be taken back, bytes.
    pub working_set_bytes: u64,
    /// Number of processes.
    pub processes: u64,
}

/// Bytes that went through a pod's own interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkStats {
    /// Received.
    pub rx_bytes: u64,
    /// Sent.
    pub tx_bytes: u64,
}

/// Usage of one sandbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SandboxStats {
    /// The sandbox.
    pub id: SandboxId,
    /// Uid of its pod.
    pub pod_uid: String,
    /// When this was read.
    pub at: Timestamp,
    /// Its running containers.
    pub containers: Vec<ContainerStats>,
    /// Its interface; `None` with the host's network.
    pub network: Option<NetworkStats>,
}

/// Something happened in the runtime. Events carry no state: the receiver asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Something changed in the pod with this uid.
    Pod(String),
    /// Events were dropped, for this receiver was too slow: anything may have changed.
    Lagged,
}

/// Whether a runtime can work, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeStatus {
    /// Can containers run?
    pub ready: bool,
    /// Can pods get a network of their own?
    pub network_ready: bool,
    /// Why not, when one of them is false.
    pub message: String,
    /// Name and version.
    pub version: VersionInfo,
}

/// Name and version of a runtime, for `status.nodeInfo.containerRuntimeVersion` (`name://version`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionInfo {
    /// Also the scheme of container ids in a pod's status.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// An image that is present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageStatus {
    /// Reference asked for.
    pub reference: String,
    /// What it resolves to, for `status.containerStatuses[].imageID`.
    pub id: String,
    /// Size on disk, bytes; 0 when it takes none.
    pub size_bytes: u64,
}
