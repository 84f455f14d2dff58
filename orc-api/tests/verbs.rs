//! Every resource in discovery answers the methods of its verbs, and refuses the others as Kubernetes does: 405 where the path has other
//! methods, 404 where it has none.

use http::Request;
use http_body_util::{BodyExt as _, Full};
use orc_api::Identity;
use orc_api::http::Body;
use orc_api::testing::ApiServer;
use serde_json::Value;

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

async fn ask(server: &ApiServer, method: &str, path: &str) -> (u16, String) {
    let body = if matches!(method, "GET" | "DELETE") { "" } else { "{}" };
    let body: Body =
        Full::new(bytes::Bytes::from_static(body.as_bytes())).map_err(|never| match never {}).boxed_unsync();
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let mut request = Request::builder().method(method).uri(path).header("content-type", kind).body(body).unwrap();
    request.extensions_mut().insert(Identity::admin());
    let answer = server.service().answer(request).await;
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&bytes).into_owned())
}

async fn document(server: &ApiServer, path: &str) -> Value {
    let (status, text) = ask(server, "GET", path).await;
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

/// The folders of all group versions.
async fn folders(server: &ApiServer) -> Vec<String> {
    let groups = document(server, "/apis").await;
    let versions = groups["groups"].as_array().unwrap().iter().flat_map(|group| group["versions"].as_array().unwrap());
    let named = versions.map(|version| format!("/apis/{}", version["groupVersion"].as_str().unwrap()));
    ["/api/v1".to_owned()].into_iter().chain(named).collect()
}

/// The verb of a method on a collection, an object or a sub-resource.
fn verb(method: &str, collection: bool, sub: bool) -> &'static str {
    match (method, collection) {
        ("GET", true) => "list",
        ("POST", true) => "create",
        ("DELETE", true) => "deletecollection",
        ("GET", false) => "get",
        ("PUT", false) => "update",
        ("PATCH", false) => "patch",
        ("DELETE", false) => "delete",
        ("POST", false) if sub => "create",
        _ => "none",
    }
}

async fn check(server: &ApiServer, path: &str, verbs: &[String], collection: bool, sub: bool, wrong: &mut Vec<String>) {
    let of = |method| verbs.iter().any(|have| have == verb(method, collection, sub));
    let served = METHODS.into_iter().any(of);
    for method in METHODS {
        let (status, text) = ask(server, method, path).await;
        let unserved = status == 404 && text.contains("the server could not find the requested resource");
        let refused = status == 405 && text.contains("\"reason\":\"MethodNotAllowed\"");
        let right = match (of(method), served) {
            (true, _) => !refused && !unserved,
            (false, true) => refused,
            (false, false) => unserved,
        };
        if !right {
            wrong.push(format!("{method} {path} {verbs:?}: {status} {}", text.chars().take(120).collect::<String>()));
        }
    }
}

#[tokio::test]
async fn a_resource_has_the_methods_of_its_verbs_and_no_others() {
    let server = ApiServer::start().await.unwrap();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for folder in folders(&server).await {
        let list = document(&server, &folder).await;
        for resource in list["resources"].as_array().unwrap() {
            let verbs = texts(&resource["verbs"]);
            let (name, sub) = match resource["name"].as_str().unwrap().split_once('/') {
                Some((name, sub)) => (name, Some(sub)),
                None => (resource["name"].as_str().unwrap(), None),
            };
            let space = if resource["namespaced"] == true { "/namespaces/default" } else { "" };
            let collection = format!("{folder}{space}/{name}");
            match sub {
                Some(sub) => {
                    check(&server, &format!("{collection}/no-such/{sub}"), &verbs, false, true, &mut wrong).await
                }
                None => {
                    check(&server, &format!("{collection}/no-such"), &verbs, false, false, &mut wrong).await;
                    check(&server, &collection, &verbs, true, false, &mut wrong).await;
                }
            }
            seen += 1;
        }
    }
    assert!(seen > 100, "discovery names {seen} resources");
    assert!(wrong.is_empty(), "{} of {seen}:\n{}", wrong.len(), wrong.join("\n"));
}
