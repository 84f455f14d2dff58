//! Where requests meet the audit log.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use orc_core::ApiError;

use super::request::RequestInfo;
use super::service::ApiService;
use super::{Body, BoxError, body, respond};
use crate::audit::{Audit, Level, Record, Stage};
use crate::identity::Identity;
use crate::rbac::Attributes;

type Answer = Result<Response<Body>, ApiError>;

/// The record of one request until its last event is written. One that is dropped early (the client went, or answering
/// failed by a defect) writes that.
pub(super) struct Trail {
    audit: Arc<Audit>,
    record: Record,
    ended: bool,
    streams: bool,
}

impl ApiService {
    /// The record of a request, `None` where nothing is to be told.
    pub(super) fn trail(
        &self,
        request: &Request<Body>,
        asker: &Identity,
        acts_as: &Identity,
        info: &RequestInfo,
        asks: &Attributes<'_>,
    ) -> Option<Trail> {
        let audit = self.audit()?;
        let verdict = audit.policy.judge(acts_as, asks);
        if verdict.level == Level::None {
            return None;
        }
        let version = if let RequestInfo::Resource(info) = info { info.version.as_str() } else { "" };
        let other = (asker != acts_as).then_some(acts_as);
        let record = Record::new(verdict, request, asker, other, asks, version, &audit.system);
        let streams =
            asks.verb == "watch" || matches!(asks.subresource, "log" | "exec" | "attach" | "portforward" | "proxy");
        Some(Trail { audit: audit.clone(), record, ended: false, streams })
    }
}

impl Trail {
    /// Notes the decision on the request.
    pub(super) fn decided(&mut self, allowed: bool, reason: &str) {
        self.record.annotate("authorization.k8s.io/decision", if allowed { "allow" } else { "forbid" });
        self.record.annotate("authorization.k8s.io/reason", reason);
    }

    /// Adds what was found while the request was handled.
    pub(super) fn noted(&mut self, notes: &BTreeMap<String, String>) {
        notes.iter().for_each(|(key, value)| self.record.annotate(key, value));
    }

    /// Writes that the request came in, and reads its body where the policy wants that.
    ///
    /// # Errors
    /// As reading a body.
    pub(super) async fn received(&mut self, request: &mut Request<Body>) -> Result<(), ApiError> {
        self.write(Stage::RequestReceived).await;
        if self.record.level() < Level::Request || self.streams || request.body().is_end_stream() {
            return Ok(());
        }
        let taken = std::mem::replace(request.body_mut(), respond::full(Bytes::new()));
        let bytes = body::read(taken).await?;
        self.record.sent(&json(request.headers(), &bytes));
        *request.body_mut() = respond::full(bytes);
        Ok(())
    }

    /// Writes how the request was answered.
    pub(super) async fn answered(mut self, answer: Answer) -> Response<Body> {
        let mut response = answer.unwrap_or_else(|error| respond::failure(&error));
        if let Ok(id) = HeaderValue::from_str(self.record.id()) {
            response.headers_mut().insert("audit-id", id);
        }
        let code = response.status().as_u16();
        if self.streams && code < 400 {
            self.record.answered(code, None);
            self.write(Stage::ResponseStarted).await;
            return response.map(|inner| Ending { inner, _trail: self }.boxed_unsync());
        }
        let wanted = self.record.level() >= Level::RequestResponse || code >= 400;
        let mut body = None;
        if wanted {
            let (head, stream) = response.into_parts();
            // Our own answers are in memory already; this joins them.
            let bytes = stream.collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
            body = Some(json(&head.headers, &bytes));
            response = Response::from_parts(head, respond::full(bytes));
        }
        self.record.answered(code, body.as_deref());
        self.write(Stage::ResponseComplete).await;
        self.ended = true;
        response
    }

    async fn write(&self, stage: Stage) {
        if let Some(line) = self.record.line(stage, &self.audit.system) {
            self.audit.write(line).await;
        }
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        let stage = if std::thread::panicking() { Stage::Panic } else { Stage::ResponseComplete };
        if !self.ended
            && let Some(line) = self.record.line(stage, &self.audit.system)
        {
            self.audit.write_later(line);
        }
    }
}

/// A body as JSON where it is an object in another form.
fn json(headers: &HeaderMap, bytes: &Bytes) -> Vec<u8> {
    if bytes.first() == Some(&b'{') {
        return bytes.to_vec();
    }
    body::decode(headers, bytes, None).map(|decoded| decoded.doc.value().to_string().into_bytes()).unwrap_or_default()
}

/// A body whose end, whoever ends it, is written down.
struct Ending {
    inner: Body,
    _trail: Trail,
}

impl http_body::Body for Ending {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
