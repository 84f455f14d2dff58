//! GET over HTTP/1.1, with or without TLS. A status from 200 to 399 is good; redirects are followed on the same host only.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use orc_core::env::Clock;

use super::place::Place;
use super::{ANSWER_BYTES, Answer, target, tls, within};

/// Go's clients give up after as many.
const REDIRECTS: usize = 10;

/// An answer without what is not wanted of it.
struct Got {
    code: http::StatusCode,
    location: Option<String>,
    body: String,
}

/// A probe: [`get`] within a time.
pub(super) async fn probe(clock: &Clock, place: &Place, headers: &[(String, String)], limit: Duration) -> Answer {
    within(clock, limit, get(place, headers)).await.unwrap_or_else(|| {
        let url = place.url();
        Err(format!("Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"))
    })
}

/// Gets a place. A redirect to another host is not followed: that is success with a warning.
pub(super) async fn get(start: &Place, custom: &[(String, String)]) -> Answer {
    let headers = headers(custom)?;
    let mut place = start.clone();
    for _ in 0..REDIRECTS {
        let failed = |message: String| format!("Get {:?}: {message}", place.url());
        let got = once(&place, &headers).await.map_err(failed)?;
        let next = got.location.as_deref().and_then(|location| place.resolve(location));
        match next.filter(|_| is_redirect(got.code)) {
            Some(next) if next.host == start.host => place = next,
            _ => return judge(&got),
        }
    }
    Err(format!("Get {:?}: stopped after {REDIRECTS} redirects", place.url()))
}

fn is_redirect(code: http::StatusCode) -> bool {
    matches!(code.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn judge(got: &Got) -> Answer {
    match got.code {
        code if code.is_success() => Ok(None),
        code if code.is_redirection() => Ok(Some(format!("Probe terminated redirects, Response body: {}", got.body))),
        code => Err(format!("HTTP probe failed with statuscode: {}", code.as_u16())),
    }
}

/// The probe's own headers over the usual ones; an empty `Accept` takes that one away.
fn headers(custom: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut all = HeaderMap::new();
    for (name, value) in custom {
        let name: HeaderName = name.parse().map_err(|_| format!("invalid header field name {name:?}"))?;
        let value: HeaderValue =
            value.parse().map_err(|_| format!("invalid header field value for {:?}", name.as_str()))?;
        all.append(name, value);
    }
    if !all.contains_key(USER_AGENT) {
        all.insert(USER_AGENT, HeaderValue::from_static(super::USER_AGENT));
    }
    match all.get(ACCEPT) {
        None => drop(all.insert(ACCEPT, HeaderValue::from_static("*/*"))),
        Some(value) if value.is_empty() => drop(all.remove(ACCEPT)),
        Some(_) => {}
    }
    // The next probe makes its own connection: it asks whether one can be made.
    all.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(all)
}

async fn once(place: &Place, headers: &HeaderMap) -> Result<Got, String> {
    let stream = target::connect(&place.host, place.port).await?;
    if !place.tls {
        return exchange(TokioIo::new(stream), place, headers).await;
    }
    let stream = tls::wrap(stream, &place.host).await.map_err(|error| format!("tls: {}", target::words(&error)))?;
    exchange(TokioIo::new(stream), place, headers).await
}

async fn exchange<S>(stream: S, place: &Place, headers: &HeaderMap) -> Result<Got, String>
where
    S: Read + Write + Unpin + Send + 'static,
{
    let mut request = Request::get(&place.path).body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    request.headers_mut().clone_from(headers);
    if !headers.contains_key(HOST) {
        request.headers_mut().insert(HOST, place.authority.parse().map_err(|_| "invalid host".to_owned())?);
    }
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(|e| said(&e))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|e| said(&e))?;
        Ok(read(response).await)
    };
    tokio::pin!(connection, exchange);
    tokio::select! {
        biased;
        result = &mut exchange => result,
        ended = &mut connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(said(&error)),
        },
    }
}

/// Reads as much of the body as is wanted: to the end, if it is short, so that the server does not see a reset.
async fn read(response: Response<Incoming>) -> Got {
    let (head, mut body) = response.into_parts();
    let mut text: Vec<u8> = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        text.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        if text.len() >= ANSWER_BYTES {
            text.truncate(ANSWER_BYTES);
            break;
        }
    }
    let location = head.headers.get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Got { code: head.status, location, body: String::from_utf8_lossy(&text).into_owned() }
}

fn said(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        return "EOF".to_owned();
    }
    if error.is_parse() {
        return format!("net/http: HTTP/1.x transport connection broken: malformed HTTP response: {error}");
    }
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
