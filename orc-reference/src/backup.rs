//! `/backup`: everything that is stored, at one revision, as a stream.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use orc_api::http::{Body, Extra};
use orc_store::Backend;
use orc_store::backend::backup;
use tokio::sync::mpsc;

/// Where the backup is read. Who may is whoever has `get` on this non-resource URL: by default, cluster administrators.
pub const PATH: &str = "/backup";
/// Parts of a backup that wait for a slow client.
const PARTS: usize = 8;

/// Answers with a backup of a backend.
pub fn of(backend: Arc<dyn Backend>) -> Arc<dyn Extra> {
    Arc::new(Backup(backend))
}

struct Backup(Arc<dyn Backend>);

#[async_trait]
impl Extra for Backup {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        if request.method() != Method::GET {
            return plain(405, "a backup is read by GET");
        }
        let (parts, received) = mpsc::channel(PARTS);
        let backend = self.0.clone();
        tokio::task::spawn_blocking(move || {
            let mut out = Parts(parts);
            // Not the runtime's `block_on`, under which nothing may block: the file is written as fast as the client reads it.
            if let Err(error) = futures::executor::block_on(backup::write(&*backend, &mut out)) {
                tracing::warn!(%error, "a backup was not finished");
                // The client sees the stream break, and the file has no end mark.
                let _ = out.0.blocking_send(Err(io::Error::other(error.to_string())));
            }
        });
        let frames = stream::unfold(received, |mut received| async move {
            let part: io::Result<Bytes> = received.recv().await?;
            Some((part.map(Frame::data).map_err(Into::into), received))
        });
        let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
        response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/octet-stream"));
        response
    }
}

fn plain(code: u16, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())).map_err(Into::into).boxed_unsync());
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
    response
}

/// Hands what is written to the stream; waits while the client is slower than the store.
struct Parts(mpsc::Sender<io::Result<Bytes>>);

impl io::Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client went away"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
