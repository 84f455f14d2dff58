//! `/exec`, `/attach`, `/portForward` and `/run` of the node's HTTP API: paths and parameters as the kubelet has them.
//!
//! An answer with status 101 carries the caller's end of the connection as [`Upgraded`]; what happens behind it goes on after the
//! answer, until either side ends.

use std::sync::Arc;

use http::request::Parts;
use http::{Method, Response, StatusCode};
use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};
use orc_core::{ApiError, ObjectKey, Reason, ResourceId};
use orc_store::dialer::{Body, Duplex, Upgraded};

use super::context::{Context, View, uid_of};
use super::http::{pairs_of, respond};
use crate::machine::any_container;
use crate::runtime::{ContainerId, ExecRequest, StreamSet};
use crate::streaming::{self, Purpose, Target, Work, negotiate};

/// Bytes in flight between the API and the agent in one process.
const BUFFER: usize = 64 << 10;
/// Ports of one request.
const MAX_PORTS: usize = 64;

type Answer = Result<Response<Body>, ApiError>;

/// exec or attach: `/{exec,attach}/{namespace}/{pod}[/{uid}]/{container}`.
pub(super) async fn remote(context: &Arc<Context>, request: &Parts, parts: &[&str], exec: bool) -> Answer {
    let (namespace, name, uid, container) = match parts {
        [namespace, name, container] => (namespace, name, None, container),
        [namespace, name, uid, container] => (namespace, name, Some(*uid), container),
        _ => return Err(no_page()),
    };
    upgradeable(request)?;
    let view = view(context, namespace, name, uid)?;
    let id = running(&view, container)?;
    let query = pairs_of(request.uri.query().unwrap_or_default());
    let streams = stream_set(&query)?;
    let command: Vec<String> = values(&query, "command");
    if exec && command.is_empty() {
        return Err(ApiError::bad_request("you must specify a command: query parameter \"command\" is missing"));
    }
    let (protocol, answer) = negotiate(&request.headers, Purpose::Remote)?;
    let runtime = context.runtime.clone();
    let asked = exec.then(|| command.clone());
    let start = Box::pin(async move {
        if exec {
            runtime.exec(&id, &ExecRequest { command, streams }).await
        } else {
            runtime.attach(&id, streams).await
        }
    });
    let (theirs, ours) = tokio::io::duplex(BUFFER);
    let work = Work { start, command: asked, streams };
    context.env.spawn.detach(streaming::remote(Box::new(ours), protocol, work, context.env.clock.clone()));
    Ok(switched(answer, theirs))
}

/// port-forward: `/portForward/{namespace}/{pod}[/{uid}]`.
pub(super) async fn forward(context: &Arc<Context>, request: &Parts, parts: &[&str]) -> Answer {
    let (namespace, name, uid) = match parts {
        [namespace, name] => (namespace, name, None),
        [namespace, name, uid] => (namespace, name, Some(*uid)),
        _ => return Err(no_page()),
    };
    upgradeable(request)?;
    let view = view(context, namespace, name, uid)?;
    let id = any_running(&view.status)
        .ok_or_else(|| ApiError::bad_request(format!("unable to forward port because pod {name:?} is not running")))?;
    let (protocol, answer) = negotiate(&request.headers, Purpose::Forward)?;
    let ports = match protocol {
        streaming::Protocol::Channels { .. } => ports(&pairs_of(request.uri.query().unwrap_or_default()))?,
        _ => Vec::new(),
    };
    let status = context.runtime.container_status(&id).await.map_err(|e| ApiError::internal(e.full_message()))?;
    let target = Target {
        runtime: context.runtime.clone(),
        sandbox: status.sandbox_id,
        pod: ((*name).to_owned(), uid_of(&view.pod).to_owned()),
    };
    let (theirs, ours) = tokio::io::duplex(BUFFER);
    let clock = context.env.clock.clone();
    context.env.spawn.detach(streaming::forward(Box::new(ours), protocol, target, ports, clock));
    Ok(switched(answer, theirs))
}

/// `/run/{namespace}/{pod}/{container}?cmd=...`: runs a command and answers with what it said.
pub(super) async fn run(context: &Arc<Context>, request: &Parts, parts: &[&str]) -> Answer {
    let [namespace, name, container] = parts else { return Err(no_page()) };
    if request.method != Method::POST {
        return Err(not_allowed(request));
    }
    let view = view(context, namespace, name, None)?;
    let id = running(&view, container)?;
    let query = pairs_of(request.uri.query().unwrap_or_default());
    let text = values(&query, "cmd").into_iter().next().unwrap_or_default();
    let command: Vec<String> = text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    if command.is_empty() {
        return Err(ApiError::bad_request("query parameter \"cmd\" is missing"));
    }
    let output = context.runtime.exec_sync(&id, &command, std::time::Duration::ZERO).await;
    let output = output.map_err(|error| ApiError::internal(error.full_message()))?;
    let mut said = output.stdout;
    said.extend(output.stderr);
    if output.exit_code != 0 {
        let said = String::from_utf8_lossy(&said).into_owned();
        return Err(ApiError::internal(format!("command {command:?} exited with {}: {said}", output.exit_code)));
    }
    Ok(respond(StatusCode::OK, "text/plain; charset=utf-8", said.into()))
}

fn upgradeable(request: &Parts) -> Result<(), ApiError> {
    if matches!(request.method, Method::GET | Method::POST) { Ok(()) } else { Err(not_allowed(request)) }
}

fn not_allowed(request: &Parts) -> ApiError {
    let text = format!("{} {} is not served by this node", request.method, request.uri.path());
    ApiError::new(Reason::MethodNotAllowed, text)
}

fn no_page() -> ApiError {
    ApiError::new(Reason::NotFound, "404 page not found")
}

fn switched(answer: Response<()>, theirs: impl Duplex + 'static) -> Response<Body> {
    let (mut head, ()) = answer.into_parts();
    head.extensions.insert(Upgraded::new(theirs));
    Response::from_parts(head, super::http::empty())
}

fn view(context: &Context, namespace: &str, name: &str, uid: Option<&str>) -> Result<View, ApiError> {
    let key = ObjectKey::namespaced(ResourceId::of::<k8s_openapi::api::core::v1::Pod>(), namespace, name);
    let found = context.views.lock().get(&key).cloned();
    found
        .filter(|view| uid.is_none_or(|uid| uid == uid_of(&view.pod)))
        .ok_or_else(|| ApiError::new(Reason::NotFound, "pod does not exist"))
}

fn statuses(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let lists = [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    lists.into_iter().flatten().flatten()
}

fn running_id(status: &ContainerStatus) -> Option<ContainerId> {
    status.state.as_ref()?.running.as_ref()?;
    let id = status.container_id.as_deref()?;
    Some(ContainerId::new(id.split_once("://").map_or(id, |(_, id)| id)))
}

/// The run of a container that a program can join. The text is the kubelet's, which clients look for.
fn running(view: &View, container: &str) -> Result<ContainerId, ApiError> {
    let found = any_container(&view.pod, container)
        .and_then(|_| statuses(&view.status).find(|status| status.name == container))
        .and_then(running_id);
    let missing = || format!("unable to upgrade connection: container not found ({container:?})");
    found.ok_or_else(|| ApiError::new(Reason::Unknown, missing()))
}

fn any_running(status: &PodStatus) -> Option<ContainerId> {
    statuses(status).find_map(running_id)
}

fn values(query: &[(String, String)], name: &str) -> Vec<String> {
    query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
}

/// Which streams are asked for; `remotecommand.NewOptions`.
fn stream_set(query: &[(String, String)]) -> Result<StreamSet, ApiError> {
    let set = |name: &str| query.iter().any(|(key, value)| key == name && matches!(value.as_str(), "1" | "true"));
    let tty = set("tty");
    // With a terminal there is no error output of its own.
    let streams = StreamSet { stdin: set("input"), stdout: set("output"), stderr: set("error") && !tty, tty };
    if streams.stdin || streams.stdout || streams.stderr {
        return Ok(streams);
    }
    Err(ApiError::bad_request("you must specify at least 1 of stdin, stdout, stderr"))
}

/// The ports of a port-forward over WebSocket channels; `portforward.NewV4Options`.
fn ports(query: &[(String, String)]) -> Result<Vec<u16>, ApiError> {
    let bad = |text: String| Err(ApiError::bad_request(text));
    let mut ports = Vec::new();
    for text in values(query, "port") {
        if text.is_empty() {
            return bad("query parameter \"port\" cannot be empty".to_owned());
        }
        for part in text.split(',') {
            match part.parse::<u16>() {
                Ok(0) => return bad(format!("port {text:?} must be > 0")),
                Ok(port) => ports.push(port),
                Err(_) => return bad(format!("unable to parse {text:?} as a port")),
            }
        }
    }
    match ports.len() {
        0 => bad("query parameter \"port\" is required".to_owned()),
        1..=MAX_PORTS => Ok(ports),
        more => bad(format!("{more} ports in one request: at most {MAX_PORTS} are forwarded")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_and_ports_are_read() {
        let streams = stream_set(&pairs_of("input=1&output=1&error=1&tty=1&command=sh&command=-c")).unwrap();
        assert_eq!(streams, StreamSet { stdin: true, stdout: true, stderr: false, tty: true });
        assert_eq!(values(&pairs_of("command=echo&command=a%20b"), "command"), ["echo", "a b"]);
        let error = stream_set(&pairs_of("command=ls&error=1&tty=1")).unwrap_err();
        assert_eq!(error.message(), "you must specify at least 1 of stdin, stdout, stderr");
        assert_eq!(ports(&pairs_of("port=80,81&port=9")).unwrap(), [80, 81, 9]);
        for wrong in ["", "port=", "port=0", "port=65536", "port=a"] {
            assert_eq!(ports(&pairs_of(wrong)).unwrap_err().code(), 400, "{wrong}");
        }
    }
}
