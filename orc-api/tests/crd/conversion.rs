//! Two versions that differ, converted by a real HTTPS server: `v1` has `spec.address` as `host:port`, `v2` has both apart.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use orc_core::env::System;
use orc_store::backend::MemoryBackend;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::{CRDS, Server, WIDGETS, definition, server, version, widget};

fn convert(mut object: Value, to: &str) -> Value {
    let spec = object["spec"].clone();
    let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
    object["apiVersion"] = to.into();
    object["spec"] = if to.ends_with("v2") {
        let address = text("address");
        let (host, port) = address.split_once(':').unwrap_or_default();
        json!({"host": host, "port": port})
    } else {
        json!({"address": format!("{}:{}", text("host"), text("port"))})
    };
    if text("host") == "thief" || text("address").starts_with("thief") {
        object["metadata"]["uid"] = "another".into();
    }
    object
}

async fn answer(calls: Arc<AtomicUsize>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    calls.fetch_add(1, Ordering::SeqCst);
    let review: Value = serde_json::from_slice(&request.into_body().collect().await?.to_bytes()).unwrap();
    let asked = &review["request"];
    let to = asked["desiredAPIVersion"].as_str().unwrap();
    let converted: Vec<Value> = asked["objects"].as_array().unwrap().iter().map(|o| convert(o.clone(), to)).collect();
    let response = json!({"uid": asked["uid"], "convertedObjects": converted, "result": {"status": "Success"}});
    let body = json!({"apiVersion": review["apiVersion"], "kind": "ConversionReview", "response": response});
    Ok(Response::new(Full::new(Bytes::from(body.to_string()))))
}

/// Serves on a port of this machine; returns the URL, the certificate and the number of calls.
async fn webhook() -> (String, String, Arc<AtomicUsize>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/convert", listener.local_addr().unwrap().port());
    let (acceptor, calls) = (TlsAcceptor::from(Arc::new(config)), Arc::new(AtomicUsize::new(0)));
    let counted = calls.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, calls) = (acceptor.clone(), counted.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(|request| answer(calls.clone(), request));
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (url, base64::engine::general_purpose::STANDARD.encode(made.cert.pem()), calls)
}

pub(crate) async fn set_up() -> (Server, Arc<AtomicUsize>) {
    let (url, ca, calls) = webhook().await;
    let one = server(Arc::new(MemoryBackend::new()), &System::real()).await;
    let text = json!({"type": "string"});
    let mut made = definition(json!([
        version("v1", true, json!({"address": text})),
        version("v2", false, json!({"host": text, "port": text})),
    ]));
    made["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {
        "clientConfig": {"url": url, "caBundle": ca}, "conversionReviewVersions": ["v1"]}});
    one.create("v1", CRDS, made).await.unwrap();
    one.established().await;
    (one, calls)
}

#[tokio::test]
async fn objects_are_read_and_written_in_any_version() {
    let (one, calls) = set_up().await;
    one.create("v1", WIDGETS, widget("v1", "a", json!({"address": "h:1"}))).await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 0, "what is in the stored version is not converted");
    let read = one.get("v2", WIDGETS, "a").await.unwrap();
    assert_eq!((&read["apiVersion"], &read["spec"]), (&json!("example.com/v2"), &json!({"host": "h", "port": "1"})));
    let made = one.create("v2", WIDGETS, widget("v2", "b", json!({"host": "i", "port": "2"}))).await.unwrap();
    assert_eq!(made["spec"], json!({"host": "i", "port": "2"}));
    assert_eq!(one.get("v1", WIDGETS, "b").await.unwrap()["spec"], json!({"address": "i:2"}));
    let patched = one.patch("v2", (WIDGETS, "b"), json!({"spec": {"port": "3"}})).await.unwrap();
    assert_eq!((&patched["spec"]["port"], &patched["metadata"]["generation"]), (&json!("3"), &json!(2)));
    let before = calls.load(Ordering::SeqCst);
    let all = one.list("v2", "").await.unwrap();
    assert_eq!(all.iter().map(|w| w["spec"]["port"].as_str().unwrap()).collect::<Vec<_>>(), ["1", "3"]);
    assert_eq!(calls.load(Ordering::SeqCst), before + 1, "a list is converted in one call");
    // Another storage version: objects move when they are written.
    let text = json!({"type": "string"});
    let versions = json!([
        version("v1", false, json!({"address": text})),
        version("v2", true, json!({"host": text, "port": text}))
    ]);
    let changed = one.patch("v1", (CRDS, WIDGETS), json!({"spec": {"versions": versions}})).await.unwrap();
    assert_eq!(changed["status"]["storedVersions"], json!(["v1", "v2"]));
    one.patch("v1", (WIDGETS, "a"), json!({"metadata": {"labels": {"x": "y"}}})).await.unwrap();
    let before = calls.load(Ordering::SeqCst);
    assert_eq!(one.get("v2", WIDGETS, "a").await.unwrap()["spec"]["host"], "h");
    assert_eq!(calls.load(Ordering::SeqCst), before);
}

#[tokio::test]
async fn a_webhook_may_not_make_another_object() {
    let (one, _) = set_up().await;
    one.create("v1", WIDGETS, widget("v1", "t", json!({"address": "thief:1"}))).await.unwrap();
    let error = one.get("v2", WIDGETS, "t").await.unwrap_err();
    let uid = one.get("v1", WIDGETS, "t").await.unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    let why = format!(
        "conversion webhook for example.com/v1, Kind=Widget returned invalid object: must have the same UID: {uid} != another"
    );
    assert_eq!((error.code(), error.message()), (500, why.as_str()));
}
