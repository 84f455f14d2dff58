//! Running netlink requests inside a network namespace.
//!
//! A namespace belongs to a thread, so each piece of work gets a thread of its own that enters the namespace, does the
//! work and ends: no thread of a pool is left in the wrong place.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;

use rtnetlink::Handle;

use crate::shim::{enter_namespace, sys};

pub(crate) type Work<T> = Box<dyn FnOnce(Handle) -> Pin<Box<dyn Future<Output = io::Result<T>>>> + Send>;

/// Runs `work` with a netlink socket of the namespace (the process' own without one).
pub(crate) async fn with_netlink<T: Send + 'static>(namespace: Option<OwnedFd>, work: Work<T>) -> io::Result<T> {
    in_namespace(namespace, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection()?;
            let served = tokio::spawn(connection);
            let result = work(handle).await;
            served.abort();
            result
        })
    })
    .await
}

/// Runs `work` on a thread in the namespace.
pub(crate) async fn in_namespace<T: Send + 'static>(
    namespace: Option<OwnedFd>,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (send, receive) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("orc-netns".to_owned()).spawn(move || {
        // A caller that went away does not want the answer.
        let _ = send.send(in_namespace_blocking(namespace, work));
    })?;
    receive.await.unwrap_or_else(|_| Err(io::Error::other("the network thread panicked")))
}

/// Moves this thread into the namespace and runs `work`. The thread stays there: it must end afterwards.
pub(crate) fn in_namespace_blocking<T>(
    namespace: Option<OwnedFd>,
    work: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    if let Some(handle) = &namespace {
        enter_namespace(handle, sys::CLONE_NEWNET)?;
    }
    work()
}

/// A netlink error in the system's words.
pub(crate) fn failed(what: &str) -> impl FnOnce(rtnetlink::Error) -> io::Error {
    move |error| match &error {
        rtnetlink::Error::NetlinkError(message) => {
            let source = message.to_io();
            io::Error::new(source.kind(), format!("{what}: {source}"))
        }
        other => io::Error::other(format!("{what}: {other}")),
    }
}
