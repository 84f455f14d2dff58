//! The other API server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use base64::Engine as _;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use orc_api::admission::webhook::ServiceResolver;
use orc_api::aggregation::FrontProxy;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Finds every Service at one place.
pub(crate) struct At(pub(crate) SocketAddr);

#[async_trait]
impl ServiceResolver for At {
    async fn resolve(&self, namespace: &str, name: &str, port: u16) -> Result<SocketAddr, String> {
        assert_eq!((namespace, name, port), ("default", "w", 443));
        Ok(self.0)
    }
}

pub(crate) struct Other {
    pub(crate) address: SocketAddr,
    certificate: String,
    failing: Arc<AtomicBool>,
}

impl Other {
    /// Serves `w.default.svc` to whoever has a certificate of the front proxy.
    pub(crate) async fn start(front: &FrontProxy) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["w.default.svc".to_owned()]).unwrap();
        let acceptor = acceptor(&made, front);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, failing) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::default()));
        let fails = failing.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, fails) = (acceptor.clone(), fails.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let proven = stream.get_ref().1.peer_certificates().is_some();
                    let service = service_fn(move |request| answer(request, proven, fails.clone()));
                    let connection =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    drop(connection.with_upgrades().await);
                });
            }
        });
        Self { address, certificate: made.cert.pem(), failing }
    }

    pub(crate) fn bundle(&self) -> String {
        encode(&self.certificate)
    }

    /// Whether every request is answered with 500.
    pub(crate) fn fail(&self, fails: bool) {
        self.failing.store(fails, Ordering::SeqCst);
    }
}

fn acceptor(made: &rcgen::CertifiedKey<rcgen::KeyPair>, front: &FrontProxy) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(front.ca.certificate.as_bytes()).unwrap()).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![made.cert.der().clone()],
            PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

fn text(text: String) -> Answer {
    Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed())
}

async fn answer(request: Request<Incoming>, proven: bool, fails: Arc<AtomicBool>) -> Result<Answer, hyper::Error> {
    if fails.load(Ordering::SeqCst) {
        let mut answer = text(String::new());
        *answer.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        return Ok(answer);
    }
    match request.uri().path() {
        "/apis/w.example.com/v1" => Ok(text(discovery().to_string())),
        "/openapi/v3" => Ok(text(
            json!({"paths": {"apis/w.example.com/v1": {"serverRelativeURL": "/openapi/v3/apis/w.example.com/v1?hash=A"}}}).to_string(),
        )),
        "/openapi/v3/apis/w.example.com/v1" => Ok(text(json!({"openapi": "3.0.0", "info": {"title": "w"}}).to_string())),
        "/openapi/v2" => Ok(text(swagger().to_string())),
        "/apis/w.example.com/v1/echo" => Ok(Response::new(request.into_body().boxed())),
        "/apis/w.example.com/v1/upgrade" => Ok(upgrade(request)),
        _ => mirror(request, proven).await,
    }
}

fn discovery() -> Value {
    let things = json!({"name": "things", "singularName": "thing", "namespaced": true, "kind": "Thing", "verbs": ["get", "list"]});
    let status =
        json!({"name": "things/status", "singularName": "", "namespaced": true, "kind": "Thing", "verbs": ["get"]});
    json!({"kind": "APIResourceList", "groupVersion": "w.example.com/v1", "resources": [things, status]})
}

fn swagger() -> Value {
    let name = "com.example.w.v1.Thing";
    json!({"paths": {"/apis/w.example.com/v1/things": {"get": {"schema": {"$ref": format!("#/definitions/{name}")}}},
        "/apis/other.example.com/v1/x": {}}, "definitions": {name: {"type": "object"}}})
}

fn upgrade(request: Request<Incoming>) -> Answer {
    tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(request).await.unwrap();
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        drop(tokio::io::copy(&mut read, &mut write).await);
    });
    let mut answer = text(String::new());
    *answer.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
    answer.headers_mut().insert("connection", "upgrade".parse().unwrap());
    answer.headers_mut().insert("upgrade", "echo".parse().unwrap());
    answer
}

/// Says what came.
async fn mirror(request: Request<Incoming>, proven: bool) -> Result<Answer, hyper::Error> {
    let (head, body) = request.into_parts();
    let mut headers = Map::new();
    for (name, value) in &head.headers {
        let all = headers.entry(name.as_str()).or_insert_with(|| json!([]));
        all.as_array_mut().unwrap().push(value.to_str().unwrap().into());
    }
    let body = String::from_utf8(body.collect().await?.to_bytes().to_vec()).unwrap();
    Ok(text(
        json!({"method": head.method.as_str(), "uri": head.uri.to_string(), "headers": headers, "body": body, "certificate": proven})
            .to_string(),
    ))
}
