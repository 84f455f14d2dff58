//! Pod networking: a bridge for each cluster instance, a veth pair and an address for each pod.
//!
//! Everything goes through netlink, no program is called. Every name on the host carries the instance id, so that two
//! clusters and parallel tests live side by side. The nodes of one process share one bridge; each brings its own pod
//! range with a gateway address on the bridge, and pods send everything to that gateway: service addresses are then
//! routed (and translated by orc-net) in the node's own network namespace.
//!
//! Not done here: address translation towards the outside, IPv6, networks over several machines.

mod names;
mod netlink;
mod network;
mod pool;

pub use names::{InstanceId, InvalidInstanceId};
pub(crate) use netlink::in_namespace;
pub use network::Network;
pub use pool::{Cidr, InvalidCidr, IpPool};
