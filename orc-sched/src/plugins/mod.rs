//! The default plugins: what Kubernetes' plugins of the same names do, with the same messages.

mod affinity;
mod balanced;
mod fit;
mod node_name;
mod not_built;
mod ports;
mod taints;
mod unschedulable;

pub use affinity::NodeAffinity;
pub use balanced::NodeResourcesBalancedAllocation;
pub use fit::NodeResourcesFit;
pub use node_name::NodeName;
pub use not_built::NotBuilt;
pub use ports::NodePorts;
pub use taints::TaintToleration;
pub use unschedulable::NodeUnschedulable;
