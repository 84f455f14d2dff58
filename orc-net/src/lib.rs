//! Service routing, from a Service's address to the pods that are ready behind it, and cluster DNS, from its name to the address.
//!
//! | module | holds |
//! |---|---|
//! | [`routes`] | [`ServiceRoutes`], a pure function of a Service and its EndpointSlices |
//! | [`table`] | [`RoutingTable`], a persistent map of routes, and the differences between two of them |
//! | [`plane`] | [`DataPlane`], what carries the connections |
//! | [`userspace`] | a data plane of listening sockets, which needs no root and no program |
//! | [`mod@router`] | the loop that keeps a data plane up to date |
//! | [`dns`] | names of Services and pods, and the server that answers them |
//!
//! Not here yet: nftables, UDP, session affinity, network policies.

pub mod dns;
pub mod plane;
pub mod router;
pub mod routes;
pub mod table;
pub mod userspace;

#[cfg(feature = "fuzzing")]
pub use dns::fuzzing;
pub use plane::{DataPlane, RouteError};
pub use router::router;
pub use routes::{PortRoute, Protocol, ServiceRoutes};
pub use table::RoutingTable;
pub use userspace::{Listen, Userspace, UserspaceConfig};
