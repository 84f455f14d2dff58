//! Talking to a pod's shim.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::ProcessRuntime;
use super::layout::PodDir;
use crate::runtime::{RuntimeError, SandboxId};
use crate::shim::protocol::{Reply, Request, SOCKET};
use crate::shim::{sys, wire};

/// A shim that takes longer than this for one answer hangs; starting a container is the longest thing it does.
const PATIENCE: Duration = Duration::from_secs(60);
/// A pod whose processes were killed is gone within this, or its shim is killed too.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// An answer, with what came along.
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) fds: Vec<OwnedFd>,
    /// The connection, for requests that have more to say later.
    pub(crate) connection: UnixStream,
}

/// Sends one request and waits for its reply.
pub(crate) async fn call(dir: &PodDir, request: Request, fds: Vec<OwnedFd>) -> io::Result<Answer> {
    let dir = dir.clone();
    let work = move || {
        let connection = wire::connect(dir.path(), SOCKET)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
        wire::send(connection.as_fd(), &wire::frame(&request)?, &borrowed)?;
        let mut received = Vec::new();
        let reply = wire::receive_message(connection.as_fd(), &mut received)?;
        Ok(Answer { reply, fds: received, connection })
    };
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Like [`call`], with the shim's absence as the runtime's error.
pub(crate) async fn ask(
    id: &SandboxId,
    dir: &PodDir,
    request: Request,
    fds: Vec<OwnedFd>,
) -> Result<Answer, RuntimeError> {
    call(dir, request, fds).await.map_err(|source| RuntimeError::Shim { id: id.clone(), source })
}

/// The next message of a connection that stays open.
pub(crate) async fn next_reply(connection: &mut tokio::net::UnixStream) -> io::Result<Reply> {
    let mut length = [0u8; 4];
    connection.read_exact(&mut length).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > crate::shim::protocol::MESSAGE_LIMIT {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0u8; length];
    connection.read_exact(&mut body).await?;
    Ok(serde_json::from_slice(&body)?)
}

/// Makes a connection of [`call`] asynchronous.
pub(crate) fn to_async(connection: UnixStream) -> io::Result<tokio::net::UnixStream> {
    connection.set_nonblocking(true)?;
    tokio::net::UnixStream::from_std(connection)
}

/// Ends a shim with everything it holds. Returns when it is gone.
pub(crate) async fn shut_down(dir: &PodDir) {
    if let Ok(answer) = call(dir, Request::Shutdown, Vec::new()).await
        && let Ok(mut connection) = to_async(answer.connection)
    {
        // The shim's end closes the connection.
        let mut rest = [0u8; 1];
        let _ = tokio::time::timeout(END_PATIENCE, connection.read(&mut rest)).await;
    }
    if let Ok(Some(shim)) = dir.shim() {
        // Containers die with their shim.
        let _ = shim.kill(sys::SIGKILL);
        for _ in 0..500 {
            if !shim.is_alive() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl ProcessRuntime {
    /// Passes a shim's news on as events until it ends.
    pub(crate) fn watch(&self, dir: &PodDir, pod_uid: &str) {
        let (dir, pod_uid) = (dir.clone(), pod_uid.to_owned());
        let inner = std::sync::Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            let news = async {
                let answer = call(&dir, Request::Subscribe, Vec::new()).await?;
                let mut connection = to_async(answer.connection)?;
                loop {
                    if let Some(inner) = inner.upgrade() {
                        ProcessRuntime { inner }.announce(&pod_uid);
                    }
                    next_reply(&mut connection).await?;
                }
            };
            let ended: io::Result<()> = news.await;
            tracing::debug!(pod = %pod_uid, reason = ?ended.err(), "the shim's news ended");
            if let Some(inner) = inner.upgrade() {
                ProcessRuntime { inner }.announce(&pod_uid);
            }
        });
    }
}
