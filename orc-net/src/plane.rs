//! What carries the connections.

use async_trait::async_trait;
use orc_core::ObjectKey;

use crate::routes::ServiceRoutes;
use crate::table::RoutingTable;

/// Applies routes. Implementations own what they open and close it when they are dropped.
#[async_trait]
pub trait DataPlane: Send + Sync + 'static {
    /// Brings one Service from some routes to others; `None` is no routes at all. Idempotent.
    ///
    /// # Errors
    /// When something could not be opened; what could be is applied, and the call is made again later.
    async fn apply(&self, service: &ObjectKey, to: Option<&ServiceRoutes>) -> Result<(), RouteError>;

    /// Repairs everything: afterwards exactly the routes of the table are applied.
    ///
    /// # Errors
    /// As [`DataPlane::apply`].
    async fn resync(&self, to: &RoutingTable) -> Result<(), RouteError>;
}

/// Why a route is not applied.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RouteError {
    /// A socket cannot be opened.
    #[error("{service}: cannot listen on {address}: {why}")]
    Listen {
        /// The Service.
        service: ObjectKey,
        /// The address.
        address: String,
        /// Why.
        why: String,
    },
    /// The transport is not carried.
    #[error("{service}: port {port}: {protocol} is not routed by this data plane yet")]
    Protocol {
        /// The Service.
        service: ObjectKey,
        /// The port's name or number.
        port: String,
        /// The transport.
        protocol: String,
    },
    /// The network cannot be set up.
    #[error("the service network cannot be set up: {0}")]
    Network(String),
}

impl orc_reconcile::Classify for RouteError {
    fn is_terminal(&self) -> bool {
        matches!(self, Self::Protocol { .. })
    }
}
