//! Ending the pods of a node with the node: what a machine's shutdown does to them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;

use crate::runtime::{RuntimeError, RuntimeService, SandboxState, SandboxStatus};

/// The annotation of a sandbox that tells its pod's `spec.priority`.
pub(super) const PRIORITY: &str = "io.kubernetes.pod.priority";
/// Pods from this priority on end after all others, which may need them to end well (`system-cluster-critical`).
const CRITICAL: i64 = 2_000_000_000;

/// Stops everything that a runtime runs, critical pods after the others, giving each container `grace` to end by itself,
/// and returns how many pods there were. What the runtime knows of them stays: the next agent over it starts the pods again, by their restart
/// policy, as after a reboot.
///
/// # Errors
/// When the runtime cannot be asked; a pod that cannot be stopped is told in the log.
pub async fn stop_pods(runtime: &Arc<dyn RuntimeService>, grace: Duration) -> Result<usize, RuntimeError> {
    let sandboxes = runtime.list_sandboxes().await?;
    let ready: Vec<_> = sandboxes.iter().filter(|sandbox| sandbox.state == SandboxState::Ready).collect();
    let (critical, others): (Vec<&SandboxStatus>, Vec<&SandboxStatus>) =
        ready.into_iter().partition(|sandbox| priority_of(sandbox) >= CRITICAL);
    for group in [&others, &critical] {
        for outcome in join_all(group.iter().map(|sandbox| stop_pod(runtime, sandbox, grace))).await {
            if let Err(error) = outcome {
                tracing::warn!(%error, "a pod was not stopped");
            }
        }
    }
    Ok(others.len() + critical.len())
}

fn priority_of(sandbox: &SandboxStatus) -> i64 {
    sandbox.annotations.get(PRIORITY).and_then(|text| text.parse().ok()).unwrap_or_default()
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
