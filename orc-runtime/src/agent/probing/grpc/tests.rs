use std::convert::Infallible;

use hyper::body::Frame;
use hyper::service::service_fn;
use orc_core::env::System;
use tokio::net::TcpListener;

use super::*;

type Body = http_body_util::StreamBody<futures::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

/// A health server that knows `good`, `bad` and `web`, which is none.
async fn respond(request: Request<Incoming>) -> Result<http::Response<Body>, Infallible> {
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    assert_eq!(request.headers()["te"], "trailers");
    let asked = request.into_body().collect().await.unwrap().to_bytes();
    let service = String::from_utf8_lossy(asked.get(7..).unwrap_or_default()).into_owned();
    let trailers = |status: &str, message: &str| {
        let all = [("grpc-status", status), ("grpc-message", message)];
        Frame::trailers(all.into_iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect())
    };
    let message = |status: u8| Frame::data(Bytes::from(vec![0, 0, 0, 0, 2, 8, status]));
    let frames = match service.as_str() {
        "" | "good" => vec![message(1), trailers("0", "")],
        "bad" => vec![message(2), trailers("0", "")],
        "silent" => std::future::pending().await,
        "old" => vec![trailers("12", "unknown service grpc.health.v1.Health")],
        _ => vec![trailers("5", "unknown service")],
    };
    let body = http_body_util::StreamBody::new(futures::stream::iter(frames.into_iter().map(Ok).collect::<Vec<_>>()));
    let kind = if service == "web" { "text/plain" } else { "application/grpc" };
    let code = if service == "web" { 404 } else { 200 };
    Ok(http::Response::builder().status(code).header("content-type", kind).body(body).unwrap())
}

async fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(async move { http.serve_connection(TokioIo::new(stream), service_fn(respond)).await });
        }
    });
    address
}

#[tokio::test]
async fn answers_are_judged_as_the_kubelet_does() {
    let (address, clock) = (serve().await, System::real().clock);
    let seconds = Duration::from_secs(5);
    for (service, want) in [
        ("", Ok(None)),
        ("good", Ok(None)),
        ("bad", Err("service unhealthy (responded with \"NOT_SERVING\")")),
        ("unknown", Err("error: health rpc probe failed: rpc error: code = NotFound desc = unknown service")),
        (
            "old",
            Err(
                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown service grpc.health.v1.Health",
            ),
        ),
        (
            "web",
            Err(
                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unexpected HTTP status code received from server: 404 (Not Found); transport: received unexpected content-type \"text/plain\"",
            ),
        ),
    ] {
        assert_eq!(probe(&clock, &address, service, seconds).await, want.map_err(str::to_owned), "{service}");
    }
    let late = probe(&clock, &address, "silent", Duration::from_secs(1)).await;
    assert_eq!(late, Err("timeout: health rpc did not complete within 1s".to_owned()));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_of() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let answer = probe(&System::real().clock, &address, "", Duration::from_secs(1)).await;
    let want = format!("timeout: failed to connect service {address:?} within 1s: context deadline exceeded");
    assert_eq!(answer, Err(want));
}
