//! Which protocol a request for an upgrade gets, and the head of the answer.

use http::header::{CONNECTION, HeaderName, HeaderValue, UPGRADE};
use http::{HeaderMap, Response, StatusCode};
use orc_core::{ApiError, Reason};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const SOCKET_PROTOCOL: HeaderName = HeaderName::from_static("sec-websocket-protocol");
const SOCKET_VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");
const SOCKET_KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const SOCKET_ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// exec and attach.
    Remote,
    /// port-forward.
    Forward,
}

/// What is spoken after the upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// WebSocket messages whose first byte names a channel.
    Channels {
        /// Messages are text: a digit, then base64.
        base64: bool,
        /// `remotecommand`'s version: from 4 on the end is told as a `Status`, from 5 on a channel can be closed.
        version: u8,
    },
    /// SPDY/3.1, with the version as above.
    Spdy {
        /// `remotecommand`'s version.
        version: u8,
    },
    /// SPDY/3.1 inside WebSocket messages.
    Tunnel,
}

type Known = (&'static str, Protocol);

const REMOTE_SPDY: [Known; 5] = [
    ("v5.channel.k8s.io", Protocol::Spdy { version: 5 }),
    ("v4.channel.k8s.io", Protocol::Spdy { version: 4 }),
    ("v3.channel.k8s.io", Protocol::Spdy { version: 3 }),
    ("v2.channel.k8s.io", Protocol::Spdy { version: 2 }),
    ("channel.k8s.io", Protocol::Spdy { version: 1 }),
];
const REMOTE_SOCKET: [Known; 5] = [
    ("v5.channel.k8s.io", Protocol::Channels { base64: false, version: 5 }),
    ("v4.channel.k8s.io", Protocol::Channels { base64: false, version: 4 }),
    ("v4.base64.channel.k8s.io", Protocol::Channels { base64: true, version: 4 }),
    ("channel.k8s.io", Protocol::Channels { base64: false, version: 1 }),
    ("base64.channel.k8s.io", Protocol::Channels { base64: true, version: 1 }),
];
const FORWARD_SPDY: [Known; 1] = [("portforward.k8s.io", Protocol::Spdy { version: 1 })];
const FORWARD_SOCKET: [Known; 3] = [
    ("SPDY/3.1+portforward.k8s.io", Protocol::Tunnel),
    ("v4.channel.k8s.io", Protocol::Channels { base64: false, version: 4 }),
    ("v4.base64.channel.k8s.io", Protocol::Channels { base64: true, version: 4 }),
];

/// Chooses the first protocol of the client's that is known, and makes the answer with status 101.
///
/// # Errors
/// 400 for a request that asks for no upgrade or a broken one, 403 when no protocol of the client's is known (as
/// `httpstream.Handshake` answers).
pub(crate) fn negotiate(headers: &HeaderMap, purpose: Purpose) -> Result<(Protocol, Response<()>), ApiError> {
    if !listed(headers, &CONNECTION).iter().any(|token| token.eq_ignore_ascii_case("upgrade")) {
        return Err(ApiError::bad_request("Upgrade request required"));
    }
    let wanted = listed(headers, &UPGRADE);
    let asks = |name: &str| wanted.iter().any(|token| token.eq_ignore_ascii_case(name));
    if asks("websocket") {
        socket(headers, if purpose == Purpose::Remote { &REMOTE_SOCKET } else { &FORWARD_SOCKET })
    } else if asks("SPDY/3.1") {
        spdy(headers, if purpose == Purpose::Remote { &REMOTE_SPDY } else { &FORWARD_SPDY })
    } else {
        Err(ApiError::bad_request("unable to upgrade: the request asks neither for websocket nor for SPDY/3.1"))
    }
}

fn spdy(headers: &HeaderMap, known: &[Known]) -> Result<(Protocol, Response<()>), ApiError> {
    let offered = listed(headers, &STREAM_PROTOCOL);
    let mut response = switching("SPDY/3.1");
    // A client that names no version is an old one: it speaks the first.
    let Some((name, protocol)) = choose(&offered, known)? else { return Ok((Protocol::Spdy { version: 1 }, response)) };
    response.headers_mut().insert(STREAM_PROTOCOL, HeaderValue::from_static(name));
    Ok((protocol, response))
}

fn socket(headers: &HeaderMap, known: &[Known]) -> Result<(Protocol, Response<()>), ApiError> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if text(&SOCKET_VERSION) != Some("13") {
        return Err(ApiError::bad_request("unable to upgrade: Sec-WebSocket-Version must be 13"));
    }
    let Some(key) = headers.get(&SOCKET_KEY) else {
        return Err(ApiError::bad_request("unable to upgrade: Sec-WebSocket-Key is missing"));
    };
    let mut response = switching("websocket");
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(ApiError::internal)?;
    response.headers_mut().insert(SOCKET_ACCEPT, accept);
    let offered: Vec<String> =
        listed(headers, &SOCKET_PROTOCOL).into_iter().filter(|name| !is_credential(name)).collect();
    let Some((name, protocol)) = choose(&offered, known)? else {
        // Without a name: binary channels, as `wsstream` serves its protocol "".
        let version = if std::ptr::eq(known, REMOTE_SOCKET.as_slice()) { 1 } else { 4 };
        return Ok((Protocol::Channels { base64: false, version }, response));
    };
    response.headers_mut().insert(SOCKET_PROTOCOL, HeaderValue::from_static(name));
    Ok((protocol, response))
}

/// Browsers, which cannot set headers, carry their token as a sub-protocol.
fn is_credential(name: &str) -> bool {
    name.starts_with("base64url.bearer.authorization.k8s.io.")
}

/// The first offered protocol that is known; `None` when nothing is offered.
fn choose(offered: &[String], known: &[Known]) -> Result<Option<Known>, ApiError> {
    if offered.is_empty() {
        return Ok(None);
    }
    let found = offered.iter().find_map(|name| known.iter().find(|(text, _)| text == name));
    found.copied().map(Some).ok_or_else(|| {
        let accepts: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let message = format!(
            "unable to upgrade: unable to negotiate protocol: client supports {offered:?}, server accepts {accepts:?}"
        );
        ApiError::new(Reason::Forbidden, message)
    })
}

fn switching(to: &'static str) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static(to));
    response
}

/// The parts of a header that may be repeated and hold several, separated by commas.
fn listed(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|text| text.split(',')).map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}
