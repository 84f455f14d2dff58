//! The default plugins: what Kubernetes' plugins of the same names do, with the same messages.

mod affinity;
mod balanced;
mod classes;
mod devices;
mod fit;
mod images;
mod inter_pod;
mod node_name;
mod ports;
mod spread;
mod taints;
mod unschedulable;
mod volumes;

pub use affinity::NodeAffinity;
pub use balanced::NodeResourcesBalancedAllocation;
pub(crate) use devices::MOST_PODS;
pub use devices::{DeviceSelector, DeviceSelectors, DynamicResources};
pub use fit::{NodeResourcesFit, Strategy, Weighed};
pub use images::ImageLocality;
pub use inter_pod::InterPodAffinity;
pub use node_name::NodeName;
pub use ports::NodePorts;
pub use spread::{PodTopologySpread, SpreadDefault, SpreadDefaults};
pub use taints::TaintToleration;
pub use unschedulable::NodeUnschedulable;
pub(crate) use volumes::is_bound;
pub use volumes::{NodeVolumeLimits, VolumeBinding, VolumeRestrictions, VolumeZone};

/// The annotation of a claim with the node that its volume is to be made for.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// The node that a claim waits to get its volume on.
pub(crate) fn selected_node(claim: &k8s_openapi::api::core::v1::PersistentVolumeClaim) -> Option<&str> {
    claim.metadata.annotations.as_ref()?.get(SELECTED_NODE).map(String::as_str)
}
