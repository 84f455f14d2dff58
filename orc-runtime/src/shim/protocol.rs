//! What runtime and shim say to each other: messages of JSON, each after its length (four bytes, big endian).
//!
//! A connection carries one request and its reply. Two requests keep it open: `Exec` (a second reply tells how the
//! program ended; closing the connection kills it) and `Subscribe` (a `Changed` for each change). File descriptors
//! ride with the first byte of a request or of its reply.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::runtime::{Mount, RunAs};

/// Name of the socket in the pod's directory.
pub(crate) const SOCKET: &str = "shim.sock";
/// Name of the file with the shim's [`ShimRecord`].
pub(crate) const SHIM_FILE: &str = "shim.json";
/// Name of the file with the shim's [`PodSpec`].
pub(crate) const POD_FILE: &str = "pod.json";
/// Name of a container's [`StartedRecord`].
pub(crate) const STARTED_FILE: &str = "started.json";
/// Name of a container's [`ExitRecord`].
pub(crate) const EXIT_FILE: &str = "exit.json";
/// No message is longer; a longer one is a broken peer.
pub(crate) const MESSAGE_LIMIT: usize = 16 << 20;

/// What the shim makes before its first container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PodSpec {
    /// Namespaces of its own; without, containers are plain process groups.
    pub(crate) isolate: bool,
    pub(crate) host_network: bool,
    pub(crate) host_ipc: bool,
    /// Empty: stay in the node's UTS namespace.
    pub(crate) hostname: String,
}

/// Which process holds a pod; the start time tells it from a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShimRecord {
    pub(crate) pid: i32,
    pub(crate) start_time: u64,
    pub(crate) boot_id: String,
}

/// Everything the shim must know to start a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StartSpec {
    pub(crate) id: String,
    /// The container's directory: overlay layers and records.
    pub(crate) dir: PathBuf,
    pub(crate) isolate: bool,
    pub(crate) host_pid: bool,
    /// Id of the container whose PID namespace this one lives in.
    pub(crate) share_processes_of: Option<String>,
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: String,
    pub(crate) run_as: RunAs,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) tty: bool,
    pub(crate) stdin: bool,
    pub(crate) stdin_once: bool,
    pub(crate) log: Option<PathBuf>,
    /// Directories of the host that containers do not see: the cluster's own state.
    pub(crate) hidden: Vec<PathBuf>,
    /// Capabilities to keep, bits by number.
    pub(crate) capabilities: u64,
    pub(crate) privileged: bool,
    pub(crate) no_new_privs: bool,
    pub(crate) readonly_root: bool,
    pub(crate) oom_score_adj: Option<i32>,
    /// Directory of the cgroup that its processes are in.
    pub(crate) cgroup: Option<PathBuf>,
}

impl StartSpec {
    /// Whether the end of its init ends all its processes: it has a PID namespace of its own.
    pub(crate) fn owns_processes(&self) -> bool {
        self.isolate && !self.host_pid && self.share_processes_of.is_none()
    }
}

/// A program to run in a running container. Its standard streams come as descriptors, in order, those that are wanted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ExecSpec {
    pub(crate) container: String,
    pub(crate) argv: Vec<String>,
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    /// The one descriptor is a terminal.
    pub(crate) tty: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    Start(Box<StartSpec>),
    Kill {
        container: String,
        signal: i32,
    },
    Exec(ExecSpec),
    /// Descriptors: output and error output of the client, those that are wanted. The reply carries the container's
    /// input (a pipe's writing end, or its terminal) when asked for.
    Attach {
        container: String,
        stdin: bool,
        stdout: bool,
        stderr: bool,
    },
    ReopenLog {
        container: String,
    },
    Forget {
        container: String,
    },
    Subscribe,
    /// Kill everything and end.
    Shutdown,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    Done,
    Failed {
        message: String,
    },
    /// The program could not be executed; an exit record is written.
    StartFailed {
        message: String,
    },
    NotFound,
    NotRunning,
    Started {
        pid: i32,
    },
    Exited {
        code: i32,
    },
    Changed,
}

/// Written when a program started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StartedRecord {
    pub(crate) pid: i32,
    pub(crate) init: i32,
    pub(crate) at: Timestamp,
}

/// Written when a program ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ExitRecord {
    pub(crate) code: i32,
    pub(crate) signal: Option<i32>,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Timestamp,
}
