//! Streams and webhooks: asked before a stream is opened, over the whole service, with a node that tells what it was asked.

use std::sync::Arc;

use async_trait::async_trait;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use orc_api::http::Body;
use orc_api::{ApiConfig, ApiService, Identity};
use orc_core::ApiError;
use orc_core::env::System;
use orc_store::dialer::BoxError;
use orc_store::{NodeDialer, NodeService};
use serde_json::{Value, json};

use crate::support::Server;
use crate::webhooks::{configure, in_force, start};

/// Answers every request with its path and query.
struct Echo;

#[async_trait]
impl NodeDialer for Echo {
    async fn dial(&self, _: &str) -> Result<NodeService, ApiError> {
        let echo = |request: Request<Body>| async move {
            let told = request.uri().to_string();
            Ok::<_, BoxError>(Response::new(Full::from(told).map_err(|never| match never {}).boxed_unsync()))
        };
        Ok(NodeService::new(tower::service_fn(echo)))
    }
}

async fn service(server: &Server) -> ApiService {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    server.create("serviceaccounts", account).await.unwrap();
    let containers = json!([{"name": "first", "image": "host"}, {"name": "second", "image": "host"}]);
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"nodeName": "n", "containers": containers}});
    server.create("pods", pod).await.unwrap();
    let (registry, clock) = (server.registry.clone(), System::real().clock);
    ApiService::new(ApiConfig {
        registry,
        tokens: Vec::new(),
        nodes: Arc::new(Echo),
        clock,
        extras: Default::default(),
    })
}

/// Runs a command in the pod; code and text of the answer.
async fn exec(service: &ApiService, query: &str) -> (u16, String) {
    let request = Request::post(format!("/api/v1/namespaces/d/pods/p/exec?{query}"))
        .header("connection", "Upgrade")
        .header("upgrade", "SPDY/3.1")
        .extension(Identity::admin());
    let empty = Full::default().map_err(|never| match never {}).boxed_unsync();
    let response = service.answer(request.body(empty).unwrap()).await;
    let code = response.status().as_u16();
    let text = response.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8(text.to_vec()).unwrap())
}

#[tokio::test]
async fn a_webhook_refuses_a_stream() {
    let (server, hooks, ca) = start().await;
    let service = service(&server).await;
    configure(&server, false, &ca, "/validate", "Fail").await;
    in_force(&server, &hooks).await;
    let allowed = exec(&service, "command=ls&container=first&stdout=1").await;
    assert_eq!(allowed, (200, "/exec/d/p/first?output=1&command=ls".to_owned()));
    let (code, text) = exec(&service, "command=rm&command=-rf&container=first").await;
    let status: Value = serde_json::from_str(&text).unwrap();
    let why = "admission webhook \"a.example.com\" denied the request: not this one";
    assert_eq!((code, status["message"].as_str()), (403, Some(why)));
}

#[tokio::test]
async fn a_webhook_changes_the_options_of_a_stream() {
    let (server, hooks, ca) = start().await;
    let service = service(&server).await;
    configure(&server, true, &ca, "/container", "Fail").await;
    in_force(&server, &hooks).await;
    let changed = exec(&service, "command=ls&command=a%20b&container=first&stdin=1").await;
    assert_eq!(changed, (200, "/exec/d/p/second?input=1&command=ls&command=a%20b".to_owned()));
}

#[tokio::test]
async fn options_that_a_webhook_breaks_open_nothing() {
    let (server, hooks, ca) = start().await;
    let service = service(&server).await;
    configure(&server, true, &ca, "/nonsense", "Fail").await;
    in_force(&server, &hooks).await;
    let (code, text) = exec(&service, "command=ls&container=first").await;
    assert!(code == 500 && text.contains("does not decode"), "{code} {text}");
}
