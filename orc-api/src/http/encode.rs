//! Answers in protobuf or YAML, for clients that prefer them.
//!
//! Everything is made as JSON, which is what the store keeps; this turns the finished answer over by the schema table. Kinds that
//! the table does not know (custom resources, tables) stay JSON, as clients that ask for protobuf expect: they list JSON
//! behind it.

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::StreamExt as _;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use orc_core::ApiError;
use orc_core::schema::{Schema, proto};
use serde_json::Value;

use super::negotiate::Encoding;
use super::{Body, BoxError, respond};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Turns a finished JSON answer into the wanted encoding.
///
/// # Errors
/// When the answer cannot be read or turned over.
pub(super) async fn finished(response: Response<Body>, encoding: Encoding) -> Result<Response<Body>, ApiError> {
    let json = response.headers().get(CONTENT_TYPE).is_some_and(|value| value == "application/json");
    if encoding == Encoding::Json || !json || response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response);
    }
    let (mut parts, body) = response.into_parts();
    let bytes = body.collect().await.map_err(ApiError::internal)?.to_bytes();
    let value: Value = serde_json::from_slice(&bytes).map_err(ApiError::internal)?;
    let (media_type, bytes) = match encoding {
        Encoding::Json => return Ok(Response::from_parts(parts, respond::full(bytes))),
        Encoding::Yaml => {
            ("application/yaml", Bytes::from(serde_saphyr::to_string(&value).map_err(ApiError::internal)?))
        }
        Encoding::Protobuf => match protobuf(&value)? {
            Some(sealed) => (PROTOBUF, sealed),
            None => return Ok(Response::from_parts(parts, respond::full(bytes))),
        },
    };
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    Ok(Response::from_parts(parts, respond::full(bytes)))
}

/// An object in its protobuf envelope; `None` when the table does not know its kind.
fn protobuf(value: &Value) -> Result<Option<Bytes>, ApiError> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let Some(message) = Schema::builtin().message_of_type(api_version, kind) else { return Ok(None) };
    let raw = proto::from_json(value, message).map_err(ApiError::internal)?;
    Ok(Some(Bytes::from(proto::seal(api_version, kind, &raw))))
}

/// Turns a stream of JSON watch events into length-delimited protobuf frames. An event that cannot be turned over ends
/// the stream with an error.
pub(super) fn watch(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/vnd.kubernetes.protobuf;stream=watch"));
    let frames = body.into_data_stream().map(|line| match line {
        Ok(line) => event(&line).map(Frame::data).map_err(BoxError::from),
        Err(error) => Err(error),
    });
    Response::from_parts(parts, StreamBody::new(frames).boxed_unsync())
}

/// One event: four bytes of length, then a `WatchEvent` whose object is in its own envelope.
fn event(line: &[u8]) -> Result<Bytes, ApiError> {
    let event: Value = serde_json::from_slice(line).map_err(ApiError::internal)?;
    let object = protobuf(event.get("object").unwrap_or(&Value::Null))?;
    let object = object.ok_or_else(|| ApiError::internal("a watch event's kind has no protobuf form"))?;
    let mut raw = BytesMut::new();
    field(&mut raw, 1, &object);
    let mut body = BytesMut::new();
    field(&mut body, 1, event.get("type").and_then(Value::as_str).unwrap_or_default().as_bytes());
    field(&mut body, 2, &raw);
    let length = u32::try_from(body.len()).map_err(ApiError::internal)?;
    let mut out = BytesMut::with_capacity(body.len() + 4);
    out.put_u32(length);
    out.extend_from_slice(&body);
    Ok(out.freeze())
}

/// A length-delimited field.
fn field(out: &mut BytesMut, number: u8, bytes: &[u8]) {
    out.put_u8(number << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        out.put_u8((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.put_u8(length as u8);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_carries_its_object_in_an_envelope() {
        let line =
            json!({"type": "ADDED", "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}})
                .to_string();
        let frame = event(line.as_bytes()).unwrap();
        let length = u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize;
        assert_eq!(length, frame.len() - 4);
        assert_eq!(&frame[4..11], b"\x0a\x05ADDED");
        let at = frame.windows(4).position(|window| window == proto::MAGIC).unwrap();
        let opened = proto::open(&frame[at..]).unwrap();
        let message = Schema::builtin().message_of_type(&opened.api_version, &opened.kind).unwrap();
        assert_eq!(proto::to_json(opened.raw, message).unwrap()["metadata"]["name"], "x");
    }
}
