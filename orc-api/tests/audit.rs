//! The audit log of a service: what a policy asks for is written, in order, and nothing else; tokens never are.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use orc_api::audit::{Audit, Log, LogConfig, Policy};
use orc_api::bootstrap::{self, ApiEndpoint};
use orc_api::http::Body;
use orc_api::identity::service_account::{ServiceAccountTokens, Signer};
use orc_api::{ApiConfig, ApiService, Identity, Registry, RegistryOptions, pki};
use orc_core::ApiError;
use orc_core::env::System;
use orc_store::{NodeDialer, NodeService, Store};
use serde_json::{Value, json};

const CIDR: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 96, 0, 0), 12);

struct NoNodes;

#[async_trait]
impl NodeDialer for NoNodes {
    async fn dial(&self, _: &str) -> Result<NodeService, ApiError> {
        Err(ApiError::unavailable("this test has no nodes"))
    }
}

async fn service(folder: &Path) -> ApiService {
    let system = System::real();
    let store = Store::in_memory(&system).await;
    let pki = pki::Pki::open(folder, &[], &[], &system.clock).unwrap();
    let signer = Arc::new(Signer::new(&pki.service_account_key).unwrap());
    let options = RegistryOptions { service_cidr: CIDR, node_ports: (30000, 32767), signer: signer.clone() };
    let registry = Registry::open(store.clone(), options, system.clone()).await.unwrap();
    let endpoint = ApiEndpoint { cluster_ip: Ipv4Addr::new(10, 96, 0, 1), service_cidr: CIDR };
    bootstrap::ensure(&registry.client(Identity::admin(), "orc"), endpoint).await.unwrap();
    let tokens = ServiceAccountTokens { signer, store, clock: system.clock.clone() };
    let config = ApiConfig {
        registry,
        tokens: vec![Arc::new(tokens)],
        nodes: Arc::new(NoNodes),
        clock: system.clock.clone(),
        extras: Default::default(),
    };
    ApiService::new(config)
}

async fn ask(service: &ApiService, who: &Identity, method: &str, path: &str, body: Value) -> Response<Body> {
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    if let Some(extensions) = request.extensions_mut() {
        extensions.insert(who.clone());
    }
    service.answer(request.body(body).unwrap()).await
}

async fn text(response: Response<Body>) -> Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into())
}

const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: None, nonResourceURLs: ["/readyz"]}
- {level: Metadata, resources: [{group: "", resources: [secrets]}]}
- {level: RequestResponse}
"#;

#[tokio::test]
async fn what_the_policy_asks_for_is_written_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let system = System::real();
    let log = Log::open(&LogConfig::new(&file), system.clock.clone()).unwrap();
    let audit = Audit::new(Policy::parse(POLICY).unwrap(), log, system);
    let service = service(folder.path()).await.with_audit(audit);
    let (admin, alice) = (Identity::admin(), Identity::user("alice", &[]));
    ask(&service, &admin, "GET", "/readyz", Value::Null).await;
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "hidden"}});
    ask(&service, &admin, "POST", "/api/v1/namespaces/default/secrets", secret).await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "shown"}});
    let made = ask(&service, &admin, "POST", "/api/v1/namespaces/default/configmaps", map).await;
    assert!(made.headers().contains_key("audit-id"));
    assert_eq!(made.status(), 201);
    assert_eq!(text(made).await["data"]["a"], "shown", "the client still gets its answer");
    ask(&service, &alice, "GET", "/api/v1/namespaces/default/configmaps/m", Value::Null).await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}});
    ask(&service, &admin, "POST", "/api/v1/namespaces/default/serviceaccounts", account).await;
    let token = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let token = ask(&service, &admin, "POST", "/api/v1/namespaces/default/serviceaccounts/a/token", token).await;
    let token = text(token).await["status"]["token"].as_str().unwrap().to_owned();
    let watch = ask(&service, &admin, "GET", "/api/v1/namespaces/default/configmaps?watch=1", Value::Null).await;
    drop(watch);
    drop(service);

    let written = std::fs::read_to_string(&file).unwrap();
    assert!(!written.contains("hidden") && !written.contains(&token), "{written}");
    let events: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<String> = events
        .iter()
        .map(|e| {
            let at = |path: &str| e.pointer(path).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
            let part = |path: &str| at(path).unwrap_or_default();
            let names = [part("/verb"), part("/objectRef/resource"), part("/stage"), part("/responseStatus/code")];
            names.join(" ")
        })
        .collect();
    assert_eq!(
        told,
        [
            "create secrets ResponseComplete 201",
            "create configmaps ResponseComplete 201",
            "get configmaps ResponseComplete 403",
            "create serviceaccounts ResponseComplete 201",
            "create serviceaccounts ResponseComplete 201",
            "watch configmaps ResponseStarted 200",
            "watch configmaps ResponseComplete 200",
        ]
    );
    assert_eq!(events[0].get("requestObject"), None);
    assert_eq!(events[1]["requestObject"]["data"]["a"], "shown");
    assert_eq!(events[1]["responseObject"]["metadata"].get("managedFields"), None);
    assert_eq!(events[2]["user"]["username"], "alice");
    assert_eq!(events[2]["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!(events[2]["responseStatus"]["reason"], "Forbidden");
    assert_eq!(events[4]["responseObject"]["status"]["token"], "<redacted>");
}

#[tokio::test]
async fn tokens_tell_whom_they_are_for_and_die_with_what_they_are_bound_to() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path()).await;
    let admin = Identity::admin();
    let path = "/api/v1/namespaces/default";
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}});
    ask(&service, &admin, "POST", &format!("{path}/serviceaccounts"), account).await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    ask(&service, &admin, "POST", &format!("{path}/secrets"), secret).await;
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {
        "audiences": ["vault", "other"], "boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": "s"}}});
    let made = ask(&service, &admin, "POST", &format!("{path}/serviceaccounts/a/token"), request).await;
    let token = text(made).await["status"]["token"].as_str().unwrap().to_owned();
    let review = async |audiences: Value| {
        let spec = json!({"token": token, "audiences": audiences});
        let doc = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec});
        text(ask(&service, &admin, "POST", "/apis/authentication.k8s.io/v1/tokenreviews", doc).await).await
    };
    let good = review(json!(["vault", "db"])).await;
    assert_eq!(good["status"]["audiences"], json!(["vault"]));
    assert_eq!(good["status"]["user"]["username"], "system:serviceaccount:default:a");
    assert_eq!(review(json!([])).await["status"].get("authenticated"), None, "it is not for the API itself");
    ask(&service, &admin, "DELETE", &format!("{path}/secrets/s"), Value::Null).await;
    assert_eq!(review(json!(["vault"])).await["status"].get("authenticated"), None, "its secret is gone");
}

#[tokio::test]
async fn others_find_the_keys_of_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path()).await;
    let account = Identity::user("system:serviceaccount:default:a", &["system:serviceaccounts"]);
    let found = ask(&service, &account, "GET", "/.well-known/openid-configuration", Value::Null).await;
    assert_eq!(found.headers()["content-type"], "application/json");
    assert_eq!(found.headers()["cache-control"], "public, max-age=3600");
    let found = text(found).await;
    assert_eq!(found["issuer"], "https://kubernetes.default.svc.cluster.local");
    let keys = ask(&service, &account, "GET", "/openid/v1/jwks", Value::Null).await;
    assert_eq!(keys.headers()["content-type"], "application/jwk-set+json");
    assert_eq!(text(keys).await["keys"][0]["kty"], "EC");
    let nobody = ask(&service, &Identity::anonymous(), "GET", "/openid/v1/jwks", Value::Null).await;
    assert_eq!(nobody.status(), 403);
}

#[tokio::test]
async fn what_admission_notes_is_in_the_event() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let system = System::real();
    let log = Log::open(&LogConfig::new(&file), system.clock.clone()).unwrap();
    let audit = Audit::new(Policy::parse(POLICY).unwrap(), log, system);
    let service = service(folder.path()).await.with_audit(audit);
    let admin = Identity::admin();
    let strict = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "strict", "labels": {"pod-security.kubernetes.io/audit": "restricted"}}});
    ask(&service, &admin, "POST", "/api/v1/namespaces", strict).await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    ask(&service, &admin, "POST", "/api/v1/namespaces/strict/serviceaccounts", account).await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let made = ask(&service, &admin, "POST", "/api/v1/namespaces/strict/pods", pod).await;
    assert_eq!(made.status(), 201);
    drop(service);
    let written = std::fs::read_to_string(&file).unwrap();
    let events = written.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_pods: Vec<Value> = events.filter(|event| event["objectRef"]["resource"] == "pods").collect();
    let note = &of_pods[0]["annotations"]["pod-security.kubernetes.io/audit-violations"];
    assert!(note.as_str().unwrap().starts_with("would violate PodSecurity \"restricted:latest\""), "{of_pods:?}");
}
