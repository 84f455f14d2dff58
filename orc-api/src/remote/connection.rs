//! One request, one connection: what a command line tool needs.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use orc_core::ApiError;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Kubeconfig;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A kubeconfig does not say what is needed.
    #[error("{path}: {why}")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is missing.
        why: String,
    },
    /// The server's URL or a certificate does not read.
    #[error("the kubeconfig's {0} does not read")]
    Setup(&'static str),
    /// The server cannot be reached.
    #[error("the server {server} cannot be reached: {source}; is the cluster running? (`orc up`)")]
    Unreachable {
        /// Its URL.
        server: String,
        /// Why.
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("the connection to the server broke")]
    Broken(#[source] hyper::Error),
    /// The server refused.
    #[error("{0}")]
    Refused(ApiError),
}

/// A way to a server.
pub struct Connection {
    pub(super) config: Kubeconfig,
    pub(super) tls: TlsConnector,
    pub(super) uri: Uri,
}

impl Connection {
    /// Prepares the way; nothing is sent yet.
    ///
    /// # Errors
    /// When the kubeconfig's URL or certificates do not read.
    pub fn new(config: Kubeconfig) -> Result<Self, RemoteError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&config.ca) {
            roots.add(certificate.map_err(|_| setup("CA"))?).map_err(|_| setup("CA"))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| setup("TLS settings"))?
            .with_root_certificates(roots);
        let tls = match &config.client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| setup("client key"))?;
                let chain = chain.map_err(|_| setup("client certificate"))?;
                builder.with_client_auth_cert(chain, key).map_err(|_| setup("client certificate"))?
            }
        };
        let uri: Uri = config.server.parse().map_err(|_| setup("server URL"))?;
        Ok(Self { config, tls: TlsConnector::from(Arc::new(tls)), uri })
    }

    /// The server's URL.
    pub fn server(&self) -> &str {
        &self.config.server
    }

    /// The namespace of the current context.
    pub fn namespace(&self) -> &str {
        &self.config.namespace
    }

    /// Sends a request and returns the answer if it is a success.
    ///
    /// # Errors
    /// [`RemoteError::Refused`] with the server's Status; others when there is no answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<(&str, Bytes)>,
    ) -> Result<Response<Incoming>, RemoteError> {
        let host = self.uri.host().ok_or_else(|| setup("server URL"))?.to_owned();
        let port = self.uri.port_u16().unwrap_or(443);
        let unreachable = |source| RemoteError::Unreachable { server: self.config.server.clone(), source };
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await.map_err(unreachable)?;
        let name = ServerName::try_from(host.clone()).map_err(|_| setup("server URL"))?;
        let stream = self.tls.connect(name, stream).await.map_err(unreachable)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(RemoteError::Broken)?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, format!("{host}:{port}"))
            .header(USER_AGENT, concat!("orc/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, accept);
        if let Some(token) = &self.config.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let (kind, bytes) = body.unwrap_or(("application/json", Bytes::new()));
        let request = request.header(CONTENT_TYPE, kind).body(Full::new(bytes)).map_err(|_| setup("request"))?;
        let answer = sender.send_request(request).await.map_err(RemoteError::Broken)?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let code = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.map_err(RemoteError::Broken)?.to_bytes();
        Err(RemoteError::Refused(refusal(&bytes, code)))
    }
}

pub(super) fn refusal(bytes: &[u8], code: u16) -> ApiError {
    match serde_json::from_slice(bytes) {
        Ok(status) => ApiError::from_status(&status, code),
        Err(_) => ApiError::new(orc_core::Reason::Unknown, String::from_utf8_lossy(bytes)).with_code(code),
    }
}

fn setup(what: &'static str) -> RemoteError {
    RemoteError::Setup(what)
}
