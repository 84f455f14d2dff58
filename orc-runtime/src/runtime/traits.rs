//! The traits of a runtime.
//!
//! # Contract for all of them
//! - Every call may be repeated: one that finds its work done answers as the first one did.
//! - Every call may be dropped: the work happens whole or is taken up by the next call, and nothing stays locked.
//! - After a restart of the agent, a runtime made over the same state knows everything that the one before knew.

use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::error::{ImageError, RuntimeError};
use super::status::{ContainerStatus, Event, ImageStatus, RuntimeStatus, SandboxStats, SandboxStatus};
use super::streams::{DuplexStream, ExecOutput, ExecRequest, ExecSession, LogChunks, LogOptions, StreamSet};
use super::types::{ContainerConfig, ContainerId, ContainerResources, PodLimits, SandboxConfig, SandboxId};

/// News from a runtime. It never ends while the runtime lives; slow readers get [`Event::Lagged`].
pub type EventStream = BoxStream<'static, Event>;

/// Makes, starts, stops and removes.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Makes a pod's surroundings, or answers with those that exist for the same uid and attempt. The answer's
    /// `ips` are final.
    ///
    /// # Errors
    /// [`RuntimeError::Sandbox`] when namespaces or network cannot be had, with the reason.
    async fn run_sandbox(&self, config: &SandboxConfig) -> Result<SandboxStatus, RuntimeError>;

    /// Ends what still runs in the sandbox and frees its network. The containers' records stay.
    /// A sandbox that does not exist is stopped.
    async fn stop_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError>;

    /// Stops it if needed and forgets it with its containers. A sandbox that does not exist is removed.
    async fn remove_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError>;

    /// Prepares a container, or answers with the one of the same name and attempt.
    ///
    /// # Errors
    /// [`RuntimeError::Image`] for an image that is not there, [`RuntimeError::Create`] for a configuration that
    /// cannot work (no command, a user that is not mapped, ...).
    async fn create_container(
        &self,
        sandbox: &SandboxId,
        config: &ContainerConfig,
    ) -> Result<ContainerId, RuntimeError>;

    /// Starts a created container. One that runs, or already ended, is started.
    ///
    /// # Errors
    /// [`RuntimeError::Start`] when the program cannot be executed; the container is then exited with reason
    /// `StartError` and exit code 128.
    async fn start_container(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// SIGTERM, then SIGKILL after `grace`; returns when the container ended. A zero `grace` kills at once. A second
    /// call with a shorter grace shortens the first one's wait. A container that does not exist is stopped.
    async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeError>;

    /// Forgets a container, killing it first if it runs. Its log file stays (it is the agent's).
    async fn remove_container(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// Changes the limits of a running container.
    ///
    /// # Errors
    /// [`RuntimeError::Unsupported`] where limits are not enforced.
    async fn update(&self, id: &ContainerId, resources: &ContainerResources) -> Result<(), RuntimeError>;

    /// Changes the limits of a sandbox as a whole; its containers' own stay.
    ///
    /// # Errors
    /// [`RuntimeError::Unsupported`] where limits are not enforced.
    async fn update_sandbox(&self, id: &SandboxId, limits: &PodLimits) -> Result<(), RuntimeError>;
}

/// Tells what is.
#[async_trait]
pub trait Observe: Send + Sync + 'static {
    /// All sandboxes, ready or not, ordered by id.
    async fn list_sandboxes(&self) -> Result<Vec<SandboxStatus>, RuntimeError>;

    /// All containers, of one sandbox or of all, ordered by id.
    async fn list_containers(&self, sandbox: Option<&SandboxId>) -> Result<Vec<ContainerStatus>, RuntimeError>;

    /// One sandbox.
    async fn sandbox_status(&self, id: &SandboxId) -> Result<SandboxStatus, RuntimeError>;

    /// One container.
    async fn container_status(&self, id: &ContainerId) -> Result<ContainerStatus, RuntimeError>;

    /// News from now on. Subscribe, then list: then nothing is missed.
    fn events(&self) -> EventStream;

    /// Usage of the ready sandboxes.
    async fn stats(&self) -> Result<Vec<SandboxStats>, RuntimeError>;

    /// Whether the runtime works.
    async fn runtime_status(&self) -> RuntimeStatus;
}

/// Images.
#[async_trait]
pub trait Images: Send + Sync + 'static {
    /// The image if it is present.
    async fn image_status(&self, reference: &str) -> Result<Option<ImageStatus>, ImageError>;

    /// Fetches an image. One that is present is looked at again, for its tag may have moved.
    async fn pull_image(&self, reference: &str) -> Result<ImageStatus, ImageError>;
}

/// Bytes in and out of running containers.
#[async_trait]
pub trait Streams: Send + Sync + 'static {
    /// Runs a program in a running container with the client's streams.
    async fn exec(&self, id: &ContainerId, request: &ExecRequest) -> Result<ExecSession, RuntimeError>;

    /// Runs a program in a running container and collects what it says. A zero `timeout` means none.
    ///
    /// # Errors
    /// [`RuntimeError::Timeout`] once the limit passed; the program is killed then.
    async fn exec_sync(
        &self,
        id: &ContainerId,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecOutput, RuntimeError>;

    /// Joins the streams of a running container's own program.
    async fn attach(&self, id: &ContainerId, streams: StreamSet) -> Result<ExecSession, RuntimeError>;

    /// The log of a container, running or ended.
    async fn logs(&self, id: &ContainerId, options: &LogOptions) -> Result<LogChunks, RuntimeError>;

    /// A connection to a port on the pod's loopback.
    async fn port_forward(&self, id: &SandboxId, port: u16) -> Result<DuplexStream, RuntimeError>;

    /// Starts a new log file: the agent moved the old one away.
    async fn reopen_log(&self, id: &ContainerId) -> Result<(), RuntimeError>;
}

/// A whole runtime, as the agent holds it.
pub trait RuntimeService: Runtime + Observe + Images + Streams {}
impl<T: Runtime + Observe + Images + Streams> RuntimeService for T {}
