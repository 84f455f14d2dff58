//! Connections, and requests that are bytes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use orc_api::testing::{ApiServer, Listening};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The longest that anything may take on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);
pub(crate) const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// Method, path, media type and body of a request, and the codes that may answer it.
pub(crate) type Case<'a> = (&'a str, &'a str, &'a str, &'a [u8], &'a [u16]);

/// A connection of the administrator's, with a protocol by ALPN.
pub(crate) async fn connect(to: &Listening, protocol: &[u8]) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(to.pki.ca.certificate.as_bytes()).unwrap()).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(to.pki.admin.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(to.pki.admin.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(to.address).await.unwrap();
    let name = ServerName::IpAddress(std::net::IpAddr::from([127, 0, 0, 1]).into());
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

pub(crate) async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, work).await.unwrap_or_else(|_| panic!("{what}: nothing happened"))
}

/// Sends bytes as they are, and reads until the server closes. What it said, and the status of the first answer.
pub(crate) async fn raw(to: &Listening, bytes: &[u8]) -> (u16, String) {
    let mut stream = connect(to, b"http/1.1").await;
    // The server may answer and close before it has read all.
    let _ = stream.write_all(bytes).await;
    let mut said = Vec::new();
    let _ = in_time("an answer", stream.read_to_end(&mut said)).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    (said.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0), said)
}

/// One request, and the body of its answer, which must be a Status where it is a failure.
pub(crate) async fn ask(to: &Listening, method: &str, path: &str, media: &str, body: &[u8]) -> (u16, Value) {
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: a\r\nContent-Type: {media}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let (code, said) = raw(to, &[head.as_bytes(), body].concat()).await;
    let text = said.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let text = text.get(text.find('{').unwrap_or(0)..=text.rfind('}').unwrap_or(0)).unwrap_or_default();
    (code, serde_json::from_str(text).unwrap_or(Value::Null))
}

pub(crate) async fn start() -> (ApiServer, Listening) {
    let server = ApiServer::start().await.unwrap();
    let listening = server.listen().await.unwrap();
    (server, listening)
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    in_time(what, async {
        while !is().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
