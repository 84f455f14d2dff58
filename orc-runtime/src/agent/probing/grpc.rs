//! gRPC probes: `grpc.health.v1.Health/Check` over plaintext HTTP/2 (KEP-2727).

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use orc_core::env::Clock;
use tokio::net::TcpStream;

use super::grpc_wire::{self, Code, Status};
use super::{ANSWER_BYTES, Answer, USER_AGENT, within};

/// How long to wait before the next try to connect; gRPC's own first wait. Tries go on until the probe's time is over.
const RECONNECT: Duration = Duration::from_secs(1);

/// Why there is no answer.
enum Trouble {
    /// There is no HTTP/2 connection to the server.
    Connection,
    /// The server answered with a status that is not OK.
    Refused(Status),
}

/// Asks a server for the health of one of its services; an empty name asks for the server's own.
pub(super) async fn probe(clock: &Clock, address: &str, service: &str, limit: Duration) -> Answer {
    let took = crate::machine::go_duration(limit);
    let mut connected = false;
    let asked = within(clock, limit, ask(clock, address, service, &mut connected)).await;
    match asked {
        Some(Ok(1)) => Ok(None),
        Some(Ok(number)) => Err(format!("service unhealthy (responded with {:?})", grpc_wire::serving_status(number))),
        Some(Err(status)) if status.code == Code::Unimplemented => Err(format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {}",
            status.message
        )),
        Some(Err(status)) if status.code == Code::DeadlineExceeded => {
            Err(format!("timeout: health rpc did not complete within {took}"))
        }
        Some(Err(status)) => Err(format!("error: health rpc probe failed: {status}")),
        None if connected => Err(format!("timeout: health rpc did not complete within {took}")),
        None => Err(format!("timeout: failed to connect service {address:?} within {took}: context deadline exceeded")),
    }
}

/// Tries until there is a connection; `connected` tells how far it came, for it is dropped when the time is over.
async fn ask(clock: &Clock, address: &str, service: &str, connected: &mut bool) -> Result<u64, Status> {
    loop {
        if let Ok(stream) = TcpStream::connect(address).await {
            *connected = true;
            match call(stream, address, service).await {
                Ok(number) => return Ok(number),
                Err(Trouble::Refused(status)) => return Err(status),
                Err(Trouble::Connection) => *connected = false,
            }
        }
        clock.sleep(RECONNECT).await;
    }
}

async fn call(stream: TcpStream, address: &str, service: &str) -> Result<u64, Trouble> {
    let request = Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", USER_AGENT)
        .body(Full::new(Bytes::from(grpc_wire::request(service))))
        .map_err(|_| Trouble::Connection)?;
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|_| Trouble::Connection)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|_| Trouble::Connection)?;
        answer(response).await.map_err(Trouble::Refused)
    };
    tokio::pin!(connection, exchange);
    tokio::select! {
        biased;
        result = &mut exchange => result,
        _ = &mut connection => exchange.await,
    }
}

async fn answer(response: http::Response<Incoming>) -> Result<u64, Status> {
    let (head, mut body) = response.into_parts();
    if let Some(status) = grpc_wire::of_http(head.status, &head.headers) {
        return Err(status);
    }
    let mut message: Vec<u8> = Vec::new();
    // An answer without a body has its status in the head.
    let mut status = Status::of(&head.headers);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Status::new(Code::Unavailable, error.to_string()))?;
        match frame.into_data() {
            Ok(data) if message.len() + data.len() <= ANSWER_BYTES => message.extend_from_slice(&data),
            Ok(_) => return Err(Status::new(Code::ResourceExhausted, "received message larger than max")),
            Err(frame) => status = frame.trailers_ref().and_then(Status::of).or(status),
        }
    }
    match status {
        Some(status) if status.code != Code::Ok => Err(status),
        Some(_) => grpc_wire::response(&message).map_err(|text| Status::new(Code::Internal, text)),
        None => Err(Status::new(Code::Internal, "server closed the stream without sending trailers")),
    }
}

#[cfg(test)]
mod tests;
