//! Connections: each is copied to an endpoint and back until one side ends it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::port::Port;
use crate::choice::{Origin, Side};

/// A pod that does not answer by then is passed over.
const CONNECT: Duration = Duration::from_secs(3);
/// Connections carried at a time by one socket of a Service port.
const MAX_CONNECTIONS: usize = 4096;

/// Accepts connections until it is dropped. Those that are carried already go on without it.
pub(super) async fn accept(listener: TcpListener, port: Arc<Port>, side: Side) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, from)) => {
                let port = port.clone();
                tokio::spawn(async move {
                    carry(client, from, &port, side).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to a service could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Carries one connection. Without an endpoint it is reset, as a kernel without routes would do.
async fn carry(mut client: TcpStream, from: SocketAddr, port: &Port, side: Side) {
    let Ok(to) = client.local_addr() else { return };
    let origin = Origin { client: from.ip(), to: to.ip(), side };
    let mut tried = Vec::new();
    // The endpoints are looked up anew each time: what replaces one that just went may have come meanwhile.
    while let Some(endpoint) = port.pick(&origin, &tried) {
        tried.push(endpoint);
        let Some(mut server) = connect(endpoint).await else { continue };
        if was_reset(&client, &server).await {
            tracing::debug!(%endpoint, "an endpoint reset a connection before anything was sent on it");
            continue;
        }
        port.keep(origin.client, endpoint);
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        // An end on either side is how connections end; there is nobody to tell.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        return;
    }
    let _ = client.set_zero_linger();
}

async fn connect(endpoint: SocketAddr) -> Option<TcpStream> {
    match tokio::time::timeout(CONNECT, TcpStream::connect(endpoint)).await {
        Ok(Ok(server)) => return Some(server),
        Ok(Err(error)) => tracing::debug!(%endpoint, %error, "an endpoint did not answer"),
        Err(_) => tracing::debug!(%endpoint, "an endpoint did not answer in time"),
    }
    None
}

/// Whether an endpoint reset the connection while not a byte had gone either way, as the kernel does with what waits in the
/// queue of a socket that closes. Only until the client sends something: from then on it cannot be taken back.
async fn was_reset(client: &TcpStream, server: &TcpStream) -> bool {
    let mut first = [0];
    tokio::select! {
        biased;
        peeked = server.peek(&mut first) => peeked.is_err(),
        _ = client.readable() => false,
    }
}
