//! The HTTPS client of webhooks: connections are kept and used again, answers are bounded, and nothing is locked while it
//! waits.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use orc_core::env::{Spawner, System};
use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::config::{Hook, Place};
use super::resolve::ServiceResolver;

/// The longest answer that is read, in bytes: what a request to the API may have.
const MAX_ANSWER: usize = 3 * 1024 * 1024;
/// Idle connections that are kept for one webhook; more are closed.
const MAX_IDLE: usize = 4;

type Sender = SendRequest<Full<Bytes>>;

/// Calls webhooks.
pub struct WebhookClient {
    resolver: Arc<dyn ServiceResolver>,
    spawn: Spawner,
    idle: Mutex<BTreeMap<(String, usize), Vec<Sender>>>,
}

/// The settings of connections whose server must be signed by a bundle (PEM). An empty bundle trusts nobody: the system's
/// authorities are not asked.
pub(super) fn tls(bundle: &[u8]) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle) {
        let certificate = certificate.map_err(|_| "unable to load root certificates: caBundle is not PEM")?;
        roots.add(certificate).map_err(|error| format!("unable to load root certificates: {error}"))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// Where one call goes.
struct Target {
    authority: String,
    host: String,
    port: u16,
    path: String,
}

impl WebhookClient {
    /// A client that finds Services by a resolver.
    pub fn new(resolver: Arc<dyn ServiceResolver>, system: &System) -> Self {
        Self { resolver, spawn: system.spawn.clone(), idle: Mutex::default() }
    }

    /// Posts a review and returns the answer's body. The caller bounds the time.
    ///
    /// # Errors
    /// A text that follows `failed to call webhook: `, as Go's client words it where it can.
    pub async fn post(&self, hook: &Hook, body: Bytes) -> Result<Bytes, String> {
        let target = target(hook)?;
        let url = format!("https://{}{}", target.authority, target.path);
        let failed = |why: String| format!("Post {url:?}: {why}");
        let kept = self.idle.lock().get_mut(&hook.order).and_then(Vec::pop).filter(Sender::is_ready);
        if let Some(sender) = kept {
            // The server may close an idle connection at any time: only then it is tried again on a new one.
            match self.send(hook, sender, &target, body.clone()).await {
                Err(Failure::Connection(_)) => {}
                Err(Failure::Answer(why)) => return Err(why),
                Ok(answer) => return Ok(answer),
            }
        }
        let sender = self.connect(hook, &target).await.map_err(failed)?;
        self.send(hook, sender, &target, body).await.map_err(|error| match error {
            Failure::Connection(why) => failed(why),
            Failure::Answer(why) => why,
        })
    }

    async fn connect(&self, hook: &Hook, target: &Target) -> Result<Sender, String> {
        let tls = hook.tls.clone()?;
        let stream = match &hook.place {
            Place::Service { namespace, name, port, .. } => {
                let address: SocketAddr = self.resolver.resolve(namespace, name, *port).await?;
                TcpStream::connect(address).await.map_err(|error| format!("dial tcp {address}: {error}"))?
            }
            Place::Url(_) => {
                let place = (target.host.trim_matches(['[', ']']), target.port);
                TcpStream::connect(place).await.map_err(|error| format!("dial tcp {}: {error}", target.authority))?
            }
        };
        let name = ServerName::try_from(target.host.trim_matches(['[', ']']).to_owned()).map_err(|e| e.to_string())?;
        let stream = TlsConnector::from(tls).connect(name, stream).await;
        let stream = stream.map_err(|error| format!("tls: failed to verify certificate: {error}"))?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        self.spawn.detach(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a webhook ended");
            }
        });
        Ok(sender)
    }

    async fn send(&self, hook: &Hook, mut sender: Sender, target: &Target, body: Bytes) -> Result<Bytes, Failure> {
        let request = Request::post(&target.path)
            .header(HOST, &target.authority)
            .header(USER_AGENT, concat!("orc/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json, */*")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| Failure::Answer(error.to_string()))?;
        let answer = sender.send_request(request).await.map_err(|error| Failure::Connection(error.to_string()))?;
        let status = answer.status();
        let bytes = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let bytes = bytes.map_err(|error| Failure::Answer(format!("reading the answer: {error}")))?.to_bytes();
        {
            let mut idle = self.idle.lock();
            let kept = idle.entry(hook.order.clone()).or_default();
            if kept.len() < MAX_IDLE {
                kept.push(sender);
            }
        }
        if status.is_success() { Ok(bytes) } else { Err(Failure::Answer(refused(status, &bytes))) }
    }

    /// Forgets the connections of a configuration's webhooks, which changed or went.
    pub fn forget(&self, configuration: &str) {
        self.idle.lock().retain(|(name, _), _| name != configuration);
    }
}

enum Failure {
    /// The connection broke before an answer came.
    Connection(String),
    /// There is an answer, and it is no use.
    Answer(String),
}

/// A status that is no success, as client-go words it.
fn refused(status: StatusCode, body: &[u8]) -> String {
    match status.as_u16() {
        404 => "the server could not find the requested resource".to_owned(),
        401 => "the server has asked for the client to provide credentials".to_owned(),
        403 => "unknown".to_owned(),
        500.. => {
            let text = String::from_utf8_lossy(&body[..body.len().min(2048)]).trim().to_owned();
            format!("an error on the server ({text:?}) has prevented the request from succeeding")
        }
        code => format!("the server responded with the status code {code} but did not return more information"),
    }
}

fn target(hook: &Hook) -> Result<Target, String> {
    let seconds = hook.timeout.as_secs();
    match &hook.place {
        Place::Service { namespace, name, port, path } => {
            let host = format!("{name}.{namespace}.svc");
            Ok(Target {
                authority: format!("{host}:{port}"),
                host,
                port: *port,
                path: format!("{path}?timeout={seconds}s"),
            })
        }
        Place::Url(url) => {
            let uri: Uri = url.parse().map_err(|error| format!("parse {url:?}: {error}"))?;
            let host = uri.host().ok_or_else(|| format!("parse {url:?}: no host"))?.to_owned();
            let port = uri.port_u16().unwrap_or(443);
            let path = match uri.path() {
                "" => "/",
                path => path,
            };
            let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
            Ok(Target { authority, host, port, path: format!("{path}?timeout={seconds}s") })
        }
    }
}
