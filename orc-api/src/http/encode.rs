//! Answers in protobuf or YAML, for clients that prefer them.
//!
//! Everything is made as JSON, which is what the store keeps; this turns the finished answer over by the schema table. Kinds that
//! the table does not know (custom resources, tables) stay JSON, as clients that ask for protobuf expect: they list JSON
//! behind it.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use orc_core::ApiError;
use orc_core::schema::{MessageRef, Schema, proto};
use serde_json::Value;

use super::negotiate::Encoding;
use super::{Body, respond};

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
            Some(sealed) => (respond::PROTOBUF, sealed),
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

/// The media type of a watch in protobuf.
pub(super) const WATCH: HeaderValue = HeaderValue::from_static("application/vnd.kubernetes.protobuf;stream=watch");

/// A watch event of an object's JSON text: four bytes of length, then a `WatchEvent` whose object is in its own envelope.
///
/// # Errors
/// When the text does not fit the message.
pub(super) fn event(
    kind: &str,
    api_version: &str,
    of: &str,
    message: MessageRef,
    text: &[u8],
) -> Result<Bytes, ApiError> {
    let raw = proto::from_text(text, message).map_err(ApiError::internal)?;
    framed(kind, &proto::seal(api_version, of, &raw))
}

/// A watch event of a JSON line: bookmarks and errors, which are few.
///
/// # Errors
/// When the object's kind has no protobuf form.
pub(super) fn event_of_line(line: &[u8]) -> Result<Bytes, ApiError> {
    let event: Value = serde_json::from_slice(line).map_err(ApiError::internal)?;
    let object = protobuf(event.get("object").unwrap_or(&Value::Null))?;
    let object = object.ok_or_else(|| ApiError::internal("a watch event's kind has no protobuf form"))?;
    framed(event.get("type").and_then(Value::as_str).unwrap_or_default(), &object)
}

fn framed(kind: &str, object: &[u8]) -> Result<Bytes, ApiError> {
    let mut raw = BytesMut::with_capacity(object.len() + 8);
    field(&mut raw, 1, object);
    let mut body = BytesMut::with_capacity(raw.len() + 24);
    body.put_u32(0);
    field(&mut body, 1, kind.as_bytes());
    field(&mut body, 2, &raw);
    let length = u32::try_from(body.len() - 4).map_err(ApiError::internal)?;
    body[..4].copy_from_slice(&length.to_be_bytes());
    Ok(body.freeze())
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
        let frame = event_of_line(line.as_bytes()).unwrap();
        let length = u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize;
        assert_eq!(length, frame.len() - 4);
        assert_eq!(&frame[4..11], b"\x0a\x05ADDED");
        let at = frame.windows(4).position(|window| window == proto::MAGIC).unwrap();
        let opened = proto::open(&frame[at..]).unwrap();
        let message = Schema::builtin().message_of_type(&opened.api_version, &opened.kind).unwrap();
        assert_eq!(proto::to_json(opened.raw, message).unwrap()["metadata"]["name"], "x");
        let text = br#"{"metadata": {"name": "x"}}"#;
        assert_eq!(event("ADDED", "v1", "ConfigMap", message, text).unwrap(), frame);
    }
}
