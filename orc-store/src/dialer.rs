//! The one way from the API to a node.
//!
//! The node agent serves the kubelet's HTTP API as a `tower::Service`; the API reaches it in-process, over TLS, or through a
//! tunnel that a joined node opens, and does not know which.

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use orc_core::ApiError;
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
