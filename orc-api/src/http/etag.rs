//! Documents that clients keep: answered with their mark, and with 304 to a client that has it.
//!
//! Aggregated discovery and the OpenAPI documents are read at every start of a client, and change seldom.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, ETAG, EXPIRES, HeaderMap, HeaderValue, IF_NONE_MATCH, LOCATION, VARY};
use http::{Request, Response, StatusCode};

use super::{Body, respond};

/// The mark of a document: SHA-512 of its bytes in hexadecimal, as upstream's.
pub(super) fn mark(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA512, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
}

/// The mark as a header has it.
fn quoted(mark: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("\"{mark}\"")).ok()
}

/// Whether the client has this already: `If-None-Match` names it, weakly or not, or anything.
pub(super) fn has(headers: &HeaderMap, mark: &str) -> bool {
    let named = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    named
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one).trim_matches('"') == mark)
}

/// The answer with its mark; without its body for a client that has it.
pub(super) fn marked(request: &HeaderMap, mark: &str, answer: impl FnOnce() -> Response<Body>) -> Response<Body> {
    let mut response = match has(request, mark) {
        true => {
            let mut response = Response::new(respond::full(Bytes::new()));
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        false => answer(),
    };
    if let Some(mark) = quoted(mark) {
        response.headers_mut().insert(ETAG, mark);
    }
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    response
}

/// The mark that a request for a document names (`?hash=`).
pub(super) fn asked(request: &Request<Body>) -> Option<&str> {
    request.uri().query()?.split('&').find_map(|pair| pair.strip_prefix("hash=")).filter(|hash| !hash.is_empty())
}

/// What is named by its mark never changes: it may be kept for a year.
pub(super) fn immutable(mut response: Response<Body>, now: jiff::Timestamp) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
    let later = now.as_second() + 365 * 24 * 3600;
    let date = jiff::Timestamp::from_second(later).ok().map(|at| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    if let Some(date) = date.and_then(|date| HeaderValue::from_str(&date).ok()) {
        headers.insert(EXPIRES, date);
    }
    response
}

/// The document has another mark by now: where it is.
pub(super) fn moved(path: &str, mark: &str) -> Response<Body> {
    let mut response = Response::new(respond::full(Bytes::new()));
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(to) = HeaderValue::from_str(&format!("{path}?hash={mark}")) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_names_what_it_has() {
        let named = |value: &'static str| HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(value))]);
        assert!(has(&named("\"A\", W/\"B\""), "B"));
        assert!(has(&named("*"), "B"));
        assert!(!has(&named("\"A\""), "B"));
        assert!(!has(&HeaderMap::new(), "B"));
        let answer = marked(&named("\"B\""), "B", || respond::text(200, "body"));
        assert_eq!((answer.status().as_u16(), answer.headers()[ETAG].as_bytes()), (304, &b"\"B\""[..]));
        assert_eq!(marked(&HeaderMap::new(), "B", || respond::text(200, "body")).status(), 200);
    }

    #[test]
    fn a_year_is_written_as_http_writes_dates() {
        let response = immutable(respond::text(200, ""), "2026-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(response.headers()[EXPIRES], "Fri, 01 Jan 2027 00:00:00 GMT");
    }
}
