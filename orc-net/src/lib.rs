//! Service routing, from a Service's address to the pods that are ready behind it, and cluster DNS, from its name to the address.
//!
//! | module | holds |
//! |---|---|
//! | [`routes`] | [`ServiceRoutes`], a pure function of a Service and its EndpointSlices |
//! | [`table`] | [`RoutingTable`], a persistent map of routes, and the differences between two of them |
//! | [`plane`] | [`DataPlane`], what carries the connections |
//! | [`choice`] | which endpoint a connection goes to: policies, turns, what terminates |
//! | [`expiring`] | a bounded table whose entries end: affinities and flows of datagrams |
//! | [`userspace`] | a data plane of sockets, for TCP and UDP, which needs no root and no program |
//! | [`mod@router`] | the loop that keeps a data plane up to date, and tells of what cannot be routed |
//! | [`dns`] | names of Services and pods, and the server that answers them |
//!
//! Not here yet: nftables, SCTP, network policies.

pub mod choice;
pub mod dns;
mod events;
pub mod expiring;
pub mod plane;
pub mod router;
pub mod routes;
pub mod table;
pub mod userspace;

pub use choice::LocalNode;
#[cfg(feature = "fuzzing")]
pub use dns::fuzzing;
pub use plane::{DataPlane, RouteError};
pub use router::router;
pub use routes::{Backend, PortRoute, Protocol, ServiceRoutes, TrafficPolicy};
pub use table::RoutingTable;
pub use userspace::{Listen, Userspace, UserspaceConfig};
