//! Running `postStart` and `preStop` hooks.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod, PodStatus};

use super::context::{Context, name_of};
use super::probing;
use crate::runtime::ContainerId;

/// Runs a hook within `limit`; zero means no limit.
pub(super) async fn run(
    context: &Context,
    pod: &Pod,
    status: &PodStatus,
    spec: &Container,
    id: &ContainerId,
    hook: &LifecycleHandler,
    limit: Duration,
) -> Result<(), String> {
    let work = run_unlimited(context, pod, status, spec, id, hook, limit);
    if limit.is_zero() {
        return work.await;
    }
    tokio::select! {
        biased;
        result = work => result,
        () = context.env.clock.sleep(limit) => Err(format!("the hook did not end within {} s", limit.as_secs())),
    }
}

async fn run_unlimited(
    context: &Context,
    pod: &Pod,
    status: &PodStatus,
    spec: &Container,
    id: &ContainerId,
    hook: &LifecycleHandler,
    limit: Duration,
) -> Result<(), String> {
    if let Some(exec) = &hook.exec {
        return probing::exec_in(context, id, exec.command.as_deref().unwrap_or_default(), limit).await;
    }
    if let Some(sleep) = &hook.sleep {
        context.env.clock.sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or_default())).await;
        return Ok(());
    }
    if let Some(get) = &hook.http_get {
        if context.config.is_simulated() {
            return Ok(());
        }
        let status = with_address(context, pod, status);
        return probing::http_get(&status, spec, get).await;
    }
    // Kubernetes accepts tcpSocket here and does nothing; validation forbids it since long.
    Err(format!("a hook of pod {} names no handler", name_of(pod)))
}

/// The status that the machine gave with the action may be older than the pod's address.
fn with_address(context: &Context, pod: &Pod, status: &PodStatus) -> PodStatus {
    let key = orc_core::ObjectKey::of(pod);
    let newer = context.views.lock().get(&key).map(|view| view.status.pod_ip.clone());
    let pod_ip = newer.flatten().or_else(|| status.pod_ip.clone());
    PodStatus { pod_ip, ..Default::default() }
}
