//! Long answers, written while they are sent: a list is never in memory as a whole beside the objects it shows.

use bytes::{Bytes, BytesMut};
use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use orc_core::ApiError;
use orc_core::schema::{MessageRef, proto};

use super::{Body, BoxError};

/// Bytes of a part that is sent at once: large enough that frames and system calls do not count, small enough that a slow
/// reader holds little and other requests get their turn.
const PART: usize = 64 << 10;

/// One piece after another: a head, items divided by commas, a tail. An item that cannot be written breaks the answer off,
/// which clients see as such.
pub(super) fn json(
    head: Bytes,
    items: impl Iterator<Item = Result<Vec<Bytes>, ApiError>> + Send + 'static,
    tail: &'static [u8],
) -> Body {
    let divided = items.enumerate().map(|(at, item)| {
        let comma = (at > 0).then(|| Bytes::from_static(b","));
        item.map(|parts| comma.into_iter().chain(parts).collect())
    });
    in_parts(std::iter::once(Ok(vec![head])).chain(divided).chain(std::iter::once(Ok(vec![Bytes::from_static(tail)]))))
}

/// A list in its protobuf envelope. `head` is the list's JSON without items.
///
/// # Errors
/// When an item does not fit its message.
pub(super) fn protobuf(
    api_version: &str,
    kind: &str,
    message: MessageRef,
    head: &[u8],
    items: impl Iterator<Item = Result<Bytes, ApiError>>,
) -> Result<Body, ApiError> {
    let list = message.field("items").ok_or_else(|| ApiError::internal(format!("{kind} has no items")))?;
    let item = list.message().ok_or_else(|| ApiError::internal(format!("the items of {kind} are no messages")))?;
    let head = proto::from_text(head, message).map_err(ApiError::internal)?;
    // The envelope begins with the length of everything, so the items are turned over before the first byte is sent.
    let mut parts = vec![Bytes::from(head)];
    for text in items {
        let raw = proto::from_text(&text?, item).map_err(ApiError::internal)?;
        parts.push(proto::field_head(list.number, raw.len()).into());
        parts.push(raw.into());
    }
    let (open, close) = proto::envelope(api_version, kind, parts.iter().map(Bytes::len).sum());
    let sealed = std::iter::once(open.into()).chain(parts).chain(std::iter::once(close.into()));
    Ok(in_parts(sealed.map(|part| Ok(vec![part]))))
}

/// Joins pieces into parts of a good size, as they are asked for.
fn in_parts(pieces: impl Iterator<Item = Result<Vec<Bytes>, ApiError>> + Send + 'static) -> Body {
    let frames = stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        let mut part = BytesMut::with_capacity(PART + 4096);
        while part.len() < PART {
            match pieces.next() {
                Some(Ok(piece)) => piece.iter().for_each(|bytes| part.extend_from_slice(bytes)),
                Some(Err(error)) => return Some((Err(BoxError::from(error)), None)),
                None if part.is_empty() => return None,
                None => return Some((Ok(Frame::data(part.freeze())), None)),
            }
        }
        Some((Ok(Frame::data(part.freeze())), Some(pieces)))
    });
    StreamBody::new(frames).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use orc_core::schema::Schema;
    use serde_json::{Value, json};

    use super::*;

    fn item(number: usize) -> Bytes {
        json!({"metadata": {"name": format!("m{number}")}, "data": {"k": "v".repeat(number % 3000)}}).to_string().into()
    }

    #[tokio::test]
    async fn a_long_list_comes_in_parts_and_whole() {
        let items = (0..500).map(|number| Ok(vec![item(number)]));
        let mut body = json(Bytes::from_static(b"{\"items\":["), items, b"]}");
        let (mut all, mut frames) = (Vec::new(), 0);
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            assert!(data.len() <= PART + 4096);
            all.extend_from_slice(&data);
            frames += 1;
        }
        let value: Value = serde_json::from_slice(&all).unwrap();
        assert_eq!(value["items"].as_array().unwrap().len(), 500);
        assert!((2..20).contains(&frames), "{frames} frames");
        assert_eq!(json(Bytes::from_static(b"["), std::iter::empty(), b"]").collect().await.unwrap().to_bytes(), "[]");
    }

    #[tokio::test]
    async fn an_item_that_cannot_be_written_breaks_the_answer_off() {
        let items = [Ok(vec![item(1)]), Err(ApiError::internal("no"))].into_iter();
        assert!(json(Bytes::from_static(b"["), items, b"]").collect().await.is_err());
    }

    #[tokio::test]
    async fn protobuf_is_the_same_as_of_the_whole() {
        let message = Schema::builtin().message_of_type("v1", "ConfigMapList").unwrap();
        let head = json!({"metadata": {"resourceVersion": "7"}});
        let items = (0..300).map(item).map(Ok);
        let body = protobuf("v1", "ConfigMapList", message, head.to_string().as_bytes(), items).unwrap();
        let bytes = body.collect().await.unwrap().to_bytes();
        let opened = proto::open(&bytes).unwrap();
        assert_eq!((opened.api_version.as_str(), opened.kind.as_str()), ("v1", "ConfigMapList"));
        let value = proto::to_json(opened.raw, message).unwrap();
        let items: Vec<Value> = (0..300).map(|number| serde_json::from_slice(&item(number)).unwrap()).collect();
        assert_eq!(value["metadata"]["resourceVersion"], "7");
        assert_eq!(value["items"][299]["data"], items[299]["data"]);
        assert_eq!(value["items"].as_array().unwrap().len(), 300);
    }
}
