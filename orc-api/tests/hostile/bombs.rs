//! Small requests that would be large, deep or slow when taken at their word.

use orc_core::env::Clock;
use serde_json::{Value, json};

use crate::support::{Case, MAPS, ask, start};

const JSON: &str = "application/json";
const PATCH: &str = "application/json-patch+json";

/// The longest that one request may be worked on by an unoptimised build on a busy machine, seconds. A request that takes the
/// square of its length takes hours.
const PATIENCE: i64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn requests_cost_what_their_length_says() {
    let (_server, to) = start().await;
    let map = json!({"metadata": {"name": "a"}, "data": {"k": "v"}}).to_string();
    assert_eq!(ask(&to, "POST", MAPS, JSON, map.as_bytes()).await.0, 201);
    let one = format!("{MAPS}/a");
    let key = "k".repeat(1_000_000);
    let long_key = format!("{{\"metadata\": {{\"name\": \"b\"}}, \"{key}\": [{}0]}}", "0,".repeat(500_000));
    let twice =
        format!("{{\"metadata\": {{\"name\": \"b\", \"labels\": {{{}\"a\": \"\"}}}}}}", "\"a\":\"\",".repeat(300_000));
    let copies: Vec<Value> =
        (0..40).map(|n| json!({"op": "copy", "from": "/data", "path": format!("/metadata/x{n}")})).collect();
    let doubled: Vec<Value> = (0..40).map(|n| json!({"op": "copy", "from": "", "path": format!("/b{n}")})).collect();
    let many = vec![json!({"op": "add", "path": "/data/k", "value": "w"}); 10_001];
    let most = vec![json!({"op": "add", "path": "/data/k", "value": "w"}); 10_000];
    let text = |operations: &[Value]| Value::from(operations).to_string();
    let (doubled, copies, many, most) = (text(&doubled), text(&copies), text(&many), text(&most));
    let crd = deep_definition();
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let proto = "application/vnd.kubernetes.protobuf";
    let cases: &[Case<'_>] = &[
        ("POST", MAPS, JSON, long_key.as_bytes(), &[201]),
        ("POST", MAPS, JSON, twice.as_bytes(), &[201, 409]),
        ("PATCH", &one, PATCH, doubled.as_bytes(), &[422]),
        ("PATCH", &one, PATCH, copies.as_bytes(), &[200, 422]),
        ("PATCH", &one, PATCH, many.as_bytes(), &[413]),
        ("PATCH", &one, PATCH, most.as_bytes(), &[200]),
        ("POST", definitions, proto, &crd, &[400]),
    ];
    let clock = Clock::wall();
    for (method, path, media, body, codes) in cases {
        let begin = clock.now();
        let (code, status) = ask(&to, method, path, media, body).await;
        let taken = clock.now().duration_since(begin).as_secs();
        let what = format!("{method} {path} {:?}", String::from_utf8_lossy(&body[..body.len().min(60)]));
        let shown: String = status.to_string().chars().take(300).collect();
        assert!(codes.contains(&code) && (code < 300 || status["kind"] == "Status"), "{what}: {code} {shown}");
        assert!(taken < PATIENCE, "{what}: {taken} s");
    }
    let (_, left) = ask(&to, "GET", &one, JSON, b"").await;
    assert_eq!(left["data"]["k"], "w", "{left}");
}

/// A definition in protobuf whose default is JSON that is nested as deep as JSON may be, inside a schema: together they are
/// deeper than JSON that reads again.
fn deep_definition() -> Vec<u8> {
    let mut schema = json!({"type": "string", "default": serde_json::from_str::<Value>(&nested(100)).unwrap()});
    for _ in 0..20 {
        schema = json!({"type": "object", "properties": {"a": schema}});
    }
    let definition = json!({"metadata": {"name": "as.a.example"}, "spec": {"group": "a.example", "scope": "Cluster",
        "names": {"plural": "as", "singular": "a", "kind": "A"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
    let (version, kind) = ("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    let message = orc_core::schema::Schema::builtin().message_of_type(version, kind).unwrap();
    let raw = orc_core::schema::proto::from_json(&definition, message).unwrap();
    orc_core::schema::proto::seal(version, kind, &raw)
}

fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

/// What was taken must be read again: an object that is stored and cannot be decoded would break every list it is in.
#[tokio::test(flavor = "multi_thread")]
async fn the_deepest_objects_are_stored_owned_and_listed() {
    let (_server, to) = start().await;
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({"metadata": {"name": "as.a.example"}, "spec": {"group": "a.example", "scope": "Cluster",
        "names": {"plural": "as", "singular": "a", "kind": "A"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": open}}]}});
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    assert_eq!(ask(&to, "POST", definitions, JSON, definition.to_string().as_bytes()).await.0, 201);
    let all = "/apis/a.example/v1/as";
    crate::support::until("the definition is served", async || ask(&to, "GET", all, JSON, b"").await.0 == 200).await;
    for (levels, code) in [(100, 201), (119, 201), (120, 400), (127, 400), (10_000, 400)] {
        let deep = format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        let head = format!("{{\"apiVersion\":\"a.example/v1\",\"kind\":\"A\",\"metadata\":{{\"name\":\"n{levels}\"}}");
        let (found, status) = ask(&to, "POST", all, JSON, format!("{head},\"x\":{deep}}}").as_bytes()).await;
        assert_eq!(found, code, "{levels} levels: {}", status["message"]);
        if code == 201 {
            let name = format!("{all}/n{levels}");
            let changed = ask(&to, "PATCH", &name, "application/merge-patch+json", br#"{"y": 1}"#).await;
            assert_eq!(changed.0, 200, "{levels} levels: {}", changed.1["message"]);
            let applied = format!("{head},\"z\":{deep}}}");
            let path = format!("{name}?fieldManager=m&force=true");
            let applied = ask(&to, "PATCH", &path, "application/apply-patch+yaml", applied.as_bytes()).await;
            assert_eq!(applied.0, 200, "{levels} levels: {}", applied.1["message"]);
        }
    }
    let (code, list) = ask(&to, "GET", all, JSON, b"").await;
    assert_eq!((code, list["items"].as_array().map(Vec::len)), (200, Some(2)), "both are listed");
}
