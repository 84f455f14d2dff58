//! What the front door answers: documents that clients keep, and streams that admission may refuse.

use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use orc_api::Identity;
use orc_api::http::Body;
use orc_api::testing::ApiServer;
use serde_json::{Value, json};
use tower::ServiceExt as _;

struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    body: bytes::Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

async fn ask(server: &ApiServer, method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
    let text = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let body: Body = Full::new(bytes::Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(body).unwrap();
    request.extensions_mut().insert(Identity::admin());
    let response = server.service().clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, body: response.into_body().collect().await.unwrap().to_bytes() }
}

async fn get(server: &ApiServer, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask(server, "GET", path, headers, Value::Null).await
}

#[tokio::test]
async fn documents_are_kept_by_their_marks() {
    let server = ApiServer::start().await.unwrap();
    let index = get(&server, "/openapi/v3", &[]).await;
    let paths = index.json()["paths"].as_object().unwrap().clone();
    for path in ["api", "api/v1", "apis", "apis/apps", "apis/apps/v1", "version"] {
        let url = paths[path]["serverRelativeURL"].as_str().unwrap();
        let document = get(&server, url, &[]).await;
        assert_eq!(document.status, 200, "{url}");
        assert_eq!(document.header("cache-control"), "public, immutable");
        assert_eq!(document.json()["openapi"], "3.0.0");
        let mark = document.header("etag");
        assert!(url.ends_with(&format!("?hash={}", mark.trim_matches('"'))), "{url} {mark}");
        let again = get(&server, &format!("/openapi/v3/{path}"), &[("if-none-match", mark)]).await;
        assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
    }
    let old = get(&server, "/openapi/v3/apis/apps/v1?hash=0", &[]).await;
    assert_eq!(old.status, StatusCode::MOVED_PERMANENTLY);
    assert_eq!(old.header("location"), paths["apis/apps/v1"]["serverRelativeURL"]);
    assert_eq!(get(&server, "/openapi/v3/apis/nope", &[]).await.status, 404);
    let form = ("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    let first = get(&server, "/apis", &[form]).await;
    let again = get(&server, "/apis", &[form, ("if-none-match", first.header("etag"))]).await;
    assert_eq!((first.status, again.status), (StatusCode::OK, StatusCode::NOT_MODIFIED));
}

#[tokio::test]
async fn a_new_definition_changes_its_documents_mark_only() {
    let server = ApiServer::start().await.unwrap();
    let marks = async || get(&server, "/openapi/v3", &[]).await.json()["paths"].clone();
    let before = marks().await;
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    assert_eq!(ask(&server, "POST", path, &[], definition).await.status, 201);
    let mut after = marks().await;
    while after["apis/example.com/v1"].is_null() {
        tokio::task::yield_now().await;
        after = marks().await;
    }
    assert_eq!(before["apis/apps/v1"], after["apis/apps/v1"]);
    let url = after["apis/example.com/v1"]["serverRelativeURL"].as_str().unwrap();
    let document = get(&server, url, &[]).await.json();
    let one = &document["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets"]["get"];
    assert_eq!(one["operationId"], "listComExampleV1NamespacedWidget");
    assert!(document["components"]["schemas"]["com.example.v1.Widget"]["properties"]["metadata"].is_object());
}

#[tokio::test]
async fn a_policy_refuses_streams() {
    let server = ApiServer::start().await.unwrap();
    let rule =
        json!({"operations": ["CONNECT"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["nodes/proxy"]});
    let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "p"}, "spec": {"matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "object.kind == 'NodeProxyOptions' && object.path != '/secret'",
            "message": "not there", "reason": "Forbidden"}]}});
    let binding = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}});
    let api = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic";
    assert_eq!(ask(&server, "POST", &format!("{api}ies"), &[], policy).await.status, 201);
    assert_eq!(ask(&server, "POST", &format!("{api}ybindings"), &[], binding).await.status, 201);
    let proxied = async |path: &str| get(&server, &format!("/api/v1/nodes/n/proxy{path}"), &[]).await;
    let mut refused = proxied("/secret").await;
    while refused.status != 403 {
        tokio::task::yield_now().await;
        refused = proxied("/secret").await;
    }
    let message = refused.json()["message"].as_str().unwrap().to_owned();
    assert_eq!(
        message,
        "nodes \"n\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: not there"
    );
    assert_ne!(proxied("/healthz").await.status, 403);
}

#[tokio::test]
async fn people_get_lines() {
    let server = ApiServer::start().await.unwrap();
    let lines = |answer: &Answer| serde_json::to_string_pretty(&answer.json()).unwrap().lines().count();
    for path in
        ["/api/v1/namespaces/default", "/api/v1/namespaces", "/api/v1/namespaces/none", "/apis/apps/v1", "/version"]
    {
        let plain = get(&server, path, &[]).await;
        let wanted = lines(&plain);
        let asks = [
            ("user-agent", "curl/8.5.0"),
            ("accept", "application/json;pretty=1"),
            ("user-agent", "Mozilla/5.0 (X11)"),
        ];
        for header in asks {
            let shown = get(&server, path, &[header]).await;
            let text = String::from_utf8(shown.body.to_vec()).unwrap();
            assert_eq!((text.lines().count(), shown.status), (wanted, plain.status), "{path} {header:?}: {text}");
            assert!(text.starts_with("{\n  \""), "{path}: {text}");
        }
        let shown = get(&server, &format!("{path}?pretty=true"), &[]).await;
        assert_eq!(String::from_utf8(shown.body.to_vec()).unwrap().lines().count(), wanted, "{path}");
        let told = get(&server, &format!("{path}?pretty=false"), &[asks[0]]).await;
        assert_eq!(told.body.len(), plain.body.len(), "{path}: the query is above the client's name");
    }
}
