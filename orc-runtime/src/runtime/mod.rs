//! What a container runtime is to the node agent: traits, the data they speak, and their errors.
//!
//! The shapes and their meaning are those of the CRI (`k8s.io/cri-api/pkg/apis/runtime/v1`), so that the `process`
//! runtime, a simulated one and one that speaks to containerd are interchangeable. Two things differ on purpose:
//! every call is idempotent (an agent that was killed half-way simply calls again), and ids are chosen by the runtime
//! from the pod's uid and the attempt numbers, so that a repeated call finds what the first one made.
//!
//! What these traits refuse to do: know about Kubernetes objects. Volumes, environment references, probes and restart
//! policy are the agent's; a runtime gets resolved paths and plain strings.

mod error;
mod status;
mod streams;
mod traits;
mod types;

pub use error::{ImageError, ImageErrorReason, RuntimeError};
pub use status::{
    ContainerState, ContainerStats, ContainerStatus, Event, ImageStatus, NetworkStats, RuntimeStatus, SandboxState,
    SandboxStats, SandboxStatus, VersionInfo, exit_code_of_signal, reason,
};
pub use streams::{
    ByteStream, Duplex, DuplexStream, ExecOutput, ExecRequest, ExecSession, LogChunks, LogOptions, StreamSet,
    TerminalSize,
};
pub use traits::{EventStream, Images, Observe, Runtime, RuntimeService, Streams};
pub use types::{
    ContainerConfig, ContainerId, ContainerResources, DnsConfig, Mount, PodLimits, PortMapping, Propagation, Protocol,
    RunAs, SandboxConfig, SandboxId,
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The agent holds its runtime as `Arc<dyn RuntimeService>`.
    #[test]
    fn every_trait_is_object_safe() {
        fn takes<T: ?Sized>() {}
        takes::<dyn Runtime>();
        takes::<dyn Observe>();
        takes::<dyn Images>();
        takes::<dyn Streams>();
        takes::<dyn RuntimeService>();
    }
}
