//! Where requests are counted, timed and written to the log.

use http::{Method, Request, Response};
use tracing::Level;

use super::Body;
use super::query::Query;
use super::request::RequestInfo;
use super::service::ApiService;
use crate::metrics::{Labels, Measured};

/// The media types of server-side apply.
const APPLY: &str = "application/apply-patch+";

/// A request on its way to an answer.
pub(super) struct Measure {
    measured: Measured,
    /// Method and path, where requests are logged. Never the query, which may hold a command's words or a token, nor headers.
    line: Option<(Method, String)>,
}

/// Whether each request has a line in the log.
pub(super) fn is_logged() -> bool {
    tracing::enabled!(Level::DEBUG)
}

impl ApiService {
    /// Begins to measure a request.
    pub(super) fn measure(&self, request: &Request<Body>, info: &RequestInfo, query: &Query) -> Measure {
        let media_type = request.headers().get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let applies = media_type.is_some_and(|media_type| media_type.starts_with(APPLY));
        let known = self.config().registry.catalogue();
        let labels = Labels::of(info, request.method(), applies, query.has("dryRun"), &known);
        let line = is_logged().then(|| (request.method().clone(), request.uri().path().to_owned()));
        Measure { measured: self.metrics().begin(labels), line }
    }
}

impl Measure {
    /// Ends with the answer that `user` gets.
    pub(super) fn answered(self, response: Response<Body>, user: &str) -> Response<Body> {
        let code = response.status().as_u16();
        let (response, seconds) = self.measured.answered(response);
        if let Some((method, path)) = self.line {
            tracing::debug!(%method, path, user, code, seconds, "a request was answered");
        }
        response
    }
}
