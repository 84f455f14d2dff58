//! Watches over HTTP: one event after another, flushed as it comes. What an event looks like to one kind of client is made once
//! and shared by all watches that show it (see [`Renditions`](super::renditions::Renditions)).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use orc_core::labels::FieldRequirement;
use orc_core::metrics::Counter;
use orc_core::schema::MessageRef;
use orc_core::{ApiError, Revision};
use orc_store::client::{ObjectClient as _, WatchOptions, WatchStart};
use orc_store::{Stored, WatchEnd, WatchEvent};
use serde_json::{Value, json};

use super::collection::{join, metadata_only, row, scope};
use super::conversion::Served;
use super::negotiate::{self, Form};
use super::query::Query;
use super::renditions::{Rendition, Renditions};
use super::service::{ApiService, Call};
use super::{Body, BoxError, encode, respond};

/// How long a watch lasts when the client does not say: 30 minutes up to an hour, spread so that clients do not come
/// back all at once (kube-apiserver's `--min-request-timeout`).
const SHORTEST: u64 = 1800;

impl ApiService {
    pub(super) async fn watch(&self, mut call: Call, served: &Served) -> Result<Response<Body>, ApiError> {
        let form = negotiate::watch_form(call.request.headers())?;
        let encoding = negotiate::encoding(call.request.headers());
        let protobuf = match (encoding, form) {
            (negotiate::Encoding::Protobuf, Form::Object) => served.body_message(),
            _ => None,
        };
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
        let stream = match start {
            WatchStart::After(asked) if asked < self.born() => {
                futures::stream::iter([Err(WatchEnd::Expired { asked, floor: self.born() })]).boxed()
            }
            _ => self.client(&call).watch(&scope(&call, served), &options).await?,
        };
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
            protobuf,
            renditions: self.renditions().clone(),
            told: self.metrics().events(&served.group, &served.version, &served.kind),
            since: self.config().registry.store().current(),
        };
        let timeout = self.config().clock.clone();
        let frames = frames(stream, shape)
            .take_until(Box::pin(async move { timeout.sleep(Duration::from_secs(seconds)).await }));
        let mut response = respond::json_stream(StreamBody::new(frames).boxed_unsync());
        if protobuf.is_some() {
            response.headers_mut().insert(http::header::CONTENT_TYPE, encode::WATCH);
        }
        Ok(response)
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
    /// The message of the objects, where the client wants protobuf.
    protobuf: Option<MessageRef>,
    renditions: Arc<Renditions>,
    told: Arc<Counter>,
    /// Later events are news that other watches show as well; what came before is this watch's own beginning.
    since: Revision,
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
                    Ok(Some(line)) => {
                        shape.told.inc();
                        (line, true)
                    }
                    Ok(None) => continue,
                    Err(error) => (shape.error_line(&error)?, false),
                },
                Err(WatchEnd::Expired { asked, floor }) => {
                    let error = ApiError::expired(format!("too old resource version: {asked} ({floor})"));
                    (shape.error_line(&error)?, false)
                }
                Err(WatchEnd::Closed(_)) => return None,
            };
            return Some((Ok(Frame::data(line)), (stream, more.then_some(shape))));
        }
    })
}

impl Shape {
    /// The last line of a watch that fails; `None` when even that cannot be written.
    fn error_line(&self, error: &ApiError) -> Option<Bytes> {
        self.few(format!("{}\n", json!({"type": "ERROR", "object": error.to_status()}))).ok()
    }

    /// A line that is written seldom, in the client's encoding.
    fn few(&self, line: String) -> Result<Bytes, ApiError> {
        match self.protobuf {
            Some(_) => encode::event_of_line(line.as_bytes()),
            None => Ok(line.into()),
        }
    }

    fn line(&mut self, event: &WatchEvent) -> Result<Option<Bytes>, ApiError> {
        let (kind, object, at) = match event {
            WatchEvent::Added(now) => ("ADDED", now, None),
            WatchEvent::Modified { now, .. } => ("MODIFIED", now, None),
            WatchEvent::Removed { last, at, .. } => ("DELETED", last, Some(*at)),
            WatchEvent::Bookmark { at, initial_end } => {
                let mark = self.bookmark(*at, *initial_end);
                return mark.map(|line| self.few(line)).transpose();
            }
        };
        if self.form == Form::Table {
            // Rows hold ages, and depend on what the client asked for.
            return self.row(kind, object, at).map(Some);
        }
        let revision = at.unwrap_or(object.revision);
        if revision <= self.since {
            return self.render(kind, object, at).map(Some);
        }
        let of = Rendition {
            revision,
            event: kind,
            version: self.served.api_version(),
            metadata: self.form == Form::Metadata,
            protobuf: self.protobuf.is_some(),
            object: object.key.clone(),
        };
        self.renditions.get(of, || self.render(kind, object, at)).map(Some)
    }

    /// An event that looks the same to every client that asked in this form, version and encoding.
    fn render(&self, kind: &'static str, object: &Stored, at: Option<Revision>) -> Result<Bytes, ApiError> {
        if let Some(message) = self.protobuf {
            let text = join(self.served.present(object, at, true)?);
            return encode::event(kind, &self.served.api_version(), &self.served.kind, message, &text);
        }
        let parts = match self.form {
            Form::Metadata => vec![metadata_only(object, at, "PartialObjectMetadata")?],
            Form::Object | Form::Table => self.served.present(object, at, true)?,
        };
        Ok(json_line(kind, &parts))
    }

    fn row(&mut self, kind: &str, object: &Stored, at: Option<Revision>) -> Result<Bytes, ApiError> {
        let row = row(&self.served, object, at, &self.query, self.clock.now())?;
        let columns = if std::mem::replace(&mut self.told_columns, true) { Value::Null } else { self.served.columns() };
        let mut head = json!({
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "columnDefinitions": columns,
            "metadata": {"resourceVersion": at.unwrap_or(object.revision).to_string()},
        })
        .to_string();
        head.pop();
        head.push_str(",\"rows\":[");
        Ok(json_line(kind, &[head.into(), row, Bytes::from_static(b"]}")]))
    }

    fn bookmark(&self, at: Revision, initial_end: bool) -> Option<String> {
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
        Some(format!("{}\n", json!({"type": "BOOKMARK", "object": object})))
    }
}

/// An event with the pieces of its object.
fn json_line(kind: &str, object: &[Bytes]) -> Bytes {
    let mut line = Vec::with_capacity(object.iter().map(Bytes::len).sum::<usize>() + 40);
    line.extend_from_slice(format!("{{\"type\":\"{kind}\",\"object\":").as_bytes());
    object.iter().for_each(|part| line.extend_from_slice(part));
    line.extend_from_slice(b"}\n");
    line.into()
}
