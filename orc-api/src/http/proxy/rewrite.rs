//! What changes in a request and its answer on their way through.

use http::header::{CONNECTION, HOST, HeaderName, HeaderValue, LOCATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Response, Uri};
use orc_core::ApiError;

use crate::http::Body;
use crate::http::connect::passed_on;

/// Headers between two neighbours only (RFC 9110, section 7.6.1).
const HOP: [HeaderName; 7] = [
    CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Cuts a path behind `/proxy`: what the API knows, and what the backend gets, each as it was written.
pub(in crate::http) fn split(path: &str) -> (&str, &str) {
    // `/api/v1/nodes/n/proxy`, or `/api/v1/namespaces/ns/pods/p/proxy`; `watch` was never part of a proxied path.
    let names = if path.trim_start_matches('/').starts_with("api/v1/namespaces/") { 7 } else { 5 };
    let mut slashes = path.match_indices('/').map(|(at, _)| at);
    match slashes.nth(names) {
        Some(at) => path.split_at(at),
        None => (path, ""),
    }
}

/// The client's headers as the backend gets them.
///
/// # Errors
/// 400 when the path cannot stand in a header.
pub(in crate::http) fn headers(
    headers: HeaderMap,
    whole: &str,
    host: &str,
    upgrade: bool,
) -> Result<HeaderMap, ApiError> {
    let length = headers.get(http::header::CONTENT_LENGTH).cloned();
    let upgrade_to = headers.get(UPGRADE).cloned().filter(|_| upgrade);
    let mut headers = passed_on(headers);
    HOP.iter().for_each(|name| {
        headers.remove(name);
    });
    if let Some(protocol) = upgrade_to {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, protocol);
    } else if let Some(length) = length {
        headers.insert(http::header::CONTENT_LENGTH, length);
    }
    let value = |text: &str| HeaderValue::from_str(text).map_err(|e| ApiError::bad_request(format!("{text:?}: {e}")));
    headers.insert("x-forwarded-uri", value(whole)?);
    if !host.is_empty() {
        headers.insert("x-forwarded-host", value(host)?);
        headers.insert(HOST, value(host)?);
    }
    headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
    Ok(headers)
}

/// Makes a redirection to the backend itself one through the proxy (`Transport.rewriteURL` of apimachinery's proxy).
pub(super) fn location(response: &mut Response<Body>, backend: &str, host: &str, prefix: &str) {
    let rewritten = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let rewritten = rewritten.and_then(|text| redirected(text, backend, host, prefix));
    if let Some(value) = rewritten.and_then(|text| HeaderValue::from_str(&text).ok()) {
        response.headers_mut().insert(LOCATION, value);
    }
}

/// `None`: it stays as it is, being relative, or somebody else's.
fn redirected(text: &str, backend: &str, host: &str, prefix: &str) -> Option<String> {
    let path = if text.starts_with('/') && !text.starts_with("//") {
        text.to_owned()
    } else {
        let uri: Uri = text.parse().ok()?;
        let authority = uri.authority()?.as_str();
        if authority != backend && authority != host {
            return None;
        }
        uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string)
    };
    if path.starts_with(prefix) {
        return Some(path);
    }
    Some(format!("{prefix}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cut_as_written() {
        let pod = "/api/v1/namespaces/d/pods/p:80/proxy";
        for rest in ["", "/", "/a/b", "//a%2Fb/", "/proxy/x"] {
            assert_eq!(split(&format!("{pod}{rest}")), (pod, rest));
        }
        assert_eq!(split("/api/v1/nodes/n/proxy/healthz"), ("/api/v1/nodes/n/proxy", "/healthz"));
    }

    #[test]
    fn redirections_stay_inside() {
        let through = |to| redirected(to, "10.0.0.1:80", "api:6443", "/p/proxy");
        assert_eq!(through("/login?x=1").as_deref(), Some("/p/proxy/login?x=1"));
        assert_eq!(through("http://10.0.0.1:80/a").as_deref(), Some("/p/proxy/a"));
        assert_eq!(through("https://api:6443/a").as_deref(), Some("/p/proxy/a"));
        assert_eq!(through("/p/proxy/b").as_deref(), Some("/p/proxy/b"));
        assert_eq!(through("https://example.com/a"), None);
        assert_eq!(through("//example.com/a"), None);
        assert_eq!(through("next"), None);
    }

    #[test]
    fn neighbours_headers_and_credentials_stay_here() {
        let mut given = HeaderMap::new();
        for (name, value) in
            [("authorization", "Bearer x"), ("connection", "keep-alive"), ("te", "trailers"), ("cookie", "a=b")]
        {
            given.insert(name, HeaderValue::from_static(value));
        }
        let got = headers(given, "/p/proxy/x", "api", false).unwrap();
        let mut names: Vec<&str> = got.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["cookie", "host", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-uri"]);
    }
}
