//! Which plugin stands at which extension points, as in Kubernetes 1.36.

use super::Catalogue;

/// Plugins that are no [`crate::Plugin`] but stand at points outside of the engine.
pub(super) const OUTSIDE: [&str; 4] = ["SchedulingGates", "PrioritySort", "DefaultPreemption", "DefaultBinder"];
/// There is no queue without an order and no scheduler that does not bind, and no other plugin does either.
pub(super) const NEEDED: [(&str, &str); 2] = [("queueSort", "PrioritySort"), ("bind", "DefaultBinder")];
/// Part of `NodeVolumeLimits` since their disks are handled by CSI drivers; v1 of the configuration refuses to enable them.
pub(super) const REMOVED: [&str; 4] = ["AzureDiskLimits", "CinderLimits", "EBSLimits", "GCEPDLimits"];

/// What an embedder's plugin may stand at: the points of [`crate::Plugin`].
const ENGINE: &[&str] = &["preFilter", "filter", "preScore", "score", "reserve"];

/// The points of a plugin. Those that share one `Plugin` here (such as `preFilter` and `filter`) are told apart, since files
/// name them apart.
pub(super) fn points(name: &str) -> &'static [&'static str] {
    match name {
        "PrioritySort" => &["queueSort"],
        "SchedulingGates" => &["preEnqueue"],
        "DefaultPreemption" => &["preEnqueue", "postFilter"],
        "DefaultBinder" => &["bind"],
        "NodeUnschedulable" | "NodeName" => &["filter"],
        "TaintToleration" => &["filter", "preScore", "score"],
        "NodeAffinity" | "NodeResourcesFit" | "PodTopologySpread" | "InterPodAffinity" => {
            &["preFilter", "filter", "preScore", "score"]
        }
        "NodePorts" | "VolumeRestrictions" | "NodeVolumeLimits" | "VolumeZone" => &["preFilter", "filter"],
        "VolumeBinding" => &["preFilter", "filter", "preScore", "score", "reserve", "preBind"],
        "DynamicResources" => &["preEnqueue", "preFilter", "filter", "postFilter", "score", "reserve", "preBind"],
        "NodeResourcesBalancedAllocation" => &["preScore", "score"],
        "ImageLocality" => &["score"],
        _ => ENGINE,
    }
}

/// Whether there is a plugin of a name that can be chosen.
pub(super) fn is_known(catalogue: &Catalogue, name: &str) -> bool {
    catalogue.plugins.contains_key(name) || OUTSIDE.contains(&name)
}

/// Whether a plugin is one of Kubernetes'.
pub(super) fn is_upstream(name: &str) -> bool {
    OUTSIDE.contains(&name) || crate::profile::DEFAULTS.iter().any(|(own, _)| *own == name)
}

/// The point that a plugin must be left out of as well when it is left out of this one: it works there by what it prepared,
/// reserved or will write here.
pub(super) fn rests_on(point: &str) -> Option<&'static str> {
    match point {
        "preFilter" | "reserve" | "preBind" => Some("filter"),
        "preScore" => Some("score"),
        _ => None,
    }
}
