//! Request bodies: bounded, and JSON or YAML.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;
use orc_core::doc::MAX_DEPTH;
use orc_core::schema::{self, MessageRef, Schema, proto};
use orc_core::{ApiError, Doc, Reason};

use super::Body;

/// The largest request body, as kube-apiserver's `MaxRequestBodyBytes`.
pub(super) const MAX_BODY: usize = 3 * 1024 * 1024;

/// How many values YAML may hold, aliases followed: as many as a protobuf body, so that a few letters do not become gigabytes.
const MAX_NODES: usize = schema::proto::MAX_VALUES;

/// Stack for reading YAML, bytes: the reader takes about 20 KiB for each level in unoptimised builds, which is more than a thread has.
const YAML_STACK: usize = 16 << 20;

/// How long a client may take to send its body.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads a body to its end.
///
/// # Errors
/// 413 past [`MAX_BODY`], 504 when the client is too slow, 400 when it breaks off.
pub(super) async fn read(body: Body) -> Result<Bytes, ApiError> {
    tokio::time::timeout(PATIENCE, collect(body))
        .await
        .map_err(|_| ApiError::timeout("the request body did not arrive in time"))?
}

async fn collect(mut body: Body) -> Result<Bytes, ApiError> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| ApiError::bad_request(format!("reading the request body: {e}")))?;
        if let Ok(data) = frame.into_data() {
            if all.len() + data.len() > MAX_BODY {
                let message = format!("Request entity too large: limit is {MAX_BODY}");
                return Err(ApiError::new(Reason::RequestEntityTooLarge, message));
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(all.freeze())
}

/// The media type of a body without parameters; JSON when none is given.
pub(super) fn media_type(headers: &HeaderMap) -> &str {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("application/json");
    text.split(';').next().unwrap_or_default().trim()
}

/// A decoded body, and what a strict decoder found in it.
pub(super) struct Decoded {
    pub(super) doc: Doc,
    pub(super) strict: Vec<String>,
    /// The message by which the body was decoded, where that is done.
    pub(super) by: Option<MessageRef>,
}

/// Decodes an object by its media type. `message` is the type that the path expects: it gives the order of what a strict
/// decoder finds, which is that of the bytes.
///
/// # Errors
/// 415 for a media type that is not served, 400 for a body that does not decode.
pub(super) fn decode(headers: &HeaderMap, body: &[u8], message: Option<MessageRef>) -> Result<Decoded, ApiError> {
    match media_type(headers) {
        "application/json" | "" => decode_json(body, message),
        "application/yaml" => decode_yaml(body),
        "application/vnd.kubernetes.protobuf" => decode_proto(body),
        _ => Err(unsupported()),
    }
}

fn decode_json(body: &[u8], message: Option<MessageRef>) -> Result<Decoded, ApiError> {
    // A value of a wrong type is told by the registry, which knows the kind by then.
    if let Some(typed) = message.and_then(|_| schema::decode_json(body, message).ok()) {
        let strict = typed.strict.iter().map(ToString::to_string).collect();
        return Ok(Decoded { doc: shallow(Doc::from_value(typed.value)?)?, strict, by: message });
    }
    let decoded = Doc::decode(body)?;
    let strict = match message {
        Some(_) => Vec::new(),
        None => decoded.duplicates.iter().map(|path| format!("duplicate field {path:?}")).collect(),
    };
    Ok(Decoded { doc: decoded.doc, strict, by: None })
}

/// What a strict decoder finds in the bytes of a JSON patch of any form: fields that occur twice. Nothing where the bytes do not
/// read, which whoever applies the patch tells.
pub(super) fn duplicates(patch: &[u8]) -> Vec<String> {
    // The patch may be a list, so it is read as a member of an object.
    let whole = [b"{\"p\":", patch, b"}"].concat();
    let found = Doc::decode(&whole).map(|decoded| decoded.duplicates).unwrap_or_default();
    let bare = |path: &String| path.strip_prefix('p').map(|rest| rest.strip_prefix('.').unwrap_or(rest).to_owned());
    found.iter().filter_map(bare).map(|path| format!("duplicate field {path:?}")).collect()
}

/// Decodes YAML by way of JSON.
pub(super) fn decode_yaml(body: &[u8]) -> Result<Decoded, ApiError> {
    let text = std::str::from_utf8(body).map_err(|e| ApiError::bad_request(format!("yaml: {e}")))?;
    let options = serde_saphyr::options! { budget: serde_saphyr::budget! {
        max_depth: MAX_DEPTH, flow_nesting_limit: MAX_DEPTH, max_nodes: MAX_NODES, max_events: 2 * MAX_NODES,
    } };
    let value: serde_json::Value = stacker::grow(YAML_STACK, || serde_saphyr::from_str_with_options(text, options))
        .map_err(|e| ApiError::bad_request(format!("error converting YAML to JSON: yaml: {e}")))?;
    // What a strict decoder finds is left to the registry's check of the tree: Kubernetes sorts the keys of YAML as well.
    Ok(Decoded { doc: shallow(Doc::from_value(value)?)?, strict: Vec::new(), by: None })
}

/// Messages and YAML may nest deeper than JSON that reads again, above all by raw JSON inside a message.
fn shallow(doc: Doc) -> Result<Doc, ApiError> {
    if doc.nests_well() {
        Ok(doc)
    } else {
        Err(ApiError::bad_request("the object provided is unrecognized: exceeded max depth"))
    }
}

fn decode_proto(body: &[u8]) -> Result<Decoded, ApiError> {
    let wrong = |e: proto::ProtoError| ApiError::bad_request(e.to_string());
    let opened = proto::open(body).map_err(wrong)?;
    let message = Schema::builtin().message_of_type(&opened.api_version, &opened.kind);
    let message = message.ok_or_else(|| {
        let (version, kind) = (&opened.api_version, &opened.kind);
        ApiError::bad_request(format!("no kind {kind:?} is registered for version {version:?} in the built-in schema"))
    })?;
    let mut doc = Doc::from_value(proto::to_json(opened.raw, message).map_err(wrong)?)?;
    doc.set(&["apiVersion"], opened.api_version);
    doc.set(&["kind"], opened.kind);
    Ok(Decoded { doc: shallow(doc)?, strict: Vec::new(), by: None })
}

/// 415, as kube-apiserver words it.
pub(super) fn unsupported() -> ApiError {
    let message = "the body of the request was in an unknown format - accepted media types include: application/json, \
        application/yaml, application/vnd.kubernetes.protobuf";
    ApiError::new(Reason::UnsupportedMediaType, message)
}
