//! Running probes: HTTP and TCP against the pod's address, commands in the container.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Pod, PodStatus, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;

use super::context::Context;
use crate::machine::{ProbeKind, container_of};
use crate::runtime::{ContainerId, RuntimeError};

/// What a probe's answer is cut to, as the kubelet cuts it.
const ANSWER_BYTES: usize = 10 << 10;

/// Runs a probe once, within its time.
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
    let limit = Duration::from_secs(u64::try_from(probe.timeout_seconds.unwrap_or(1)).unwrap_or(1).max(1));
    let answer = async {
        tokio::select! {
            biased;
            answer = ask(context, status, spec, id, probe, limit) => answer,
            () = context.env.clock.sleep(limit) => Err(timed_out(probe, limit)),
        }
    };
    match answer.await {
        Ok(()) => (true, String::new()),
        Err(message) => (false, message),
    }
}

fn timed_out(probe: &Probe, limit: Duration) -> String {
    match (&probe.exec, &probe.http_get) {
        (Some(exec), _) => {
            let command = exec.command.iter().flatten().cloned().collect::<Vec<_>>().join(" ");
            format!("command timed out: {command:?} timed out after {}s", limit.as_secs())
        }
        (_, Some(_)) => "context deadline exceeded (Client.Timeout exceeded while awaiting headers)".to_owned(),
        _ => "i/o timeout".to_owned(),
    }
}

async fn ask(
    context: &Context,
    status: &PodStatus,
    spec: &Container,
    id: &ContainerId,
    probe: &Probe,
    limit: Duration,
) -> Result<(), String> {
    if let Some(exec) = &probe.exec {
        return exec_in(context, id, exec.command.as_deref().unwrap_or_default(), limit).await;
    }
    if probe.grpc.is_some() {
        return Err("gRPC probes are not supported by orc yet: use httpGet, tcpSocket or exec".to_owned());
    }
    if context.config.is_simulated() {
        // No packet could reach a simulated pod: that its container runs is the answer.
        return Ok(());
    }
    if let Some(get) = &probe.http_get {
        return http_get(status, spec, get).await;
    }
    if let Some(socket) = &probe.tcp_socket {
        let host = host(socket.host.as_deref(), status)?;
        let port = port(&socket.port, spec)?;
        return connect(&host, port).await.map(drop);
    }
    Err("the probe names no handler".to_owned())
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
        Err(RuntimeError::Timeout { seconds, .. }) => {
            Err(format!("command timed out: {:?} timed out after {seconds}s", command.join(" ")))
        }
        Err(error) => Err(error.full_message()),
    }
}

/// GET, as probes and hooks do it: a status from 200 to 399 is good.
pub(super) async fn http_get(status: &PodStatus, spec: &Container, get: &HTTPGetAction) -> Result<(), String> {
    if get.scheme.as_deref() == Some("HTTPS") {
        return Err("httpGet with scheme HTTPS is not supported by orc yet: use HTTP, tcpSocket or exec".to_owned());
    }
    let host = host(get.host.as_deref(), status)?;
    let port = port(&get.port, spec)?;
    let path = get.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let mut request = http::Request::get(path).header("User-Agent", "kube-probe/1.36").header("Accept", "*/*");
    let mut named = false;
    for header in get.http_headers.iter().flatten() {
        named |= header.name.eq_ignore_ascii_case("host");
        request = request.header(&header.name, &header.value);
    }
    if !named {
        request = request.header("Host", format!("{host}:{port}"));
    }
    let request = request.header("Connection", "close").body(Empty::<Bytes>::new()).map_err(|e| e.to_string())?;
    let stream = connect(&host, port).await?;
    let said = |error: hyper::Error| format!("Get \"http://{host}:{port}\": {error}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(said)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(said)?;
        let code = response.status();
        // Read to the end so that the server does not see a reset; more than the limit is not wanted.
        let _ = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        if code.is_success() || code.is_redirection() {
            return Ok(());
        }
        Err(format!("HTTP probe failed with statuscode: {}", code.as_u16()))
    };
    tokio::pin!(connection);
    tokio::pin!(exchange);
    tokio::select! {
        biased;
        result = &mut exchange => result,
        ended = &mut connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(said(error)),
        },
    }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    TcpStream::connect((host, port)).await.map_err(|error| format!("dial tcp {host}:{port}: connect: {error}"))
}

fn host(set: Option<&str>, status: &PodStatus) -> Result<String, String> {
    let host = set.filter(|host| !host.is_empty()).or(status.pod_ip.as_deref());
    host.map(str::to_owned).ok_or_else(|| "the pod has no address yet".to_owned())
}

fn port(port: &IntOrString, spec: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let named = spec.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name));
            match named {
                Some(port) => port.container_port,
                None => name.parse().map_err(|_| format!("couldn't find port: {name:?}"))?,
            }
        }
    };
    u16::try_from(number).ok().filter(|port| *port > 0).ok_or_else(|| format!("invalid port number: {number}"))
}
