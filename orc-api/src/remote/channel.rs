//! One HTTP/2 connection for all requests, opened when it is needed and again after it broke.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use orc_core::ApiError;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use super::connection::{Connection, refusal};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take; servers give up on requests after a minute at most.
const ANSWER: Duration = Duration::from_secs(60);
/// How often a silent connection is tested, and how long the test may take: watches are silent for long.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(15));

/// A way to a server for many requests at once.
pub(super) struct Channel {
    connection: Connection,
    tls: TlsConnector,
    sender: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

/// What is sent.
pub(super) struct Call {
    pub(super) method: Method,
    /// Path and query.
    pub(super) path: String,
    /// Media type and bytes.
    pub(super) body: Option<(&'static str, Bytes)>,
}

impl Channel {
    /// Nothing is sent yet.
    pub(super) fn new(connection: Connection) -> Self {
        let mut config = connection.tls.config().as_ref().clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self { connection, tls: TlsConnector::from(Arc::new(config)), sender: Mutex::default() }
    }

    /// The server's URL.
    pub(super) fn server(&self) -> &str {
        self.connection.server()
    }

    /// Sends a request and returns an answer that is a success.
    ///
    /// # Errors
    /// The server's Status. `ServiceUnavailable` when it cannot be reached; `Timeout` when a request was sent and not answered:
    /// it may have been served all the same.
    pub(super) async fn send(&self, call: Call) -> Result<Response<Incoming>, ApiError> {
        let mut sender = self.ready().await?;
        let request = self.request(call)?;
        let lost = |why: String| ApiError::timeout(format!("{}: the answer was lost: {why}", self.server()));
        let answer = match tokio::time::timeout(ANSWER, sender.send_request(request)).await {
            Ok(answer) => answer.map_err(|error| lost(error.to_string()))?,
            Err(late) => return Err(lost(late.to_string())),
        };
        if answer.status().is_success() {
            return Ok(answer);
        }
        let code = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.map_err(|error| lost(error.to_string()))?.to_bytes();
        Err(refusal(&bytes, code))
    }

    fn request(&self, call: Call) -> Result<Request<Full<Bytes>>, ApiError> {
        let mut request = Request::builder()
            .method(call.method)
            .uri(format!("{}{}", self.server().trim_end_matches('/'), call.path))
            .header(USER_AGENT, concat!("orc/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json");
        if let Some(token) = &self.connection.config.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let (kind, bytes) = call.body.unwrap_or(("application/json", Bytes::new()));
        request.header(CONTENT_TYPE, kind).body(Full::new(bytes)).map_err(ApiError::internal)
    }

    /// A connection that takes requests: the one that is there, or a new one.
    async fn ready(&self) -> Result<SendRequest<Full<Bytes>>, ApiError> {
        let mut kept = self.sender.lock().await;
        if let Some(sender) = kept.as_mut().filter(|sender| !sender.is_closed()) {
            let mut sender = sender.clone();
            drop(kept);
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
            kept = self.sender.lock().await;
            // Whoever came first has opened a new one.
            if let Some(sender) = kept.as_ref().filter(|sender| !sender.is_closed()) {
                return Ok(sender.clone());
            }
        }
        let unreachable =
            |why: String| ApiError::unavailable(format!("the server {} cannot be reached: {why}", self.server()));
        let opened = tokio::time::timeout(CONNECT, self.open()).await;
        let sender =
            opened.map_err(|late| unreachable(late.to_string()))?.map_err(|error| unreachable(error.to_string()))?;
        *kept = Some(sender.clone());
        Ok(sender)
    }

    async fn open(&self) -> std::io::Result<SendRequest<Full<Bytes>>> {
        let other = std::io::Error::other::<&str>;
        let host = self.connection.uri.host().ok_or_else(|| other("the server's URL has no host"))?.to_owned();
        let host = host.trim_matches(['[', ']']).to_owned();
        let stream = TcpStream::connect((host.as_str(), self.connection.uri.port_u16().unwrap_or(443))).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(host).map_err(std::io::Error::other)?;
        let stream = self.tls.connect(name, stream).await?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(other("it does not speak HTTP/2"));
        }
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(16 << 20)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
