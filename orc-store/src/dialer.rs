//! The one way from the API to a node.
//!
//! The node agent serves the kubelet's HTTP API as a `tower::Service`; the API reaches it in-process, over TLS, or through a
//! tunnel that a joined node opens, and does not know which.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use orc_core::ApiError;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::util::BoxCloneSyncService;

/// An error of any kind, as bodies and services carry it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A streaming body.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A node's HTTP API.
pub type NodeService = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, BoxError>;

/// Finds the service of a node.
#[async_trait]
pub trait NodeDialer: Send + Sync + 'static {
    /// The service of a node.
    ///
    /// # Errors
    /// `ServiceUnavailable` when the node cannot be reached now, naming it.
    async fn dial(&self, node: &str) -> Result<NodeService, ApiError>;
}

/// In a request's extensions: a loop of the control plane asks for itself, not for a client.
///
/// A node serves some paths to such requests alone. The API must pass a client's request on without its extensions, and no
/// client can send one; a dialer of a distant node has to carry it in a way that only it can.
#[derive(Clone, Copy, Debug)]
pub struct ControlPlane;

/// Bytes both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The connection behind an answer with status 101, in the answer's extensions.
///
/// Whoever answers a request for an upgrade (the node agent, a proxied backend) puts the caller's end of the new connection
/// here; whoever speaks to the client (the TLS listener, an embedder in the same process) takes it out and copies bytes
/// until either side ends. So an upgrade passes through any number of services without a socket of its own, and a dialer of a
/// distant node wraps what its HTTP client upgraded.
#[derive(Clone)]
pub struct Upgraded(Arc<Mutex<Option<Box<dyn Duplex>>>>);

impl Upgraded {
    /// Wraps the caller's end of a connection.
    pub fn new(stream: impl Duplex + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(stream)))))
    }

    /// The connection, for the first who asks.
    pub fn take(&self) -> Option<Box<dyn Duplex>> {
        self.0.lock().take()
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded").finish_non_exhaustive()
    }
}
