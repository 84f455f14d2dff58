//! A client of many requests over one HTTP/2 connection with TLS and a client certificate, as client-go uses one.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use orc_api::pki::Pki;
use orc_api::remote::Kubeconfig;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// One connection; clones share it.
#[derive(Clone)]
pub struct Http2 {
    sender: SendRequest<Full<Bytes>>,
    server: SocketAddr,
}

impl Http2 {
    /// Connects as the administrator of these certificates.
    ///
    /// # Errors
    /// As [`Http2::open`].
    pub async fn connect(server: SocketAddr, pki: &Pki) -> anyhow::Result<Self> {
        let client = (pki.admin.certificate.clone().into_bytes(), pki.admin.key.clone().into_bytes());
        let ca = pki.ca.certificate.clone().into_bytes();
        Self::open(server, &Kubeconfig { ca, client: Some(client), ..Kubeconfig::default() }).await
    }

    /// Connects as the client of a kubeconfig, which must have a certificate.
    ///
    /// # Errors
    /// When the server cannot be reached or does not speak HTTP/2.
    pub async fn open(server: SocketAddr, kubeconfig: &Kubeconfig) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&kubeconfig.ca)?)?;
        let (certificate, key) = kubeconfig.client.as_ref().context("the kubeconfig has no client certificate")?;
        let certificate = CertificateDer::from_pem_slice(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(server.ip().into());
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::spawn(connection);
        Ok(Self { sender, server })
    }

    /// Sends a request and waits for the head of the answer. The body is JSON; that of a PATCH is a merge patch.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        let mut sender = self.sender.clone();
        sender.ready().await?;
        let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.server))
            .header("accept", accept)
            .header("content-type", kind)
            .body(Full::new(body))?;
        sender.send_request(request).await.context("the connection broke")
    }
}
