//! Clients that take their time.

use std::time::Duration;

use orc_api::serve::Patience;
use orc_api::testing::ApiServer;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::{MAPS, ask, connect, in_time, start, until};

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_begin_is_dropped() {
    let server = ApiServer::start().await.unwrap();
    let short =
        Patience { handshake: Duration::from_millis(300), head: Duration::from_millis(300), ..Patience::default() };
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
    fill(&server).await;
    let request = format!("GET {MAPS} HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut slow = Vec::new();
    let before = resident();
    for _ in 0..20 {
        let mut stream = connect(&to, b"http/1.1").await;
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.read_exact(&mut [0; 100]).await.unwrap();
        slow.push(stream);
    }
    for _ in 0..20 {
        assert_eq!(ask(&to, "GET", &format!("{MAPS}/m1"), "application/json", b"").await.0, 200);
    }
    // Lists are written while they are read: twenty of ten megabytes are not held.
    let grown = resident().saturating_sub(before);
    assert!(grown < 60 << 20, "the server holds {grown} bytes for readers that do not read");
    let mut rest = vec![0; 9_000_000];
    in_time("the rest of a list", slow[0].read_exact(&mut rest)).await.unwrap();
}

/// The list ends with its connection, which ends with the patience for a reader who does not read.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_nobody_reads_is_given_up() {
    let server = ApiServer::start().await.unwrap();
    let short = Patience { answer: Duration::from_millis(300), ..Patience::default() };
    let to = server.listen_with(short).await.unwrap();
    fill(&server).await;
    let mut slow = connect(&to, b"http/1.1").await;
    slow.write_all(format!("GET {MAPS} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
    slow.read_exact(&mut [0; 100]).await.unwrap();
    // A further request is buffered as long as the connection lives.
    until("the connection is closed", async || slow.write_all(b"\r\n").await.is_err() || slow.flush().await.is_err())
        .await;
    assert_eq!(ask(&to, "GET", &format!("{MAPS}/m1"), "application/json", b"").await.0, 200);
}

/// The memory that this process has in use, in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Ten megabytes in one list: far more than sockets hold.
async fn fill(server: &ApiServer) {
    let maps: kube::Api<k8s_openapi::api::core::v1::ConfigMap> = kube::Api::namespaced(server.client(), "default");
    let text = "x".repeat(100_000);
    for number in 0..100 {
        let map = json!({"metadata": {"name": format!("m{number}")}, "data": {"k": text}});
        maps.create(&Default::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
    }
}

/// A body whose end never comes: without a deadline it would hold its request, and what it waits for, for ever.
#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_end_is_answered() {
    let server = ApiServer::start().await.unwrap();
    let begun = futures::stream::iter([Ok::<_, orc_store::dialer::BoxError>(http_body::Frame::data("{".into()))]);
    let endless = futures::StreamExt::chain(begun, futures::stream::pending());
    let body = http_body_util::BodyExt::boxed_unsync(http_body_util::StreamBody::new(endless));
    let request = http::Request::post(MAPS).extension(orc_api::Identity::admin()).body(body).unwrap();
    let answer = server.service().answer(request).await;
    assert_eq!(answer.status(), 504);
    let bytes = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
    let status: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((status["kind"].as_str(), status["reason"].as_str()), (Some("Status"), Some("Timeout")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_answered() {
    let (_server, to) = start().await;
    let mut stream = connect(&to, b"http/1.1").await;
    let head =
        format!("POST {MAPS} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(b"{\"metadata\":").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut said = Vec::new();
    let _ = in_time("the answer to half a body", stream.read_to_end(&mut said)).await;
    let said = String::from_utf8_lossy(&said);
    assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("\"kind\":\"Status\""), "{said:?}");
    assert_eq!(ask(&to, "GET", MAPS, "application/json", b"").await.0, 200);
}

/// Events pile up for a watch whose client does not read. The server keeps a bounded number, goes on serving others, and tells the
/// slow one, when it reads again, everything or that it is too late.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_nobody_reads_holds_nobody_up() {
    let (server, to) = start().await;
    let maps: kube::Api<k8s_openapi::api::core::v1::ConfigMap> = kube::Api::namespaced(server.client(), "default");
    let mut watch = connect(&to, b"http/1.1").await;
    watch.write_all(format!("GET {MAPS}?watch=1 HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
    watch.read_exact(&mut [0; 12]).await.unwrap();
    let text = "x".repeat(200_000);
    let map = json!({"metadata": {"name": "m"}, "data": {"k": text}});
    maps.create(&Default::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
    // 40 MB of events: far more than sockets hold.
    for number in 0..200 {
        let patch = kube::api::Patch::Merge(json!({"data": {"n": number.to_string()}}));
        let patched = async { maps.patch("m", &Default::default(), &patch).await };
        in_time("a write beside a watch that nobody reads", patched).await.unwrap();
    }
    assert_eq!(ask(&to, "GET", &format!("{MAPS}/m"), "application/json", b"").await.0, 200);
    let (mut tail, mut part) = (Vec::new(), vec![0; 1 << 20]);
    let found = |tail: &[u8], what: &[u8]| tail.windows(what.len()).any(|window| window == what);
    in_time("the last event, or the end of the watch", async {
        loop {
            let count = watch.read(&mut part).await.unwrap_or(0);
            tail.extend_from_slice(&part[..count]);
            if found(&tail, b"\"n\":\"199\"") || found(&tail, b"\"code\":410") || count == 0 {
                return;
            }
            tail.drain(..tail.len().saturating_sub(64));
        }
    })
    .await;
    assert!(found(&tail, b"\"n\":\"199\"") || found(&tail, b"\"code\":410"), "it ends with an event or with 410");
}
