//! Webhooks, answered by a real HTTPS server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use orc_api::admission::webhook::ServiceResolver;
use orc_core::Doc;
use orc_core::env::System;
use orc_store::backend::MemoryBackend;
use orc_store::client::Intent;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::{Server, key, server, shown, until};

/// The webhook server's side.
#[derive(Default)]
pub(crate) struct Hooks {
    connections: AtomicUsize,
    calls: AtomicUsize,
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Denies what is labelled so and streams of `rm`, adds a label under `/mutate`, gives streams a container under `/container`
/// and something else under `/nonsense`, and says nothing useful under `/broken`.
fn respond(path: &str, review: &Value) -> Value {
    let request = &review["request"];
    let mut response = json!({"uid": request["uid"], "allowed": true, "warnings": ["seen"]});
    let object = if request["object"].is_null() { &request["oldObject"] } else { &request["object"] };
    match path {
        "/mutate" => {
            let patch = json!([{"op": "add", "path": "/metadata/labels/seen", "value": request["operation"]}]);
            response["patchType"] = json!("JSONPatch");
            response["patch"] = encode(patch.to_string()).into();
        }
        "/container" | "/nonsense" => {
            let value = if path == "/container" { json!("second") } else { json!(["second"]) };
            let patch = json!([{"op": "add", "path": "/container", "value": value}]);
            response["patchType"] = json!("JSONPatch");
            response["patch"] = encode(patch.to_string()).into();
        }
        "/broken" => response["uid"] = json!("another"),
        _ if object["metadata"]["labels"]["deny"] == "yes" || object["command"][0] == "rm" => {
            response["allowed"] = json!(false);
            response["status"] = json!({"message": "not this one", "reason": "Forbidden", "code": 403});
        }
        _ => {}
    }
    json!({"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response})
}

async fn answer(hooks: Arc<Hooks>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    hooks.calls.fetch_add(1, Ordering::SeqCst);
    assert_eq!(request.uri().query(), Some("timeout=5s"));
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    let review = serde_json::from_slice(&body).unwrap();
    Ok(Response::new(Full::new(respond(&path, &review).to_string().into())))
}

/// Serves on a port of this machine as `hook.d.svc`; returns the address and the certificate (PEM).
async fn serve(hooks: Arc<Hooks>) -> (SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(vec!["hook.d.svc".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, hooks) = (acceptor.clone(), hooks.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                hooks.connections.fetch_add(1, Ordering::SeqCst);
                let service = service_fn(move |request| answer(hooks.clone(), request));
                drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    (address, made.cert.pem())
}

struct At(SocketAddr);

#[async_trait]
impl ServiceResolver for At {
    async fn resolve(&self, namespace: &str, name: &str, port: u16) -> Result<SocketAddr, String> {
        assert_eq!((namespace, name, port), ("d", "hook", 443));
        Ok(self.0)
    }
}

pub(crate) async fn configure(server: &Server, mutating: bool, ca: &str, path: &str, policy: &str) {
    let rule = json!({"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps", "pods/exec"]});
    let service = json!({"namespace": "d", "name": "hook", "path": path});
    let hook = json!({"name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v2", "v1", "v1beta1"],
        "timeoutSeconds": 5, "failurePolicy": policy, "rules": [rule],
        "matchConditions": [{"name": "not-free", "expression": "request.name != 'free'"}],
        "clientConfig": {"caBundle": encode(ca), "service": service}});
    let kind = if mutating { "Mutating" } else { "Validating" };
    let object = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": format!("{kind}WebhookConfiguration"),
        "metadata": {"name": "w"}, "webhooks": [hook]});
    let resource = format!("{}webhookconfigurations.admissionregistration.k8s.io", kind.to_ascii_lowercase());
    server.create(&resource, object).await.unwrap();
}

pub(crate) async fn start() -> (Server, Arc<Hooks>, String) {
    let hooks = Arc::new(Hooks::default());
    let (address, ca) = serve(hooks.clone()).await;
    let server = server(Arc::new(MemoryBackend::new()), &System::real()).await;
    server.registry.resolve_services_with(Arc::new(At(address)));
    (server, hooks, ca)
}

fn config(name: &str, labels: Value) -> Intent {
    let metadata = json!({"name": name, "labels": labels});
    Intent::Create(Doc::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})).unwrap())
}

/// Waits until a configuration is in force: the webhook is called.
pub(crate) async fn in_force(server: &Server, hooks: &Hooks) {
    until(|| async {
        drop(server.write(key("configmaps", "probe"), config("probe", json!({})), true).await);
        hooks.calls.load(Ordering::SeqCst) > 0
    })
    .await;
}

#[tokio::test]
async fn a_validating_webhook_denies_and_warns() {
    let (server, hooks, ca) = start().await;
    configure(&server, false, &ca, "/validate", "Fail").await;
    in_force(&server, &hooks).await;
    let made = server.config("a", json!({}), json!({})).await.unwrap();
    assert_eq!(made.warnings, ["seen"]);
    let error = server.config("b", json!({"deny": "yes"}), json!({})).await.unwrap_err();
    let text = "admission webhook \"a.example.com\" denied the request: not this one";
    assert_eq!((error.code(), error.message()), (403, text));
    let before = hooks.calls.load(Ordering::SeqCst);
    server.config("free", json!({"deny": "yes"}), json!({})).await.unwrap();
    assert_eq!(hooks.calls.load(Ordering::SeqCst), before, "its match condition does not hold");
    // The deletion shows the webhook what was there.
    server.patch(key("configmaps", "free"), json!({"metadata": {"labels": {"deny": "yes"}}})).await.unwrap();
    server.delete("configmaps", "a").await.unwrap();
    assert_eq!(hooks.connections.load(Ordering::SeqCst), 1, "one connection serves call after call");
}

#[tokio::test]
async fn a_mutating_webhook_changes_what_is_stored() {
    let (server, hooks, ca) = start().await;
    configure(&server, true, &ca, "/mutate", "Fail").await;
    in_force(&server, &hooks).await;
    let made = shown(server.config("a", json!({"x": "y"}), json!({})).await.unwrap());
    assert_eq!(made["metadata"]["labels"], json!({"x": "y", "seen": "CREATE"}));
    server.patch(key("configmaps", "a"), json!({"data": {"k": "v"}})).await.unwrap();
    assert_eq!(server.get("configmaps", "a").await["metadata"]["labels"]["seen"], "UPDATE");
}

#[tokio::test]
async fn what_is_no_answer_fails_or_is_ignored() {
    for (policy, passes) in [("Fail", false), ("Ignore", true)] {
        let (server, hooks, ca) = start().await;
        configure(&server, false, &ca, "/broken", policy).await;
        in_force(&server, &hooks).await;
        let made = server.config("a", json!({}), json!({})).await;
        assert_eq!(made.is_ok(), passes);
        if let Err(error) = made {
            let text = "Internal error occurred: failed calling webhook \"a.example.com\": invalid admission response: expected response.uid=";
            assert!(error.message().starts_with(text), "{error}");
        }
    }
}

#[tokio::test]
async fn a_server_that_the_bundle_does_not_vouch_for_is_not_asked() {
    let (server, hooks, _) = start().await;
    let other = rcgen::generate_simple_self_signed(vec!["hook.d.svc".to_owned()]).unwrap().cert.pem();
    configure(&server, false, &other, "/validate", "Fail").await;
    until(|| async { server.write(key("configmaps", "probe"), config("probe", json!({})), true).await.is_err() }).await;
    let error = server.config("a", json!({}), json!({})).await.unwrap_err();
    let text = "failed to call webhook: Post \"https://hook.d.svc:443/validate?timeout=5s\": tls: failed to verify certificate: ";
    assert!(error.message().contains(text), "{error}");
    assert_eq!(hooks.calls.load(Ordering::SeqCst), 0);
}
