//! What follows an answer with status 101: bytes, both ways, until either side ends.

use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use orc_store::dialer::{Duplex, Upgraded};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

/// When one side ended, the other has so long to end too. Closing at once would reset the connection under the last bytes
/// when the client has sent something that nobody reads.
const PARTING: Duration = Duration::from_secs(5);

/// The client's side of a request that may become something else.
pub(super) fn of<B>(request: &mut Request<B>) -> OnUpgrade {
    hyper::upgrade::on(request)
}

/// Copies bytes behind an answer with status 101, in a task of its own; `held` is dropped when it ends.
pub(super) fn carry<B>(client: OnUpgrade, response: &Response<B>, held: impl Send + 'static) {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    let Some(backend) = response.extensions().get::<Upgraded>().and_then(Upgraded::take) else { return };
    tokio::spawn(async move {
        match client.await {
            Ok(client) => copy(TokioIo::new(client), backend).await,
            Err(error) => tracing::debug!(%error, "a client did not take its upgrade"),
        }
        drop(held);
    });
}

async fn copy(client: impl AsyncRead + AsyncWrite, backend: Box<dyn Duplex>) {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_backend, mut to_backend) = tokio::io::split(backend);
    let down = async {
        let _ = tokio::io::copy(&mut from_backend, &mut to_client).await;
        // A client that is gone needs no end.
        let _ = to_client.shutdown().await;
    };
    let up = async move {
        let _ = tokio::io::copy(&mut from_client, &mut to_backend).await;
        let _ = to_backend.shutdown().await;
        from_client
    };
    let (mut down, mut up) = (std::pin::pin!(down), std::pin::pin!(up));
    let rest = tokio::select! {
        biased;
        () = &mut down => None,
        _ = &mut up => Some(tokio::time::timeout(PARTING, down).await),
    };
    if rest.is_none() {
        let drained = async { tokio::io::copy(&mut up.await, &mut tokio::io::sink()).await };
        let _ = tokio::time::timeout(PARTING, drained).await;
    }
}
