//! Broken bodies, parameters and tokens.

use serde_json::json;

use crate::support::{Case, MAPS, ask, start};

#[tokio::test(flavor = "multi_thread")]
async fn broken_bodies_and_parameters_are_answered_with_a_status() {
    let (_server, to) = start().await;
    let map =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}).to_string();
    assert_eq!(ask(&to, "POST", MAPS, "application/json", map.as_bytes()).await.0, 201);
    let (one, owned) = (&format!("{MAPS}/a"), &format!("{MAPS}/a?fieldManager=m"));
    let deep = |open: &str, close: &str, n: usize| format!(r#"{{"metadata": {}{}}}"#, open.repeat(n), close.repeat(n));
    let (lists, maps) = (deep("[", "]", 100_000), deep(r#"{"a":"#, "}", 100_000));
    let big = vec![b' '; 3 * 1024 * 1024 + 1];
    let bad_utf8 = b"{\"metadata\": {\"name\": \"\xff\xfe\"}}".as_slice();
    let bomb = format!("a: &a [x, x]\n{}", (0..64).map(|_| "b: [*a, *a, *a]\n").collect::<String>());
    let anchors: String = (0..40).map(|n| format!("k{}: &k{} [*k{n}, *k{n}, *k{n}]\n", n + 1, n + 1)).collect();
    let anchors = format!("k0: &k0 [x]\n{anchors}");
    let (json, yaml, proto) = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf");
    let merge = "application/merge-patch+json";
    let patch = "application/json-patch+json";
    let cases: &[Case<'_>] = &[
        ("POST", MAPS, json, &big, &[413]),
        ("POST", MAPS, json, lists.as_bytes(), &[400]),
        ("POST", MAPS, json, maps.as_bytes(), &[400]),
        ("POST", MAPS, json, b"{", &[400]),
        ("POST", MAPS, json, b"", &[400]),
        ("POST", MAPS, json, bad_utf8, &[400, 422]),
        ("POST", MAPS, yaml, b"a: [", &[400]),
        ("POST", MAPS, yaml, b"\xff\xfe\xff", &[400]),
        ("POST", MAPS, yaml, bomb.as_bytes(), &[400, 422]),
        ("POST", MAPS, yaml, anchors.as_bytes(), &[400, 413, 422]),
        ("POST", MAPS, proto, b"{}", &[400]),
        ("POST", MAPS, proto, b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", &[400]),
        ("POST", MAPS, proto, b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\xff\xff\xff\xff\x0f", &[400]),
        ("POST", MAPS, "image/png", b"{}", &[415]),
        ("PUT", one, json, b"[]", &[400]),
        ("PATCH", one, merge, b"[]", &[400]),
        ("PATCH", one, merge, b"{\"data\": ", &[400]),
        ("PATCH", one, patch, b"{}", &[400]),
        ("PATCH", one, patch, br#"[{"op": "fly", "path": "/data"}]"#, &[400, 422]),
        ("PATCH", one, patch, br#"[{"op": "remove", "path": "data"}]"#, &[400, 422]),
        ("PATCH", one, "application/strategic-merge-patch+json", br#"{"$patch": "fly"}"#, &[400, 422, 500]),
        ("PATCH", owned, "application/apply-patch+yaml", b"a: [", &[400]),
        ("PATCH", owned, "application/apply-patch+yaml", b"{}", &[400]),
        ("PATCH", one, "text/plain", b"{}", &[415]),
        ("GET", "/api/v1/configmaps?labelSelector=a%20in%20b", json, b"", &[400]),
        ("GET", "/api/v1/configmaps?labelSelector=%ff%fe%3D", json, b"", &[400]),
        ("GET", "/api/v1/configmaps?fieldSelector=metadata.name", json, b"", &[400]),
        ("GET", "/api/v1/configmaps?fieldSelector=spec.x%3Dy", json, b"", &[400]),
        ("GET", "/api/v1/configmaps?limit=many", json, b"", &[400]),
        ("GET", "/api/v1/configmaps?resourceVersion=-1", json, b"", &[400]),
        ("GET", "/api/v1/configmaps?continue=nonsense", json, b"", &[400]),
        ("GET", "/api/v1/configmaps?continue=%00%ff", json, b"", &[400]),
        ("GET", "/api/v1/configmaps?watch=1&timeoutSeconds=x", json, b"", &[400]),
        ("GET", "/api/v1/namespaces/%2e%2e/secrets/%2e%2e%2f", json, b"", &[400, 404]),
        ("GET", "/api/v1/namespaces/%ff/configmaps/%zz", json, b"", &[400, 404]),
        ("BREW", MAPS, json, b"", &[404, 405]),
        ("DELETE", one, json, br#"{"gracePeriodSeconds": "x"}"#, &[400]),
        ("DELETE", one, json, br#"{"preconditions": "x"}"#, &[400]),
        ("DELETE", one, json, br#"{"orphanDependents": "x"}"#, &[400]),
        ("DELETE", one, json, br#"{"propagationPolicy": "Sideways"}"#, &[400, 422]),
    ];
    let mut wrong = Vec::new();
    for (method, path, media, body, codes) in cases {
        let (code, status) = ask(&to, method, path, media, body).await;
        let what = format!("{method} {path} {media} {:?}", String::from_utf8_lossy(&body[..body.len().min(60)]));
        let has_status = status["kind"] == "Status" || matches!(code, 404 | 405);
        if !codes.contains(&code) || !has_status {
            wrong.push(format!("{what}: {code}, not {codes:?}: {status}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let (code, left) = ask(&to, "GET", one, json, b"").await;
    assert_eq!(left["data"]["k"], "v", "the server is as it was: {code} {left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_continue_token_shows_nothing_of_other_places() {
    use base64::Engine as _;
    let (_server, to) = start().await;
    let (_, list) = ask(&to, "GET", "/api/v1/namespaces?limit=1", "application/json", b"").await;
    let token = list["metadata"]["continue"].as_str().unwrap();
    let read = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token).unwrap();
    let read = String::from_utf8(read).unwrap();
    let at = read.split(':').next().unwrap();
    for after in ["", "/", "/a", "\u{0}", "/secrets", "/clusterroles", "/configmaps/kube-system/a", "/zzzz", "../.."] {
        let forged = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("{at}:{after}"));
        let path = format!("{MAPS}?limit=500&continue={forged}");
        let (code, list) = ask(&to, "GET", &path, "application/json", b"").await;
        assert!(matches!(code, 200 | 400 | 410), "{after:?}: {code}");
        let items = list["items"].as_array().cloned().unwrap_or_default();
        assert!(
            items.iter().all(|item| item["metadata"]["namespace"] == "default" && item.get("rules").is_none()),
            "{after:?}: {items:?}"
        );
    }
}
