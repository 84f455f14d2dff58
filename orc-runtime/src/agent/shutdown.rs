//! Ending the pods of a node with the node: what a machine's shutdown does to them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;

use crate::runtime::{RuntimeError, RuntimeService, SandboxState, SandboxStatus};

/// Stops everything that a runtime runs, giving each container `grace` to end by itself, and returns how many pods
/// there were. What the runtime knows of them stays: the next agent over it starts the pods again, by their restart
/// policy, as after a reboot.
///
/// # Errors
/// When the runtime cannot be asked; a pod that cannot be stopped is told in the log.
pub async fn stop_pods(runtime: &Arc<dyn RuntimeService>, grace: Duration) -> Result<usize, RuntimeError> {
    let sandboxes = runtime.list_sandboxes().await?;
    let ready: Vec<_> = sandboxes.iter().filter(|sandbox| sandbox.state == SandboxState::Ready).collect();
    for outcome in join_all(ready.iter().map(|sandbox| stop_pod(runtime, sandbox, grace))).await {
        if let Err(error) = outcome {
            tracing::warn!(%error, "a pod was not stopped");
        }
    }
    Ok(ready.len())
}

async fn stop_pod(
    runtime: &Arc<dyn RuntimeService>,
    sandbox: &SandboxStatus,
    grace: Duration,
) -> Result<(), RuntimeError> {
    let containers = runtime.list_containers(Some(&sandbox.id)).await?;
    for stopped in join_all(containers.iter().map(|container| runtime.stop_container(&container.id, grace))).await {
        stopped?;
    }
    runtime.stop_sandbox(&sandbox.id).await
}
