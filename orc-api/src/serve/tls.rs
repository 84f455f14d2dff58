//! The TLS side of the listener.

use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::pki::Pki;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or key does not read.
    #[error("a certificate does not read")]
    Pem(#[source] rustls_pki_types::pem::Error),
    /// rustls refuses them.
    #[error("the certificates cannot be used for TLS")]
    Config(#[source] rustls::Error),
    /// No verifier can be made for client certificates.
    #[error("client certificates cannot be verified")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
}

/// An acceptor that shows the server's certificate and takes, but does not demand, client certificates of the cluster's CA.
///
/// # Errors
/// When the certificates do not read or do not fit.
pub fn acceptor(pki: &Pki) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let ca = CertificateDer::from_pem_slice(pki.ca.certificate.as_bytes()).map_err(TlsError::Pem)?;
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone()).map_err(TlsError::Config)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(TlsError::Verifier)?;
    let leaf = CertificateDer::from_pem_slice(pki.server.certificate.as_bytes()).map_err(TlsError::Pem)?;
    let key = PrivateKeyDer::from_pem_slice(pki.server.key.as_bytes()).map_err(TlsError::Pem)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Config)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![leaf, ca], key)
        .map_err(TlsError::Config)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
