//! The connection to what is behind a proxied request: one a request, with TLS where the name asks for it.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use orc_core::ApiError;
use orc_store::dialer::{Duplex, Upgraded};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;

use crate::http::{Body, BoxError, respond};

/// How long a connection may take; kube-apiserver's dialer waits as long.
const CONNECT: Duration = Duration::from_secs(30);

/// With or without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Plain.
    Http,
    /// TLS. The certificate is not checked: a pod has none that anybody could know.
    Https,
}

impl Scheme {
    /// The port that the scheme implies.
    pub(super) fn port(self) -> &'static str {
        match self {
            Self::Http => "80",
            Self::Https => "443",
        }
    }
}

/// Sends a request and returns the answer; that of an upgrade carries its connection.
///
/// # Errors
/// 503 when the backend cannot be reached or breaks off.
pub(super) async fn send(scheme: Scheme, address: &str, request: Request<Body>) -> Result<Response<Body>, ApiError> {
    let unreachable = |error: &dyn std::fmt::Display| {
        ApiError::unavailable(format!("error trying to reach service: dial tcp {address}: {error}"))
    };
    let stream = tokio::time::timeout(CONNECT, connect(scheme, address)).await;
    let stream = stream.map_err(|_| unreachable(&"i/o timeout"))?.map_err(|error| unreachable(&error))?;
    let broken = |error: hyper::Error| ApiError::unavailable(format!("error trying to reach service: {error}"));
    exchange(stream, request).await.map_err(broken)
}

/// Sends a request over a connection of its own and returns the answer; that of an upgrade carries the connection.
///
/// # Errors
/// When the other side breaks off.
pub(crate) async fn exchange(stream: Box<dyn Duplex>, request: Request<Body>) -> Result<Response<Body>, hyper::Error> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the answer's body, or with the upgraded connection.
    tokio::spawn(connection.with_upgrades());
    let mut response = sender.send_request(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let upgraded = hyper::upgrade::on(&mut response).await?;
        let (mut head, _) = response.into_parts();
        head.extensions.insert(Upgraded::new(TokioIo::new(upgraded)));
        return Ok(Response::from_parts(head, respond::full(bytes::Bytes::new())));
    }
    for name in ["connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection"] {
        response.headers_mut().remove(name);
    }
    Ok(response.map(|body| body.map_err(BoxError::from).boxed_unsync()))
}

async fn connect(scheme: Scheme, address: &str) -> std::io::Result<Box<dyn Duplex>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    if scheme == Scheme::Http {
        return Ok(Box::new(stream));
    }
    let ip = stream.peer_addr()?.ip();
    let tls = tokio_rustls::TlsConnector::from(Arc::new(unchecked()));
    Ok(Box::new(tls.connect(ServerName::IpAddress(ip.into()), stream).await?))
}

fn unchecked() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("ring speaks every version of TLS that rustls has")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Takes every certificate; signatures must still be those of its key.
#[derive(Debug)]
pub(crate) struct AnyCertificate(Arc<CryptoProvider>);

impl AnyCertificate {
    /// Checks signatures by a provider's algorithms.
    pub(crate) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self(provider)
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
