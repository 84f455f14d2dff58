//! Requests that are not HTTP, or too much of it.

use serde_json::json;

use crate::support::{MAPS, ask, raw, start};

#[tokio::test(flavor = "multi_thread")]
async fn broken_http_is_refused_and_nothing_is_smuggled() {
    let (_server, to) = start().await;
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "smuggled"}}).to_string();
    let inner = format!("POST {MAPS} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let both = format!(
        "POST {MAPS} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}",
        5 + inner.len()
    );
    let two = format!(
        "GET {MAPS} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: {}\r\n\r\n{inner}",
        inner.len()
    );
    let spaced = format!("GET {MAPS} HTTP/1.1\r\nHost: a\r\nContent-Length : {}\r\n\r\n{inner}", inner.len());
    let sized = format!("POST {MAPS} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n{inner}");
    for request in [both, two, spaced, sized] {
        let (code, said) = raw(&to, request.as_bytes()).await;
        assert!((400..500).contains(&code), "{request}\n-> {said}");
    }
    let (code, _) = ask(&to, "GET", &format!("{MAPS}/smuggled"), "application/json", b"").await;
    assert_eq!(code, 404, "the second request was never taken for one");
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(2_000_000));
    assert!(matches!(raw(&to, long.as_bytes()).await.0, 414 | 431));
    let many: String = (0..5000).map(|n| format!("x-{n}: y\r\n")).collect();
    assert_eq!(raw(&to, format!("GET /api HTTP/1.1\r\nHost: a\r\n{many}\r\n").as_bytes()).await.0, 431);
    let huge = format!("GET /api HTTP/1.1\r\nHost: a\r\nx: {}\r\n\r\n", "y".repeat(2_000_000));
    assert_eq!(raw(&to, huge.as_bytes()).await.0, 431);
    assert_eq!(raw(&to, b"\x16\x03\x01 nonsense\r\n\r\n").await.0, 400);
    assert_eq!(raw(&to, b"GET /version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.0, 200);
}
