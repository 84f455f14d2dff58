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
    #[error("{service}: {address} cannot be opened: {why}")]
    Listen {
        /// The Service.
        service: ObjectKey,
        /// What cannot be opened: the sort of address, and the address.
        address: String,
        /// Why.
        why: String,
    },
    /// The transport is not carried.
    #[error("{service}: {place}: {protocol} is not routed by this data plane")]
    Protocol {
        /// The Service.
        service: ObjectKey,
        /// Where it would be opened: the sort of address, and the address.
        place: String,
        /// The transport.
        protocol: String,
    },
    /// The network cannot be set up.
    #[error("the service network cannot be set up: {0}")]
    Network(String),
    /// Several of these, at least two.
    #[error("{}", lines(.0))]
    Several(Vec<RouteError>),
}

impl RouteError {
    /// What went wrong, if anything did.
    ///
    /// # Errors
    /// When there is one at least.
    pub fn of(mut errors: Vec<Self>) -> Result<(), Self> {
        match (errors.pop(), errors.is_empty()) {
            (None, _) => Ok(()),
            (Some(error), true) => Err(error),
            (Some(error), false) => {
                errors.push(error);
                Err(Self::Several(errors))
            }
        }
    }
}

fn lines(errors: &[RouteError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl orc_reconcile::Classify for RouteError {
    fn is_terminal(&self) -> bool {
        match self {
            Self::Protocol { .. } => true,
            // What may pass is tried again, whatever else does not.
            Self::Several(errors) => errors.iter().all(Self::is_terminal),
            Self::Listen { .. } | Self::Network(_) => false,
        }
    }
}
