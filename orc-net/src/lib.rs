//! Service routing: from a Service's address to the pods that are ready behind it.
//!
//! | module | holds |
//! |---|---|
//! | [`routes`] | [`ServiceRoutes`], a pure function of a Service and its EndpointSlices |
//! | [`table`] | [`RoutingTable`], a persistent map of routes, and the differences between two of them |
//! | [`plane`] | [`DataPlane`], what carries the connections |
//! | [`userspace`] | a data plane of listening sockets, which needs no root and no program |
//! | [`mod@router`] | the loop that keeps a data plane up to date |
//!
//! Not here yet: nftables, UDP, session affinity, cluster DNS, network policies.

pub mod plane;
pub mod router;
pub mod routes;
pub mod table;
pub mod userspace;

pub use plane::{DataPlane, RouteError};
pub use router::router;
pub use routes::{PortRoute, Protocol, ServiceRoutes};
pub use table::RoutingTable;
pub use userspace::{Listen, Userspace, UserspaceConfig};
