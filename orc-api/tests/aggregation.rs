//! APIServices: what is served here is listed as available, and what is not is refused clearly.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use orc_api::Identity;
use orc_api::testing::ApiServer;
use orc_core::env::Clock;
use serde_json::{Value, json};

async fn ask(server: &ApiServer, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let bytes = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let body = Full::new(bytes).map_err(|never| match never {}).boxed_unsync();
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let response = server.service().answer(request.extension(Identity::admin()).body(body).unwrap()).await;
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into()))
}

const PATH: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

#[tokio::test]
async fn what_is_served_here_is_available() {
    let server = ApiServer::start().await.unwrap();
    let admin = server.registry().client(Identity::admin(), "orc");
    for _ in 0..2 {
        orc_api::aggregation::ensure(&admin, &Clock::wall()).await.unwrap();
    }
    let (_, list) = ask(&server, "GET", PATH, &Value::Null).await;
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 21, "as many as a fresh kube-apiserver has");
    for item in items {
        assert_eq!(item["metadata"]["labels"]["kube-aggregator.kubernetes.io/automanaged"], "onstart");
        let condition = &item["status"]["conditions"][0];
        assert_eq!((&condition["status"], &condition["reason"]), (&json!("True"), &json!("Local")));
    }
    let (_, core) = ask(&server, "GET", &format!("{PATH}/v1."), &Value::Null).await;
    assert_eq!(core["spec"], json!({"version": "v1", "groupPriorityMinimum": 18000, "versionPriority": 1}));
    let (_, two) = ask(&server, "GET", &format!("{PATH}/v2.autoscaling"), &Value::Null).await;
    assert_eq!((&two["spec"]["groupPriorityMinimum"], &two["spec"]["versionPriority"]), (&json!(17500), &json!(30)));
}

#[tokio::test]
async fn what_another_server_would_serve_is_refused_clearly() {
    let server = ApiServer::start().await.unwrap();
    let (code, _) = ask(&server, "GET", "/apis/metrics.k8s.io/v1beta1/nodes", &Value::Null).await;
    assert_eq!(code, 404);
    let service = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {"group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": true, "service": {"namespace": "kube-system", "name": "metrics-server"}}});
    assert_eq!(ask(&server, "POST", PATH, &service).await.0, 201);
    let (code, status) = ask(&server, "GET", "/apis/metrics.k8s.io/v1beta1/nodes", &Value::Null).await;
    assert_eq!((code, &status["reason"]), (503, &json!("ServiceUnavailable")));
    assert!(status["message"].as_str().unwrap().contains("kube-system/metrics-server"), "{status}");
}

#[tokio::test]
async fn an_access_review_is_asked_with_its_field_selector() {
    let server = ApiServer::start().await.unwrap();
    let pods = |selector: Value| {
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
            "user": "system:node:n1", "groups": ["system:nodes", "system:authenticated"],
            "resourceAttributes": {"verb": "list", "version": "v1", "resource": "pods", "fieldSelector": selector}}})
    };
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let cases = [
        (Value::Null, false),
        (json!({"rawSelector": "spec.nodeName=n1"}), true),
        (json!({"rawSelector": "spec.nodeName=n2"}), false),
        (json!({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]}), true),
        (json!({"requirements": [{"key": "spec.nodeName", "operator": "NotIn", "values": ["n1"]}]}), false),
    ];
    for (selector, allowed) in cases {
        let (code, review) = ask(&server, "POST", path, &pods(selector.clone())).await;
        assert_eq!((code, &review["status"]["allowed"]), (201, &json!(allowed)), "{selector}: {review}");
    }
    let two = json!({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1", "n2"]}]});
    let (_, review) = ask(&server, "POST", path, &pods(two)).await;
    assert_eq!(review["status"]["allowed"], false);
    assert_eq!(review["status"]["evaluationError"], "fieldSelectors do not yet support multiple values");
}
