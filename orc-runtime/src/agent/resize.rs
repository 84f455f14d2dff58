//! Giving running containers other limits, and saying whether there is room for them.

use super::act::Order;
use super::context::Context;
use super::resources;
use crate::machine::{Failure, UNSUPPORTED, container_of};
use crate::runtime::{ContainerId, RuntimeError};

/// Writes the limits that the pod is promised: the pod's as a whole first, for its containers stay within.
pub(super) async fn resize(context: &Context, order: &Order, name: &str, id: &ContainerId) -> Result<(), Failure> {
    let spec = container_of(&order.pod, name).zip(order.pod.spec.as_ref());
    let Some((container, pod)) = spec else { return Ok(()) };
    let qos = order.status.qos_class.as_deref().unwrap_or_default();
    let limits = resources::of_container(&context.config, &order.pod, container, qos);
    if let Some(limit) = limits.memory_limit_bytes {
        check_usage(context, id, name, limit).await?;
    }
    let whole = resources::of_pod(pod, context.config.pod_pids_limit);
    let sandbox = context.runtime.container_status(id).await.map_err(|error| failure(&error))?.sandbox_id;
    context.runtime.update_sandbox(&sandbox, &whole).await.map_err(|error| failure(&error))?;
    context.runtime.update(id, &limits).await.map_err(|error| failure(&error))
}

/// A limit below what is used would end the container: the kernel kills for it.
async fn check_usage(context: &Context, id: &ContainerId, name: &str, limit: u64) -> Result<(), Failure> {
    let stats = context.runtime.stats().await.map_err(|error| failure(&error))?;
    let used = stats.iter().flat_map(|pod| &pod.containers).find(|one| one.id == *id).map(|one| one.working_set_bytes);
    match used.filter(|used| *used > limit) {
        None => Ok(()),
        Some(used) => {
            let text = format!(
                "attempting to set memory limit of container {name:?} ({limit}) below its current usage ({used})"
            );
            Err(Failure::new("ResizeError", text))
        }
    }
}

fn failure(error: &RuntimeError) -> Failure {
    let reason = if matches!(error, RuntimeError::Unsupported(_)) { UNSUPPORTED } else { "ResizeError" };
    Failure::new(reason, error.full_message())
}
