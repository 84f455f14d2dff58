//! Tables and partial objects in `meta.k8s.io/v1beta1`, for clients that ask for it: the same in all but the name.

use bytes::Bytes;
use futures::StreamExt as _;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use orc_core::ApiError;
use serde_json::Value;

use super::{Body, BoxError, respond};

const NEW: &str = "meta.k8s.io/v1";
const OLD: &str = "meta.k8s.io/v1beta1";

/// A finished JSON answer in the older version.
///
/// # Errors
/// When the answer cannot be read.
pub(super) async fn finished(response: Response<Body>) -> Result<Response<Body>, ApiError> {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map_err(ApiError::internal)?.to_bytes();
    let mut value: Value = serde_json::from_slice(&bytes).map_err(ApiError::internal)?;
    rename(&mut value);
    Ok(Response::from_parts(parts, respond::full(value.to_string())))
}

/// A watch's JSON lines in the older version.
pub(super) fn watch(response: Response<Body>) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let frames = body.into_data_stream().map(|line| line.and_then(|line| Ok(Frame::data(event(&line)?))));
    Response::from_parts(parts, StreamBody::new(frames).boxed_unsync())
}

fn event(line: &[u8]) -> Result<Bytes, BoxError> {
    let mut event: Value = serde_json::from_slice(line)?;
    event.get_mut("object").into_iter().for_each(rename);
    Ok(format!("{event}\n").into())
}

fn rename(value: &mut Value) {
    if value.get("apiVersion").is_some_and(|version| version == NEW) {
        value["apiVersion"] = OLD.into();
    }
    for list in ["items", "rows"] {
        let all = value.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        all.for_each(|item| match item.get_mut("object") {
            Some(object) => rename(object),
            None => rename(item),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_and_items_are_renamed_and_other_objects_are_not() {
        let mut table =
            json!({"apiVersion": NEW, "rows": [{"object": {"apiVersion": NEW}}, {"object": {"apiVersion": "v1"}}]});
        rename(&mut table);
        assert_eq!(
            table,
            json!({"apiVersion": OLD, "rows": [{"object": {"apiVersion": OLD}}, {"object": {"apiVersion": "v1"}}]})
        );
        let line = event(br#"{"type":"ADDED","object":{"apiVersion":"meta.k8s.io/v1"}}"#).unwrap();
        assert!(String::from_utf8_lossy(&line).contains(OLD));
    }
}
