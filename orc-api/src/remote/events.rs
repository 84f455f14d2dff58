//! The lines of a watch, as events.

use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt as _};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use orc_core::{ApiError, Revision};
use orc_store::event::{Before, RemovedWhy};
use orc_store::{WatchEnd, WatchEvent, WatchStream};
use serde_json::Value;

use super::wire::{Kind, revision_of};

/// The longest line of a watch: an object is at most 1.5 MiB in etcd, and JSON may take more room.
const LONGEST: usize = 16 << 20;

struct Lines {
    kind: Kind,
    body: Incoming,
    rest: BytesMut,
    /// Where a search for the line's end goes on.
    searched: usize,
    over: bool,
}

/// The events of an answer's body. Ends after the first error, and `Closed` when the server ends it.
pub(super) fn events(kind: Kind, body: Incoming) -> WatchStream {
    let lines = Lines { kind, body, rest: BytesMut::new(), searched: 0, over: false };
    stream::unfold(lines, |mut lines| async move {
        if lines.over {
            return None;
        }
        let item = lines.next().await;
        lines.over = item.is_err();
        Some((item, lines))
    })
    .boxed()
}

impl Lines {
    async fn next(&mut self) -> Result<WatchEvent, WatchEnd> {
        loop {
            if let Some(at) = self.rest[self.searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.rest.split_to(self.searched + at + 1).freeze();
                self.searched = 0;
                return event(&self.kind, &line);
            }
            self.searched = self.rest.len();
            if self.searched > LONGEST {
                return Err(WatchEnd::Closed("the server sent a line that is too long".to_owned()));
            }
            let frame = match self.body.frame().await {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Err(WatchEnd::Closed(error.to_string())),
                None => return Err(WatchEnd::Closed("the server ended the watch".to_owned())),
            };
            if let Ok(data) = frame.into_data() {
                self.rest.extend_from_slice(&data);
            }
        }
    }
}

fn event(kind: &Kind, line: &Bytes) -> Result<WatchEvent, WatchEnd> {
    let closed = |why: ApiError| WatchEnd::Closed(why.to_string());
    let mut event: Value = serde_json::from_slice(line).map_err(|error| WatchEnd::Closed(error.to_string()))?;
    let object = event["object"].take();
    match event["type"].as_str().unwrap_or_default() {
        "ADDED" => kind.stored(object).map(WatchEvent::Added).map_err(closed),
        "MODIFIED" => {
            kind.stored(object).map(|now| WatchEvent::Modified { now, before: Before::Unknown }).map_err(closed)
        }
        "DELETED" => {
            let last = kind.stored(object).map_err(closed)?;
            Ok(WatchEvent::Removed { at: last.revision, last, why: RemovedWhy::Unknown })
        }
        "BOOKMARK" => {
            let at = revision_of(object["metadata"].get("resourceVersion")).map_err(closed)?;
            Ok(WatchEvent::Bookmark { at, initial_end: false })
        }
        "ERROR" => {
            let error = ApiError::from_status(&object, 500);
            match error.code() {
                410 => Err(WatchEnd::Expired { asked: Revision::ZERO, floor: Revision::ZERO }),
                _ => Err(closed(error)),
            }
        }
        other => Err(WatchEnd::Closed(format!("the server sent an event of type {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orc_core::ResourceId;

    #[test]
    fn lines_become_events() {
        let kind = Kind::of(&ResourceId::parse("pods"), None).unwrap();
        let line = |kind: &str, object: &str| Bytes::from(format!(r#"{{"type":"{kind}","object":{object}}}"#));
        let pod = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"d","resourceVersion":"5"}}"#;
        assert!(matches!(event(&kind, &line("ADDED", pod)), Ok(WatchEvent::Added(now)) if now.revision == Revision(5)));
        let gone = event(&kind, &line("DELETED", pod));
        assert!(matches!(gone, Ok(WatchEvent::Removed { at: Revision(5), why: RemovedWhy::Unknown, .. })));
        let expired = line("ERROR", r#"{"kind":"Status","code":410,"reason":"Expired","message":"too old"}"#);
        assert!(matches!(event(&kind, &expired), Err(WatchEnd::Expired { .. })));
        let broken = line("ERROR", r#"{"kind":"Status","code":500,"reason":"InternalError","message":"broken"}"#);
        assert!(matches!(event(&kind, &broken), Err(WatchEnd::Closed(why)) if why.contains("broken")));
        assert!(event(&kind, &line("ADDED", "{}")).is_err() && event(&kind, &line("NEW", pod)).is_err());
    }
}
