//! Watches over HTTP: one JSON text an event, flushed as it comes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use orc_core::labels::FieldRequirement;
use orc_core::{ApiError, Revision};
use orc_store::client::{ObjectClient as _, WatchOptions, WatchStart};
use orc_store::{Stored, WatchEnd, WatchEvent};
use serde_json::{Value, json};

use super::collection::{metadata_only, row, scope};
use super::conversion::Served;
use super::negotiate::{self, Form};
use super::query::Query;
use super::service::{ApiService, Call};
use super::{Body, BoxError, encode, respond};

/// How long a watch lasts when the client does not say: 30 minutes up to an hour, spread so that clients do not come
/// back all at once (kube-apiserver's `--min-request-timeout`).
const SHORTEST: u64 = 1800;

impl ApiService {
    pub(super) async fn watch(&self, mut call: Call, served: &Served) -> Result<Response<Body>, ApiError> {
        let form = negotiate::watch_form(call.request.headers())?;
        let encoding = negotiate::encoding(call.request.headers());
        let protobuf =
            encoding == negotiate::Encoding::Protobuf && form == Form::Object && served.body_message().is_some();
        let mut select = call.query.selection()?;
        served.accept_fields(&mut select.fields)?;
        if !call.info.name.is_empty() {
            select.fields = select.fields.and(FieldRequirement {
                field: "metadata.name".into(),
                equals: true,
                value: call.info.name.clone(),
            });
            call.info.name.clear();
        }
        super::options::list(&call.query, true)?;
        let initial = call.query.get("sendInitialEvents").map(|text| matches!(text, "true" | "1"));
        let start = match (initial, call.query.revision()?) {
            (Some(false), None) => WatchStart::Now,
            (Some(true), Some(at)) if at > Revision::ZERO => WatchStart::InitialAtLeast(at),
            (Some(true) | None, None | Some(Revision::ZERO)) => WatchStart::Initial,
            (_, Some(at)) => WatchStart::After(at),
        };
        let bookmarks = call.query.flag("allowWatchBookmarks");
        let options = WatchOptions { select, start, bookmarks };
        let stream = self.client(&call).watch(&scope(&call, served), &options).await?;
        let seconds = match call.query.timeout()? {
            Some(seconds) if seconds > 0 => seconds,
            _ => SHORTEST + self.config().registry.rng().below(SHORTEST),
        };
        let shape = Shape {
            form,
            served: Arc::new(served.clone()),
            query: call.query,
            clock: self.config().clock.clone(),
            marks: bookmarks,
            initial_mark: initial == Some(true),
            told_columns: false,
        };
        let timeout = self.config().clock.clone();
        let frames = frames(stream, shape)
            .take_until(Box::pin(async move { timeout.sleep(Duration::from_secs(seconds)).await }));
        let response = respond::json_stream(StreamBody::new(frames).boxed_unsync());
        Ok(if protobuf { encode::watch(response) } else { response })
    }
}

/// How a watch's events are written.
struct Shape {
    form: Form,
    served: Arc<Served>,
    query: Query,
    clock: orc_core::env::Clock,
    /// Whether the client wants bookmarks.
    marks: bool,
    /// Whether the bookmark that ends the initial state is to be sent.
    initial_mark: bool,
    /// Whether the column definitions were sent (they go with the first row only).
    told_columns: bool,
}

fn frames(
    stream: orc_store::WatchStream,
    shape: Shape,
) -> impl futures::Stream<Item = Result<Frame<Bytes>, BoxError>> + Send + 'static {
    futures::stream::unfold((stream, Some(shape)), |(mut stream, shape)| async move {
        let mut shape = shape?;
        loop {
            let (line, more) = match stream.next().await? {
                Ok(event) => match shape.line(&event) {
                    Ok(Some(line)) => (line, true),
                    Ok(None) => continue,
                    Err(error) => (error_line(&error), false),
                },
                Err(WatchEnd::Expired { asked, floor }) => {
                    (error_line(&ApiError::expired(format!("too old resource version: {asked} ({floor})"))), false)
                }
                Err(WatchEnd::Closed(_)) => return None,
            };
            return Some((Ok(Frame::data(line)), (stream, more.then_some(shape))));
        }
    })
}

fn error_line(error: &ApiError) -> Bytes {
    Bytes::from(format!("{}\n", json!({"type": "ERROR", "object": error.to_status()})))
}

impl Shape {
    fn line(&mut self, event: &WatchEvent) -> Result<Option<Bytes>, ApiError> {
        let (kind, object, at) = match event {
            WatchEvent::Added(now) => ("ADDED", now, None),
            WatchEvent::Modified { now, .. } => ("MODIFIED", now, None),
            WatchEvent::Removed { last, at, .. } => ("DELETED", last, Some(*at)),
            WatchEvent::Bookmark { at, initial_end } => return Ok(self.bookmark(*at, *initial_end)),
        };
        let mut line = Vec::with_capacity(object.body.len() + 128);
        line.extend_from_slice(format!("{{\"type\":\"{kind}\",\"object\":").as_bytes());
        self.object(&mut line, object, at)?;
        line.extend_from_slice(b"}\n");
        Ok(Some(Bytes::from(line)))
    }

    fn object(&mut self, line: &mut Vec<u8>, object: &Stored, at: Option<Revision>) -> Result<(), ApiError> {
        match self.form {
            Form::Object => self.served.present(object, at, true)?.iter().for_each(|part| line.extend_from_slice(part)),
            Form::Metadata => {
                line.extend_from_slice(metadata_only(object, at, "PartialObjectMetadata")?.to_string().as_bytes())
            }
            Form::Table => {
                let row = row(&self.served, object, at, &self.query, self.clock.now())?;
                let mut table = json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "rows": [row],
                    "metadata": {"resourceVersion": at.unwrap_or(object.revision).to_string()}});
                table["columnDefinitions"] =
                    if std::mem::replace(&mut self.told_columns, true) { Value::Null } else { self.served.columns() };
                line.extend_from_slice(table.to_string().as_bytes());
            }
        }
        Ok(())
    }

    fn bookmark(&self, at: Revision, initial_end: bool) -> Option<Bytes> {
        if !(self.marks || initial_end && self.initial_mark) {
            return None;
        }
        let (kind, api_version) = match self.form {
            Form::Object => (self.served.kind.clone(), self.served.api_version()),
            Form::Metadata => ("PartialObjectMetadata".to_owned(), "meta.k8s.io/v1".to_owned()),
            Form::Table => ("Table".to_owned(), "meta.k8s.io/v1".to_owned()),
        };
        let mut object =
            json!({"kind": kind, "apiVersion": api_version, "metadata": {"resourceVersion": at.to_string()}});
        if initial_end && self.initial_mark {
            object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        Some(Bytes::from(format!("{}\n", json!({"type": "BOOKMARK", "object": object}))))
    }
}
