//! Answers.

use bytes::Bytes;
use futures::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WARNING};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use orc_core::ApiError;
use serde_json::Value;

use super::{Body, BoxError};

/// Kubernetes' protobuf.
pub(super) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// A body from bytes at hand.
pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body without bytes, for a request.
pub(crate) fn nothing_to_send() -> Body {
    full(Bytes::new())
}

/// An answer of JSON, for those who answer beside the registry.
pub(crate) fn shown(value: &Value) -> Response<Body> {
    json(200, value)
}

/// A failure, for the same.
pub(crate) fn failed(error: &ApiError) -> Response<Body> {
    failure(error)
}

/// A body of slices that are sent one after the other, never joined in memory.
pub(super) fn slices(parts: Vec<Bytes>) -> Body {
    let frames = parts.into_iter().filter(|part| !part.is_empty()).map(|part| Ok::<_, BoxError>(Frame::data(part)));
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}

fn response(code: u16, media_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A JSON answer.
pub(super) fn json(code: u16, value: &Value) -> Response<Body> {
    response(code, "application/json", full(value.to_string()))
}

/// A JSON answer from bytes that are JSON already.
pub(super) fn json_slices(code: u16, parts: Vec<Bytes>) -> Response<Body> {
    response(code, "application/json", slices(parts))
}

/// A protobuf answer.
pub(super) fn protobuf(body: Body) -> Response<Body> {
    response(200, PROTOBUF, body)
}

/// A stream of JSON texts.
pub(super) fn json_stream(body: Body) -> Response<Body> {
    response(200, "application/json", body)
}

/// Plain text.
pub(crate) fn text(code: u16, text: impl Into<String>) -> Response<Body> {
    response(code, "text/plain; charset=utf-8", full(text.into()))
}

/// 404 for a version or resource that is not served.
pub(super) fn not_served() -> ApiError {
    ApiError::new(orc_core::Reason::NotFound, "the server could not find the requested resource")
        .with_details(Default::default())
}

/// 404 with no body at all.
pub(super) fn nothing() -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// 204: done, and nothing to say.
pub(super) fn no_content() -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// 404 for a path that nothing is at.
pub(super) fn no_page() -> Response<Body> {
    text(404, "404 page not found\n")
}

/// 405, for a verb that a resource does not have.
pub(super) fn method_not_allowed() -> ApiError {
    let message = "the server does not allow this method on the requested resource";
    ApiError::new(orc_core::Reason::MethodNotAllowed, message).with_details(Default::default())
}

/// A failure as a `Status`.
pub(super) fn failure(error: &ApiError) -> Response<Body> {
    let mut response = json(error.code(), &error.to_status());
    if let Some(details) = error.details()
        && details.retry_after_seconds > 0
    {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(details.retry_after_seconds));
    }
    response
}

/// Adds `Warning` headers (RFC 7234, code 299).
pub(super) fn warn(response: &mut Response<Body>, warnings: &[String]) {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\r'], " ");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\""))
            && !response.headers().get_all(WARNING).iter().any(|told| told == value)
        {
            response.headers_mut().append(WARNING, value);
        }
    }
}
