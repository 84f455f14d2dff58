//! Settings of the process runtime.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::cgroups::Limits;
use crate::pod_net::{Cidr, Network};
use crate::rootless::HostPorts;
use crate::shim::sys::{self, Fork};

/// What keeps pods apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Isolation {
    /// Namespaces, made with the machine's own root rights.
    Root,
    /// Namespaces inside a user namespace of an ordinary user.
    UserNamespace,
    /// No namespaces: only host network pods, as plain processes.
    Unavailable {
        /// Why, and what would help.
        reason: String,
    },
}

impl Isolation {
    /// Whether pods can have namespaces of their own.
    pub fn is_available(&self) -> bool {
        !matches!(self, Self::Unavailable { .. })
    }

    /// Tries what this process may do, by doing it in a child process that ends at once.
    pub fn detect() -> Self {
        let kinds = sys::CLONE_NEWNS | sys::CLONE_NEWNET | sys::CLONE_NEWUTS | sys::CLONE_NEWIPC | sys::CLONE_NEWPID;
        let result = match sys::clone_process(kinds) {
            Ok(Fork::Child) => sys::exit_now(0),
            Ok(Fork::Parent(pid)) => {
                sys::wait_for(pid, 0);
                Ok(())
            }
            Err(error) => Err(error),
        };
        match (result, crate::shim::in_user_namespace()) {
            (Ok(()), Ok(false)) => Self::Root,
            (Ok(()), _) => Self::UserNamespace,
            (Err(error), _) => Self::Unavailable { reason: format!("the kernel refuses namespaces: {error}") },
        }
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("namespaces (root)"),
            Self::UserNamespace => f.write_str("namespaces (user namespace)"),
            Self::Unavailable { reason } => write!(f, "none: {reason}"),
        }
    }
}

/// How a [`ProcessRuntime`](super::ProcessRuntime) is set up.
#[derive(Debug, Clone)]
pub struct ProcessConfig {
    /// Where pods are recorded, one directory each: `<data-dir>/nodes/<node>/runtime`. Created when missing.
    pub state_dir: PathBuf,
    /// Directories of the host that pods do not see; the cluster's data directory. `state_dir` is always hidden.
    pub hidden: Vec<PathBuf>,
    /// The network that pods are plugged into. Without one, only host network pods run.
    pub network: Option<Arc<Network>>,
    /// Range of this node's pods. Needed with `network`.
    pub pod_cidr: Option<Cidr>,
    /// What keeps pods apart; [`Isolation::detect`], or what [`rootless`](crate::rootless) found.
    pub isolation: Isolation,
    /// Opens `hostPort`s; what [`rootless`](crate::rootless) gave.
    pub host_ports: HostPorts,
    /// Whether limits of CPU and memory are enforced; [`Limits::detect`].
    pub limits: Limits,
    /// The program to execute as shim: one whose `main` begins with `orc_runtime::shim::run_if_asked()`.
    pub shim_exe: PathBuf,
}

impl ProcessConfig {
    /// Settings for a runtime without pod network, with this very program as shim.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        let state_dir = state_dir.into();
        Self {
            limits: Limits::detect(&state_dir),
            state_dir,
            hidden: Vec::new(),
            network: None,
            pod_cidr: None,
            isolation: Isolation::detect(),
            host_ports: HostPorts::direct(),
            shim_exe: PathBuf::from("/proc/self/exe"),
        }
    }

    /// Plugs pods into `network` with addresses of `range`.
    pub fn with_network(mut self, network: Arc<Network>, range: Cidr) -> Self {
        self.network = Some(network);
        self.pod_cidr = Some(range);
        self
    }
}
