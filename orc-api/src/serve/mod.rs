//! The TLS listener: accepts connections, checks client certificates, and feeds requests to the API service.
//!
//! HTTP/2 by ALPN for many watches on one connection; HTTP/1.1 for upgrades. A slow or hostile client harms only itself:
//! handshakes and headers have a deadline, and streams, buffers and connections a bound.

mod begun;
mod stall;
mod tls;
mod upgrade;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

pub use tls::{TlsError, acceptor};

use crate::http::{ApiService, BoxError};
use crate::identity::from_certificate;

/// Connections at a time; each holds a file, a TLS session and its streams.
const MAX_CONNECTIONS: usize = 16_384;
/// How long a client may take to begin.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// A client that has not finished its TLS handshake by then is dropped.
    pub handshake: Duration,
    /// A client that has not sent the head of a request by then is dropped; also one that is idle between requests of HTTP/1.1.
    /// The preface of HTTP/2 must have come by then as well; later its pings find out who is gone.
    pub head: Duration,
    /// An answer of which a client takes nothing for so long is given up; watches, logs and other streams are not.
    pub answer: Duration,
}

impl Default for Patience {
    /// 10 s and 30 s: slow links are served, and a client that sends nothing holds its place for no longer. 60 s for an answer:
    /// kube-apiserver's `--request-timeout`, which there bounds the whole of it.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { handshake: seconds(10), head: seconds(30), answer: seconds(60) }
    }
}

/// The largest head of a request, bytes: Go's `http.DefaultMaxHeaderBytes`, which kube-apiserver keeps. 431 past it.
const MAX_HEAD: u32 = 1024 * 1024;
/// Streams on one HTTP/2 connection: client-go opens one for every watch.
const MAX_STREAMS: u32 = 10_000;
/// Bytes buffered for a stream whose reader is slow.
const SEND_BUFFER: usize = 64 * 1024;

/// Accepts connections until the future is dropped. Open connections end with their clients or the runtime.
pub async fn serve(listener: TcpListener, tls: TlsAcceptor, service: ApiService) {
    serve_patiently(listener, tls, service, Patience::default()).await;
}

/// As [`serve`], with deadlines of the caller's.
pub async fn serve_patiently(listener: TcpListener, tls: TlsAcceptor, service: ApiService, patience: Patience) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of files, mostly: wait for some to be closed.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (tls, service) = (tls.clone(), service.clone());
        tokio::spawn(async move {
            if let Err(error) = connection(stream, tls, service, patience, Arc::new(place)).await {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
}

/// `place` is held by the connection and by what it may be upgraded to.
async fn connection(
    stream: TcpStream,
    tls: TlsAcceptor,
    service: ApiService,
    patience: Patience,
    place: Arc<OwnedSemaphorePermit>,
) -> Result<(), BoxError> {
    stream.set_nodelay(true)?;
    let stream = tokio::time::timeout(patience.handshake, tls.accept(stream)).await??;
    let peer = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).and_then(|c| from_certificate(c));
    // The protocol is agreed on by ALPN; looking for it in the first bytes would wait for them without end.
    let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    // HTTP/2 finds out by its pings who has stopped reading; there, answers are watched one by one.
    let exempt = Arc::new(AtomicBool::new(two));
    let answers = Arc::new(stall::Answers::default());
    let (streams, watched) = (exempt.clone(), answers.clone());
    let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (service, peer, place) = (service.clone(), peer.clone(), place.clone());
        let (streams, watched) = (streams.clone(), watched.clone());
        async move {
            let lasts = service.lasts(&request);
            streams.store(two || lasts, Ordering::Relaxed);
            let mut request = request.map(|body| body.map_err(BoxError::from).boxed_unsync());
            if let Some(identity) = peer {
                request.extensions_mut().insert(identity);
            }
            let client = upgrade::of(&mut request);
            // In a box that is freed with the answer: the task of a stream keeps its largest size until the last byte of a watch.
            let response = Box::pin(service.answer(request)).await;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                streams.store(true, Ordering::Relaxed);
            }
            upgrade::carry(client, &response, place);
            let response = if two && !lasts { response.map(|body| watched.watch(body)) } else { response };
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    // hyper counts from the first byte on in HTTP/1.1.
    let preface = if two { begun::PREFACE } else { 1 };
    let stream = tokio::time::timeout(patience.head, begun::Begun::read(stream, preface)).await??;
    let server = auto::Builder::new(TokioExecutor::new());
    let mut server = if two { server.http2_only() } else { server.http1_only() };
    server.http1().timer(TokioTimer::new()).header_read_timeout(patience.head).max_buf_size(MAX_HEAD as usize);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    let stream = stall::Stalling::new(stream, patience.answer, exempt);
    tokio::select! {
        biased;
        ended = server.serve_connection_with_upgrades(TokioIo::new(stream), answer) => ended,
        () = answers.keep(patience.answer) => Ok(()),
    }
}
