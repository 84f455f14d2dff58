//! The life of one pod on its node, as a pure state machine.
//!
//! Inputs are the pod's spec, what the runtime shows, results of actions, and time; outputs are actions, events, the pod's
//! status and when to look again. No clock, task or socket: the agent drives it, the simulator and the property tests drive
//! the very same code. It is rebuilt after a restart from the API's status and what the runtime shows.
//!
//! It refuses to know how anything is done: volumes, environment, hooks and probes are run by the driver.

mod advance;
mod again;
mod backoff;
mod conditions;
mod ending;
mod events;
mod find;
mod input;
mod phase;
mod pod;
mod probes;
mod resize;
mod run;
mod slot;
mod status;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};

pub(crate) use backoff::go_duration;
pub use events::PodEvent;
pub(crate) use find::{any_container, ephemeral_containers, find_container as container_of};
pub use pod::Machine;
pub use resize::Room;
pub(crate) use resize::UNSUPPORTED;

use crate::runtime::{ContainerId, ContainerStatus, SandboxId, SandboxStatus};

/// What a machine is told once.
#[derive(Debug, Clone)]
pub struct MachineConfig {
    /// The scheme of container ids (`process`).
    pub scheme: String,
    /// Addresses of the node, the primary one first.
    pub host_ips: Vec<IpAddr>,
}

/// What the runtime shows of one pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observation {
    /// Its sandboxes.
    pub sandboxes: Vec<SandboxStatus>,
    /// Its containers, of all attempts that still exist.
    pub containers: Vec<ContainerStatus>,
}

/// What a machine is told.
#[derive(Debug, Clone)]
pub enum Input {
    /// The pod as the API has it now.
    Spec(Arc<Pod>),
    /// The API does not have the pod any more.
    Gone,
    /// The node refuses the pod: it fails with this reason and message and never runs.
    Reject(String, String),
    /// Whether the node has room for the resources that [`Machine::wants_resize`] tells of.
    Room(Room),
    /// What the runtime shows.
    Observed(Observation),
    /// An action ended; what the runtime shows was read after its end.
    Done(Action, Result<(), Failure>, Option<Observation>),
    /// A probe ended. `message` is what it said.
    Probed {
        /// The container.
        container: String,
        /// The run of the container that was probed.
        id: ContainerId,
        /// Which probe.
        kind: ProbeKind,
        /// Whether it succeeded.
        success: bool,
        /// What it said; with a success a warning, empty when there is none.
        message: String,
    },
    /// Time passed.
    Tick,
}

/// Which probe of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// Until it succeeds the others wait.
    Startup,
    /// The container takes traffic while it succeeds.
    Readiness,
    /// The container is restarted when it fails.
    Liveness,
}

impl ProbeKind {
    /// As events spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }
}

/// What is to be done. Every action may be repeated; none is given out twice while it is under way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Make the pod's volumes and files.
    Mount,
    /// Make the sandbox.
    RunSandbox {
        /// Its attempt.
        attempt: u32,
    },
    /// Pull, create and start a container, and run its `postStart` hook.
    Start {
        /// The container.
        container: String,
        /// Its attempt, the restart count.
        attempt: u32,
        /// The sandbox.
        sandbox: SandboxId,
    },
    /// Run the `preStop` hook if there is one and `hook` says so, then stop the container, all within `grace`.
    Stop {
        /// The container.
        container: String,
        /// The run to stop.
        id: ContainerId,
        /// Time for hook and program together; zero kills.
        grace: Duration,
        /// Whether the hook is to run.
        hook: bool,
    },
    /// Give a running container the resources that it is promised.
    Resize {
        /// The container.
        container: String,
        /// The run.
        id: ContainerId,
        /// `metadata.generation` of the pod that promises them.
        generation: i64,
    },
    /// Run a probe once; the answer is [`Input::Probed`].
    Probe {
        /// The container.
        container: String,
        /// The run to probe.
        id: ContainerId,
        /// Which probe.
        kind: ProbeKind,
    },
    /// Forget an old run of a container.
    RemoveContainer {
        /// The run.
        id: ContainerId,
    },
    /// End a sandbox and free its network.
    StopSandbox {
        /// The sandbox.
        id: SandboxId,
    },
    /// Forget a sandbox with its containers.
    RemoveSandbox {
        /// The sandbox.
        id: SandboxId,
    },
    /// Take volumes and files away.
    Unmount,
    /// Write the last status, then delete the pod from the API without grace.
    Delete,
}

/// Why an action failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Kubernetes' reason (`ErrImagePull`, `CreateContainerConfigError`, `FailedMount`, ...).
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Failure {
    /// A failure.
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into() }
    }
}

/// What a step asks for.
#[derive(Debug, Default)]
pub struct Step {
    /// Actions to begin.
    pub actions: Vec<Action>,
    /// The pod's status, when it changed.
    pub status: Option<Arc<PodStatus>>,
    /// Events to record.
    pub events: Vec<PodEvent>,
    /// When to send [`Input::Tick`] at the latest.
    pub wake: Option<Timestamp>,
    /// The pod is gone from API and node: forget the machine.
    pub finished: bool,
}
