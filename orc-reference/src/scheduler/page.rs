//! Metrics and health of a scheduler, by plain HTTP.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use orc_core::metrics::{Sources, Text};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::board::Board;

/// Connections at a time; a scraper needs one.
const CONNECTIONS: usize = 64;

/// Answers until it is dropped.
pub async fn serve(listener: TcpListener, sources: Sources, board: Board) {
    let mut connections = JoinSet::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection to the metrics was not accepted");
                board.clock().sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        while connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        while connections.try_join_next().is_some() {}
        let (sources, board) = (sources.clone(), board.clone());
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer(request.method(), request.uri().path(), &sources, &board);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            // A client that is gone ends its own connection alone; one that says nothing is cut off.
            let _ = http.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(method: &Method, path: &str, sources: &Sources, board: &Board) -> Response<Full<Bytes>> {
    let text = |code: StatusCode, kind: &'static str, body: String| {
        let mut answer = Response::new(Full::from(body));
        *answer.status_mut() = code;
        answer.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
        answer
    };
    const PLAIN: &str = "text/plain; charset=utf-8";
    if method != Method::GET && method != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET\n".to_owned());
    }
    let ended = board.ended();
    match path {
        "/metrics" => text(StatusCode::OK, Text::MEDIA_TYPE, sources.read()),
        "/healthz" | "/livez" | "/readyz" if ended.is_empty() => text(StatusCode::OK, PLAIN, "ok".to_owned()),
        "/healthz" | "/livez" | "/readyz" => {
            text(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("ended: {}\n", ended.join(", ")))
        }
        _ => text(StatusCode::NOT_FOUND, PLAIN, "there is /metrics, /healthz, /livez and /readyz\n".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orc_core::env::Clock;
    use std::sync::Arc;

    #[test]
    fn health_tells_of_a_scheduler_that_has_ended() {
        let (sources, board) = (Sources::default(), Board::new(Clock::wall()));
        let code = |path: &str| answer(&Method::GET, path, &sources, &board).status().as_u16();
        let begun = board.begin("scheduler", Arc::new(orc_reconcile::LoopStatus::default));
        assert_eq!((code("/healthz"), code("/metrics"), code("/x")), (200, 200, 404));
        assert_eq!(answer(&Method::POST, "/metrics", &sources, &board).status(), 405);
        drop(begun);
        assert_eq!(code("/healthz"), 500);
    }
}
