//! `pods/proxy`, `services/proxy` and `nodes/proxy`: a request passed on to what listens there.
//!
//! | module | holds |
//! |---|---|
//! | `location` | which address is meant |
//! | `rewrite` | paths, headers and redirections |
//! | `backend` | the connection |
//!
//! Unlike kube-apiserver this rewrites no links inside HTML pages, only `Location` headers: pages with relative links work.

mod backend;
mod location;
pub(super) mod rewrite;

use http::{Method, Request, Response, StatusCode};
use orc_core::ApiError;
use serde_json::Value;

pub(crate) use self::backend::{AnyCertificate, exchange};
use self::location::Location;
use super::connect::{is_upgrade, uri};
use super::service::{ApiService, Call};
use super::{Body, respond};

/// Whether a request is to be proxied.
pub(super) fn is_proxy(group: &str, resource: &str, subresource: &str) -> bool {
    group.is_empty() && matches!(resource, "pods" | "services" | "nodes") && subresource == "proxy"
}

impl ApiService {
    /// Passes a request on; to another path where admission changed the options.
    pub(super) async fn proxy(&self, call: Call, changed: Option<&Value>) -> Result<Response<Body>, ApiError> {
        let location = self.locator(&call).find().await?;
        let (prefix, path) = rewrite::split(call.request.uri().path());
        let path = changed.map_or(path, |options| options["path"].as_str().unwrap_or_default());
        let (prefix, path) = (prefix.to_owned(), path.to_owned());
        let query = call.request.uri().query().unwrap_or_default().to_owned();
        let upgrade = is_upgrade(call.request.headers());
        if path.is_empty() && !upgrade && matches!(*call.request.method(), Method::GET | Method::HEAD) {
            return Ok(to_root(&prefix, &query));
        }
        let path = if path.is_empty() { "/".to_owned() } else { path };
        let (mut head, body) = call.request.into_parts();
        let host = head.headers.get(http::header::HOST).and_then(|value| value.to_str().ok());
        let host = host.or_else(|| head.uri.authority().map(|a| a.as_str())).unwrap_or_default().to_owned();
        head.headers = rewrite::headers(head.headers, &format!("{prefix}{path}"), &host, upgrade)?;
        head.uri = uri(&path, &query)?;
        // A server behind us speaks HTTP/1.1, whatever the client does.
        head.version = http::Version::HTTP_11;
        let body = if upgrade { respond::full(bytes::Bytes::new()) } else { body };
        let mut request = Request::from_parts(head, body);
        request.extensions_mut().clear();
        let mut response = match &location {
            Location::Node(node) => self.ask_node(node, request).await?,
            Location::Address { scheme, address } => backend::send(*scheme, address, request).await?,
        };
        rewrite::location(&mut response, &location.authority(), &host, &prefix);
        Ok(response)
    }
}

/// A path without a slash at its end is a directory's name to a browser: it is sent to the directory.
fn to_root(prefix: &str, query: &str) -> Response<Body> {
    let mut response = Response::new(respond::full(bytes::Bytes::new()));
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let to = if query.is_empty() { format!("{prefix}/") } else { format!("{prefix}/?{query}") };
    if let Ok(value) = http::HeaderValue::from_str(&to) {
        response.headers_mut().insert(http::header::LOCATION, value);
    }
    response
}
