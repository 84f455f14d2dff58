//! The node's HTTP API, in the shape of the kubelet's: `/containerLogs/{namespace}/{pod}/{container}`, `/exec`, `/attach`,
//! `/portForward`, `/run` and `/healthz`.
//!
//! `/stats/summary`, `/metrics/resource` and `/metrics/cadvisor` say what is used, `/metrics` and `/metrics/probes` how the agent
//! and its probes do, `/pods` what it runs. Errors are Kubernetes' `Status` as JSON, which the API passes on.
//! Whoever comes here was authenticated and authorized by the API (`nodes/proxy`): the agent has no port of its own.
//! `/localVolumes` is for the control plane alone.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use k8s_openapi::api::core::v1::Pod;
use orc_core::{ApiError, ObjectKey, Reason, ResourceId};
use orc_store::NodeService;
use orc_store::dialer::{Body, BoxError};
use tower::util::BoxCloneSyncService;

use super::context::{Context, View};
use super::{logs, metrics, stats, streams, volumes};
use crate::machine::any_container;
use crate::runtime::{LogOptions, RuntimeError};

/// The service over what the agent's loop last saw.
pub(super) fn service(context: Arc<Context>) -> NodeService {
    BoxCloneSyncService::new(tower::service_fn(move |request: Request<Body>| {
        let context = context.clone();
        async move {
            let (head, _) = request.into_parts();
            let answer = answer(&context, &head).await;
            Ok::<_, BoxError>(answer.unwrap_or_else(|error| refuse(&error)))
        }
    }))
}

async fn answer(context: &Arc<Context>, request: &http::request::Parts) -> Result<Response<Body>, ApiError> {
    let parts: Vec<&str> = request.uri.path().trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["exec", rest @ ..] => return streams::remote(context, request, rest, true).await,
        ["attach", rest @ ..] => return streams::remote(context, request, rest, false).await,
        ["portForward", rest @ ..] => return streams::forward(context, request, rest).await,
        ["run", rest @ ..] => return streams::run(context, request, rest).await,
        ["localVolumes", volume] => return volumes::local::answer(context, request, volume).await,
        _ => {}
    }
    if request.method != Method::GET {
        let text = format!("{} {} is not served by this node", request.method, request.uri.path());
        return Err(ApiError::new(Reason::MethodNotAllowed, text));
    }
    match parts.as_slice() {
        ["healthz"] => Ok(respond(StatusCode::OK, "text/plain; charset=utf-8", "ok".into())),
        ["containerLogs", namespace, pod, container] => {
            container_logs(context, namespace, pod, container, request.uri.query().unwrap_or_default()).await
        }
        ["stats", "summary"] => stats::summary(context).await,
        ["metrics", "resource"] => stats::metrics(context).await,
        ["metrics"] => metrics::own(context).await,
        ["metrics", "probes"] => Ok(context.probes.text().answer()),
        ["metrics", "cadvisor"] => metrics::cadvisor(context).await,
        ["pods"] => Ok(pods(context)),
        ["stats" | "metrics", ..] => {
            let text = format!("/{} is not served by orc's node agent yet", parts.join("/"));
            Err(ApiError::new(Reason::Unknown, text).with_code(501))
        }
        _ => Err(ApiError::new(Reason::NotFound, "404 page not found")),
    }
}

/// `/pods`: a PodList of what runs here, with the status that the agent knows.
fn pods(context: &Context) -> Response<Body> {
    let views: Vec<View> = context.views.lock().values().cloned().collect();
    let with_status = |view: &View| {
        let pod = Pod { status: Some((*view.status).clone()), ..(*view.pod).clone() };
        let mut item = serde_json::to_value(pod).unwrap_or_default();
        // The items of a list have no kind of their own.
        item.as_object_mut().into_iter().for_each(|item| item.retain(|name, _| name != "kind" && name != "apiVersion"));
        item
    };
    let items: Vec<serde_json::Value> = views.iter().map(with_status).collect();
    let list = serde_json::json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items});
    respond(StatusCode::OK, "application/json", list.to_string().into())
}

async fn container_logs(
    context: &Context,
    namespace: &str,
    name: &str,
    container: &str,
    query: &str,
) -> Result<Response<Body>, ApiError> {
    let key = ObjectKey::namespaced(ResourceId::of::<Pod>(), namespace, name);
    let view: Option<View> = context.views.lock().get(&key).cloned();
    let Some(View { pod, status }) = view else {
        return Err(ApiError::new(Reason::NotFound, format!("pod {name:?} not found")));
    };
    if any_container(&pod, container).is_none() {
        return Err(ApiError::new(Reason::NotFound, format!("container {container:?} not found in pod {name:?}")));
    }
    let (options, previous) = options(query)?;
    let id = logs::run_of(&status, name, container, previous)?;
    let chunks = context.runtime.logs(&id, &options).await.map_err(|error| match error {
        RuntimeError::ContainerNotFound(_) => {
            ApiError::bad_request(format!("unable to retrieve container logs for {id}: the log is gone"))
        }
        other => ApiError::internal(other.full_message()),
    })?;
    let frames = chunks.map(|chunk| chunk.map(Frame::data).map_err(|error| -> BoxError { Box::new(error) }));
    let body = Body::new(StreamBody::new(frames));
    let mut response = Response::new(body);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// The query of a request for logs, and whether the run before is meant.
fn options(query: &str) -> Result<(LogOptions, bool), ApiError> {
    let pairs: BTreeMap<String, String> = pairs_of(query).into_iter().collect();
    let bad = |name: &str, value: &str| ApiError::bad_request(format!("invalid value for {name}: {value:?}"));
    let flag = |name: &str| match pairs.get(name).map(String::as_str) {
        None => Ok(false),
        Some("true" | "1" | "") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(other) => Err(bad(name, other)),
    };
    let number = |name: &str| -> Result<Option<u64>, ApiError> {
        pairs.get(name).map(|text| text.parse().map_err(|_| bad(name, text))).transpose()
    };
    let since_time = pairs.get("sinceTime").map(|text| text.parse().map_err(|_| bad("sinceTime", text))).transpose()?;
    let options = LogOptions {
        follow: flag("follow")?,
        tail_lines: number("tailLines")?,
        since_time,
        since: number("sinceSeconds")?.map(Duration::from_secs),
        timestamps: flag("timestamps")?,
        limit_bytes: number("limitBytes")?,
        stream: pairs.get("stream").filter(|stream| *stream != "All").cloned(),
    };
    Ok((options, flag("previous")?))
}

/// The decoded parameters of a query, in order.
pub(super) fn pairs_of(query: &str) -> Vec<(String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(decoded).collect()
}

fn decoded(pair: &str) -> (String, String) {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    (unescape(key), unescape(value))
}

/// Undoes percent encoding.
pub(super) fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (b'+', _) => {
                out.push(b' ');
                at += 1;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn refuse(error: &ApiError) -> Response<Body> {
    let code = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    respond(code, "application/json", error.to_status().to_string().into())
}

/// A body without bytes.
pub(super) fn empty() -> Body {
    full(Bytes::new())
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// An answer from bytes at hand.
pub(super) fn respond(code: StatusCode, kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = code;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read() {
        let (options, previous) =
            options("follow=true&tailLines=5&previous=true&sinceTime=2026-01-01T00%3A00%3A00Z").unwrap();
        assert!(options.follow && previous);
        assert_eq!(options.tail_lines, Some(5));
        assert_eq!(options.since_time, Some("2026-01-01T00:00:00Z".parse().unwrap()));
        assert!(super::options("tailLines=many").is_err());
    }
}
