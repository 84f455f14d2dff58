//! Requests that another API server answers: a small server with TLS, which asks for the front proxy's certificate.

mod server;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full, StreamBody};
use orc_api::aggregation::{Aggregator, AggregatorOptions, FrontProxy};
use orc_api::testing::ApiServer;
use orc_api::{ApiService, Identity};
use orc_core::env::{Clock, System};
use orc_store::dialer::{Body, Upgraded};
use serde_json::{Value, json};
use server::{At, Other};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

struct Cluster {
    service: ApiService,
    other: Other,
    _server: ApiServer,
}

impl Cluster {
    async fn start() -> Self {
        let server = ApiServer::start().await.unwrap();
        let front = FrontProxy::new(&Clock::wall()).unwrap();
        let other = Other::start(&front).await;
        let options =
            AggregatorOptions { certificate: front.client, resolver: Arc::new(At(other.address)), here: Vec::new() };
        let aggregator = Aggregator::start(server.registry(), options, &System::real()).await.unwrap();
        Self { service: server.service().clone().with_aggregator(aggregator), other, _server: server }
    }

    async fn send(&self, who: Identity, request: http::request::Builder, body: Body) -> http::Response<Body> {
        self.service.answer(request.extension(who).body(body).unwrap()).await
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let bytes = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        read(self.send(Identity::admin(), request, full(bytes)).await).await
    }

    async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, &Value::Null).await.1
    }

    /// Makes the Service and its endpoints.
    async fn endpoints(&self) {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "w"},
            "spec": {"ports": [{"name": "https", "port": 443}]}});
        assert_eq!(self.ask("POST", "/api/v1/namespaces/default/services", &service).await.0, 201);
        self.wait("EndpointsNotFound").await;
        let mut slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "w-1", "labels": {"kubernetes.io/service-name": "w"}},
            "ports": [{"name": "https", "port": 443}],
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": false}}]});
        let path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
        assert_eq!(self.ask("POST", path, &slice).await.0, 201);
        self.wait("MissingEndpoints").await;
        slice["endpoints"][0]["conditions"]["ready"] = json!(true);
        assert_eq!(self.ask("PUT", &format!("{path}/w-1"), &slice).await.0, 200);
    }

    async fn register(&self, trust: Value) {
        let mut object = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": "v1.w.example.com"}, "spec": {"group": "w.example.com", "version": "v1",
            "groupPriorityMinimum": 17_450, "versionPriority": 15, "service": {"namespace": "default", "name": "w"}}});
        for (field, value) in trust.as_object().unwrap() {
            object["spec"][field] = value.clone();
        }
        assert_eq!(self.ask("POST", SERVICES, &object).await.0, 201);
    }

    /// Waits until the condition has a reason, and returns its message.
    async fn wait(&self, reason: &str) -> String {
        let condition = async {
            loop {
                let found = self.get(&format!("{SERVICES}/v1.w.example.com")).await;
                if found["status"]["conditions"][0]["reason"] == reason {
                    return found["status"]["conditions"][0]["message"].as_str().unwrap().to_owned();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), condition).await.unwrap_or_else(|_| panic!("never {reason}"))
    }

    async fn available() -> Self {
        let cluster = Self::start().await;
        cluster.register(json!({"caBundle": cluster.other.bundle()})).await;
        cluster.wait("ServiceNotFound").await;
        cluster.endpoints().await;
        cluster.wait("Passed").await;
        cluster
    }
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

async fn read(response: http::Response<Body>) -> (u16, Value) {
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into()))
}

#[tokio::test]
async fn the_other_server_is_told_who_asks() {
    let cluster = Cluster::available().await;
    let mut who = Identity::user("ann", &["system:masters"]);
    who.uid = "u1".to_owned();
    who.extra.insert("example.com/a".to_owned(), vec!["1".to_owned(), "2".to_owned()]);
    let request = Request::post("/apis/w.example.com/v1/things?x=%20y")
        .header("x-remote-user", "root")
        .header("x-remote-extra-b", "c")
        .header("authorization", "Basic abc")
        .header("content-type", "application/json");
    let (code, seen) = read(cluster.send(who, request, full("{\"a\":1}")).await).await;
    assert_eq!(
        (code, &seen["method"], &seen["uri"]),
        (200, &json!("POST"), &json!("/apis/w.example.com/v1/things?x=%20y"))
    );
    assert_eq!((&seen["body"], &seen["certificate"]), (&json!("{\"a\":1}"), &json!(true)));
    let header = |name: &str| seen["headers"][name].clone();
    assert_eq!((header("x-remote-user"), header("x-remote-uid")), (json!(["ann"]), json!(["u1"])));
    assert_eq!(header("x-remote-group"), json!(["system:masters", "system:authenticated"]));
    assert_eq!(header("x-remote-extra-example.com%2fa"), json!(["1", "2"]));
    for gone in ["authorization", "x-remote-extra-b"] {
        assert_eq!(header(gone), Value::Null, "{gone}");
    }
    assert_eq!(header("host"), json!(["w.default.svc"]));
}

#[tokio::test]
async fn who_may_not_ask_does_not_reach_it() {
    let cluster = Cluster::available().await;
    let request = Request::get("/apis/w.example.com/v1/things");
    let (code, status) = read(cluster.send(Identity::user("bob", &[]), request, full("")).await).await;
    assert_eq!((code, &status["reason"]), (403, &json!("Forbidden")));
}

#[tokio::test]
async fn conditions_say_what_is_missing_and_requests_get_503() {
    let cluster = Cluster::start().await;
    cluster.register(json!({"insecureSkipTLSVerify": true})).await;
    assert_eq!(cluster.wait("ServiceNotFound").await, "service/w in \"default\" is not present");
    let (code, text) = cluster.ask("GET", "/apis/w.example.com/v1/things", &Value::Null).await;
    assert_eq!((code, text), (503, json!("service unavailable\n")));
    assert_eq!(cluster.ask("GET", "/apis/w.example.com/v1", &Value::Null).await.0, 503);
    let stale = aggregated(&cluster).await;
    assert_eq!(stale["versions"][0]["freshness"], "Stale");
    cluster.endpoints().await;
    cluster.wait("Passed").await;
    assert_eq!(cluster.ask("GET", "/apis/w.example.com/v1/things", &Value::Null).await.0, 200);
    cluster.other.fail(true);
    // A change of the Service has it checked at once.
    let patch = json!({"metadata": {"labels": {"a": "b"}}});
    let request =
        Request::patch("/api/v1/namespaces/default/services/w").header("content-type", "application/merge-patch+json");
    assert_eq!(cluster.send(Identity::admin(), request, full(patch.to_string())).await.status(), 200);
    let why = cluster.wait("FailedDiscoveryCheck").await;
    assert_eq!(
        why,
        "failing or missing response from https://w.default.svc:443/apis/w.example.com/v1: bad status from /apis/w.example.com/v1: 500"
    );
    let stale = aggregated(&cluster).await;
    assert_eq!(
        (&stale["versions"][0]["freshness"], &stale["versions"][0]["resources"][0]["resource"]),
        (&json!("Stale"), &json!("things"))
    );
    cluster.other.fail(false);
    cluster.wait("Passed").await;
}

#[tokio::test]
async fn a_server_with_another_certificate_is_not_trusted() {
    let cluster = Cluster::start().await;
    let stranger = FrontProxy::new(&Clock::wall()).unwrap().ca.certificate;
    cluster.register(json!({"caBundle": server::encode(stranger)})).await;
    cluster.wait("ServiceNotFound").await;
    cluster.endpoints().await;
    let why = cluster.wait("FailedDiscoveryCheck").await;
    assert!(why.contains("tls: failed to verify certificate"), "{why}");
}

async fn aggregated(cluster: &Cluster) -> Value {
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let request = Request::get("/apis").header("accept", accept);
    let (_, list) = read(cluster.send(Identity::admin(), request, full("")).await).await;
    let groups = list["items"].as_array().unwrap();
    groups.iter().find(|group| group["metadata"]["name"] == "w.example.com").unwrap().clone()
}

#[tokio::test]
async fn its_documents_stand_among_ours() {
    let cluster = Cluster::available().await;
    let entry = aggregated(&cluster).await;
    assert_eq!(entry["versions"][0]["freshness"], "Current");
    let thing = &entry["versions"][0]["resources"][0];
    assert_eq!(
        (&thing["resource"], &thing["scope"], &thing["subresources"][0]["subresource"]),
        (&json!("things"), &json!("Namespaced"), &json!("status"))
    );
    let groups = cluster.get("/apis").await;
    let names: Vec<&str> = groups["groups"].as_array().unwrap().iter().map(|g| g["name"].as_str().unwrap()).collect();
    let at = |name: &str| names.iter().position(|n| *n == name).unwrap();
    assert!(at("autoscaling") < at("w.example.com") && at("w.example.com") < at("batch"), "{names:?}");
    assert_eq!(cluster.get("/apis/w.example.com").await["preferredVersion"]["groupVersion"], "w.example.com/v1");
    assert_eq!(cluster.get("/apis/w.example.com/v1").await["resources"][0]["name"], "things");
    assert!(cluster.get("/").await["paths"].as_array().unwrap().contains(&json!("/apis/w.example.com/v1")));
    let index = cluster.get("/openapi/v3").await;
    let url = index["paths"]["apis/w.example.com/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    assert_eq!(cluster.get(&url).await["info"]["title"], "w");
    let swagger = cluster.get("/openapi/v2").await;
    assert_eq!(
        swagger["paths"]["/apis/w.example.com/v1/things"]["get"]["schema"]["$ref"],
        "#/definitions/com.example.w.v1.Thing"
    );
    assert!(swagger["definitions"]["com.example.w.v1.Thing"].is_object());
    assert!(swagger["paths"].get("/apis/other.example.com/v1/x").is_none());
    assert!(swagger["paths"]["/api/v1/namespaces/{namespace}/pods"].is_object());
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let cluster = Cluster::available().await;
    let (parts, receiver) = tokio::sync::mpsc::channel::<&str>(1);
    let frames = futures::stream::unfold(receiver, |mut receiver| async move {
        let text = receiver.recv().await?;
        Some((Ok(http_body::Frame::data(Bytes::from(text))), receiver))
    });
    let request = Request::post("/apis/w.example.com/v1/echo");
    let mut answer = cluster.send(Identity::admin(), request, StreamBody::new(frames).boxed_unsync()).await.into_body();
    for text in ["one", "two"] {
        parts.send(text).await.unwrap();
        // The answer to the first part comes before the second is sent.
        let frame = tokio::time::timeout(Duration::from_secs(10), answer.frame()).await.unwrap().unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), text);
    }
    drop(parts);
    assert!(answer.frame().await.is_none_or(|frame| frame.is_ok()));
}

#[tokio::test]
async fn upgrades_are_tunnelled() {
    let cluster = Cluster::available().await;
    let request =
        Request::get("/apis/w.example.com/v1/upgrade").header("connection", "Upgrade").header("upgrade", "echo");
    let answer = cluster.send(Identity::admin(), request, full("")).await;
    assert_eq!(answer.status(), 101);
    assert_eq!(answer.headers()["upgrade"], "echo");
    let mut stream = answer.extensions().get::<Upgraded>().unwrap().take().unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"hello");
}
