//! What a hostile or broken client may send, over a real TLS socket: each gets an answer where one is possible, and harms
//! nobody but itself.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use orc_api::serve::Patience;
use orc_api::testing::{ApiServer, Listening};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The longest that anything may take on a busy machine.
const LONG: Duration = Duration::from_secs(60);
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// Method, path, media type and body of a request, and the codes that may answer it.
type Case<'a> = (&'a str, &'a str, &'a str, &'a [u8], &'a [u16]);

/// A connection of the administrator's, with a protocol by ALPN.
async fn connect(to: &Listening, protocol: &[u8]) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(to.pki.ca.certificate.as_bytes()).unwrap()).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(to.pki.admin.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(to.pki.admin.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(to.address).await.unwrap();
    let name = ServerName::IpAddress(std::net::IpAddr::from([127, 0, 0, 1]).into());
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, work).await.unwrap_or_else(|_| panic!("{what}: nothing happened"))
}

/// Sends bytes as they are, and reads until the server closes. What it said, and the status of the first answer.
async fn raw(to: &Listening, bytes: &[u8]) -> (u16, String) {
    let mut stream = connect(to, b"http/1.1").await;
    // The server may answer and close before it has read all.
    let _ = stream.write_all(bytes).await;
    let mut said = Vec::new();
    let _ = in_time("an answer", stream.read_to_end(&mut said)).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    (said.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0), said)
}

/// One request, and the body of its answer, which must be a Status where it is a failure.
async fn ask(to: &Listening, method: &str, path: &str, media: &str, body: &[u8]) -> (u16, Value) {
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: a\r\nContent-Type: {media}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let (code, said) = raw(to, &[head.as_bytes(), body].concat()).await;
    let text = said.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let text = text.get(text.find('{').unwrap_or(0)..=text.rfind('}').unwrap_or(0)).unwrap_or_default();
    (code, serde_json::from_str(text).unwrap_or(Value::Null))
}

async fn start() -> (ApiServer, Listening) {
    let server = ApiServer::start().await.unwrap();
    let listening = server.listen().await.unwrap();
    (server, listening)
}

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

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_begin_is_dropped() {
    let server = ApiServer::start().await.unwrap();
    let short = Patience { handshake: Duration::from_millis(300), head: Duration::from_millis(300) };
    let to = server.listen_with(short).await.unwrap();
    let gone = async |mut stream: TlsStream<TcpStream>, begin: &[u8]| {
        stream.write_all(begin).await.unwrap();
        let mut rest = Vec::new();
        let _ = in_time(&format!("a connection that began with {begin:?}"), stream.read_to_end(&mut rest)).await;
    };
    gone(connect(&to, b"http/1.1").await, b"").await;
    gone(connect(&to, b"http/1.1").await, b"GET /api HTTP/1.1\r\nHost: a\r\nx").await;
    gone(connect(&to, b"h2").await, b"").await;
    gone(connect(&to, b"h2").await, b"PRI * HTTP/2.0").await;
    let mut silent = TcpStream::connect(to.address).await.unwrap();
    let _ = in_time("the end of a handshake", silent.read(&mut [0; 8])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_keep_nobody_waiting() {
    let (server, to) = start().await;
    let maps: kube::Api<k8s_openapi::api::core::v1::ConfigMap> = kube::Api::namespaced(server.client(), "default");
    let text = "x".repeat(100_000);
    for number in 0..100 {
        let map = json!({"metadata": {"name": format!("m{number}")}, "data": {"k": text}});
        maps.create(&Default::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
    }
    // Ten megabytes each that nobody reads: far more than sockets hold.
    let request = format!("GET {MAPS} HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut stream = connect(&to, b"http/1.1").await;
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.read_exact(&mut [0; 100]).await.unwrap();
        slow.push(stream);
    }
    for _ in 0..20 {
        assert_eq!(ask(&to, "GET", &format!("{MAPS}/m1"), "application/json", b"").await.0, 200);
    }
    let mut rest = vec![0; 9_000_000];
    in_time("the rest of a list", slow[0].read_exact(&mut rest)).await.unwrap();
}
