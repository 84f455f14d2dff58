//! The way to another API server: TLS with the front proxy's certificate, one connection a request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response};
use orc_core::ApiError;
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::route::{Behind, Place, Trust};
use crate::Identity;
use crate::admission::webhook::ServiceResolver;
use crate::http::{AnyCertificate, Body, exchange};
use crate::pki::Pair;

/// How long a connection may take, TLS included; kube-apiserver's dialer waits as long.
const CONNECT: Duration = Duration::from_secs(30);
/// TLS settings that are remembered, one a trust; more mean that bundles change, and all are made anew.
const MAX_SETTINGS: usize = 256;

/// What is escaped in a key of an extra, as part of a header's name: what is no token (`headerKeyEscape` of client-go).
const NO_TOKEN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'*')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// What the headers start with that tell who asks.
const REMOTE: &str = "x-remote-";

/// Connects.
pub(super) struct Connector {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    resolver: Arc<dyn ServiceResolver>,
    settings: Mutex<BTreeMap<Trust, Arc<ClientConfig>>>,
}

impl Connector {
    pub(super) fn new(certificate: Pair, resolver: Arc<dyn ServiceResolver>) -> Result<Self, ApiError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.certificate.as_bytes()).collect();
        let chain = chain.map_err(|error| ApiError::internal(format!("the front proxy's certificate: {error}")))?;
        let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes());
        let key = key.map_err(|error| ApiError::internal(format!("the front proxy's key: {error}")))?;
        Ok(Self { chain, key, resolver, settings: Mutex::default() })
    }

    /// Sends a request and returns the answer; that of an upgrade carries its connection.
    ///
    /// # Errors
    /// A text for people when there is no answer.
    pub(super) async fn send(&self, place: &Place, mut request: Request<Body>) -> Result<Response<Body>, String> {
        let behind = match place {
            Place::Here(api) => return Ok(api.clone().answer(request).await),
            Place::Service(behind) => behind,
        };
        let host = HeaderValue::from_str(&behind.host()).map_err(|error| error.to_string())?;
        request.headers_mut().insert(HOST, host);
        let stream = tokio::time::timeout(CONNECT, self.connect(behind)).await;
        let stream = stream.map_err(|_| format!("dial {}: i/o timeout", behind.host()))??;
        exchange(Box::new(stream), request).await.map_err(|error| error.to_string())
    }

    async fn connect(&self, behind: &Behind) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
        let config = self.settings(&behind.trust)?;
        let address = self.resolver.resolve(&behind.namespace, &behind.name, behind.port).await?;
        let failed = |error: std::io::Error| format!("dial tcp {address}: {error}");
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let name = ServerName::try_from(behind.host()).map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(config).connect(name, stream).await;
        stream.map_err(|error| format!("tls: failed to verify certificate: {error}"))
    }

    fn settings(&self, trust: &Trust) -> Result<Arc<ClientConfig>, String> {
        if let Some(made) = self.settings.lock().get(trust) {
            return Ok(made.clone());
        }
        let made = Arc::new(self.make_settings(trust)?);
        let mut all = self.settings.lock();
        if all.len() >= MAX_SETTINGS {
            all.clear();
        }
        all.insert(trust.clone(), made.clone());
        Ok(made)
    }

    fn make_settings(&self, trust: &Trust) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?;
        let builder = match trust {
            Trust::Anybody => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate::new(provider)))
            }
            Trust::Bundle(pem) => builder.with_root_certificates(roots(pem)?),
        };
        let config = builder.with_client_auth_cert(self.chain.clone(), self.key.clone_key());
        let mut config = config.map_err(|error| error.to_string())?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| "unable to load root certificates: caBundle is not PEM")?;
        roots.add(certificate).map_err(|error| format!("unable to load root certificates: {error}"))?;
    }
    if roots.is_empty() {
        return Err("the APIService has no caBundle, and the system's certificate authorities are not used".to_owned());
    }
    Ok(roots)
}

/// Says in the headers who asks, and takes away what the client said of itself.
///
/// # Errors
/// When a name cannot stand in a header.
pub(crate) fn identify(headers: &mut HeaderMap, who: &Identity) -> Result<(), ApiError> {
    let claimed = headers.keys().filter(|name| name.as_str().starts_with(REMOTE)).cloned();
    for name in claimed.collect::<Vec<_>>() {
        headers.remove(name);
    }
    headers.remove(AUTHORIZATION);
    let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).map_err(|e| ApiError::bad_request(e.to_string()));
    headers.insert("x-remote-user", value(&who.user)?);
    if !who.uid.is_empty() {
        headers.insert("x-remote-uid", value(&who.uid)?);
    }
    for group in &who.groups {
        headers.append("x-remote-group", value(group)?);
    }
    for (key, values) in &who.extra {
        let name = format!("{REMOTE}extra-{}", utf8_percent_encode(key, NO_TOKEN));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|e| ApiError::bad_request(e.to_string()))?;
        for text in values {
            headers.append(name.clone(), value(text)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_asker_is_told_and_claims_are_dropped() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("x-remote-user", "root"), ("x-remote-extra-a", "b"), ("authorization", "Bearer t"), ("accept", "x")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let mut who = Identity::user("ann", &["devs"]);
        who.uid = "7".to_owned();
        who.extra.insert("example.com/pod".to_owned(), vec!["p".to_owned(), "q".to_owned()]);
        identify(&mut headers, &who).unwrap();
        let all = |name: &str| headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!((all("x-remote-user"), all("x-remote-uid")), (vec!["ann"], vec!["7"]));
        assert_eq!(all("x-remote-group"), ["devs", "system:authenticated"]);
        assert_eq!(all("x-remote-extra-example.com%2fpod"), ["p", "q"]);
        assert_eq!((all("x-remote-extra-a"), all("authorization"), all("accept")), (vec![], vec![], vec!["x"]));
    }
}
