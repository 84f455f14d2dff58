//! Running probes: HTTP, gRPC and TCP against the pod's address, commands in the container.
//!
//! What a failed probe says is what the kubelet's would: people and dashboards look for those words.

mod counts;
mod grpc;
mod grpc_wire;
mod http;
mod place;
mod target;
mod tls;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Pod, PodStatus, Probe};
use orc_core::env::Clock;

pub(super) use counts::Counts;

use super::context::Context;
use crate::machine::{ProbeKind, container_of};
use crate::runtime::{ContainerId, RuntimeError};

/// What a probe's answer is cut to, as the kubelet cuts it.
const ANSWER_BYTES: usize = 10 << 10;
/// How probes call themselves, as the kubelet's of this level do.
const USER_AGENT: &str = "kube-probe/1.36";

/// What a probe found: `Ok` is success, with a warning when there is something to say; `Err` says what failed.
type Answer = Result<Option<String>, String>;

/// Runs a probe once, within its time. Success with a message is success with a warning.
pub(super) async fn probe(
    context: &Context,
    pod: &Pod,
    status: &PodStatus,
    container: &str,
    id: &ContainerId,
    kind: ProbeKind,
) -> (bool, String) {
    let Some(spec) = container_of(pod, container) else { return (false, "the container is gone".to_owned()) };
    let probe = match kind {
        ProbeKind::Startup => &spec.startup_probe,
        ProbeKind::Readiness => &spec.readiness_probe,
        ProbeKind::Liveness => &spec.liveness_probe,
    };
    let Some(probe) = probe else { return (true, String::new()) };
    let begun = context.now();
    let answer = ask(context, status, spec, id, probe).await;
    let took = Duration::try_from(context.now().duration_since(begun)).unwrap_or_default();
    context.probes.record(context, pod, container, kind, answer.is_ok().then_some(took));
    match answer {
        Ok(warning) => (true, warning.unwrap_or_default()),
        Err(message) => (false, message),
    }
}

async fn ask(context: &Context, status: &PodStatus, spec: &Container, id: &ContainerId, probe: &Probe) -> Answer {
    let limit = Duration::from_secs(u64::try_from(probe.timeout_seconds.unwrap_or(1)).unwrap_or(1).max(1));
    let clock = &context.env.clock;
    if let Some(exec) = &probe.exec {
        let command = exec.command.as_deref().unwrap_or_default();
        let run = within(clock, limit, exec_in(context, id, command, limit)).await;
        return run.unwrap_or_else(|| Err(exec_timed_out(command, limit.as_secs()))).map(|()| None);
    }
    if context.config.is_simulated() {
        // No packet could reach a simulated pod: that its container runs is the answer.
        return Ok(None);
    }
    if let Some(get) = &probe.http_get {
        return http::probe(clock, &place(status, spec, get)?, &headers(get), limit).await;
    }
    if let Some(socket) = &probe.tcp_socket {
        let (host, port) = (target::host(socket.host.as_deref(), status)?, target::port(&socket.port, spec)?);
        return tcp(clock, &host, port, limit).await;
    }
    if let Some(call) = &probe.grpc {
        let (host, port) = (target::host(None, status)?, target::number(call.port)?);
        let address = target::authority(&host, port);
        return grpc::probe(clock, &address, call.service.as_deref().unwrap_or_default(), limit).await;
    }
    Err("the probe names no handler".to_owned())
}

async fn tcp(clock: &Clock, host: &str, port: u16, limit: Duration) -> Answer {
    match within(clock, limit, target::connect(host, port)).await {
        Some(connected) => connected.map(|_| None),
        None => Err(format!("dial tcp {}: i/o timeout", target::authority(host, port))),
    }
}

/// `None` when the time passed first.
async fn within<T>(clock: &Clock, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = clock.sleep(limit) => None,
    }
}

fn exec_timed_out(command: &[String], seconds: u64) -> String {
    format!("command timed out: {:?} timed out after {seconds}s", command.join(" "))
}

/// Runs a command in a container; an exit code other than 0 is an error with what it said.
pub(super) async fn exec_in(
    context: &Context,
    id: &ContainerId,
    command: &[String],
    limit: Duration,
) -> Result<(), String> {
    match context.runtime.exec_sync(id, command, limit).await {
        Ok(output) if output.exit_code == 0 => Ok(()),
        Ok(output) => {
            let mut said = output.stdout;
            said.extend(output.stderr);
            said.truncate(ANSWER_BYTES);
            let said = String::from_utf8_lossy(&said).into_owned();
            Err(if said.is_empty() { format!("command exited with code {}", output.exit_code) } else { said })
        }
        Err(RuntimeError::Timeout { seconds, .. }) => Err(exec_timed_out(command, seconds)),
        Err(error) => Err(error.full_message()),
    }
}

/// GET, as a hook does it: what is good for a probe is good for it.
pub(super) async fn http_get(status: &PodStatus, spec: &Container, get: &HTTPGetAction) -> Result<(), String> {
    http::get(&place(status, spec, get)?, &headers(get)).await.map(drop)
}

fn place(status: &PodStatus, spec: &Container, get: &HTTPGetAction) -> Result<place::Place, String> {
    let host = target::host(get.host.as_deref(), status)?;
    let port = target::port(&get.port, spec)?;
    let tls = get.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    Ok(place::Place::new(tls, &host, port, get.path.as_deref().unwrap_or_default()))
}

fn headers(get: &HTTPGetAction) -> Vec<(String, String)> {
    get.http_headers.iter().flatten().map(|header| (header.name.clone(), header.value.clone())).collect()
}
