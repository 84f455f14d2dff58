//! A scheduler name and its plugins.

use std::sync::Arc;

use orc_core::Name;

use crate::plugin::Plugin;
use crate::plugins;
use crate::pod::DEFAULT_SCHEDULER;
use crate::points::Points;

/// Which pods are scheduled (those that name the profile), and by what.
#[derive(Clone)]
pub struct Profile {
    /// The name in `spec.schedulerName`.
    pub name: Name,
    /// Plugins in the order of filtering, with their weights in scores. The first plugin that refuses a node says why.
    pub plugins: Vec<(Arc<dyn Plugin>, i64)>,
    /// What it has at the extension points outside of the engine.
    pub points: Points,
}

impl Profile {
    /// A profile without plugins: every node will do. It has Kubernetes' extension points outside of the engine.
    pub fn empty(name: impl Into<Name>) -> Self {
        Self { name: name.into(), plugins: Vec::new(), points: Points::defaults() }
    }

    /// Puts a plugin in the place of the one with its name, with that one's weight. Without one of the name, nothing changes.
    #[must_use]
    pub fn instead(mut self, plugin: impl Plugin) -> Self {
        if let Some((own, _)) = self.plugins.iter_mut().find(|(own, _)| own.name() == plugin.name()) {
            *own = Arc::new(plugin);
        }
        self
    }

    /// Adds a plugin. A weight of 0 lets it filter only.
    pub fn with(mut self, plugin: impl Plugin, weight: i64) -> Self {
        self.plugins.push((Arc::new(plugin), weight));
        self
    }
}

/// Kubernetes' default plugins in their order, with their weights; those that do not score have none.
pub(crate) const DEFAULTS: [(&str, i64); 15] = [
    ("NodeUnschedulable", 0),
    ("NodeName", 0),
    ("TaintToleration", 3),
    ("NodeAffinity", 2),
    ("NodePorts", 0),
    ("NodeResourcesFit", 1),
    ("VolumeRestrictions", 0),
    ("NodeVolumeLimits", 0),
    ("VolumeBinding", 0),
    ("VolumeZone", 0),
    ("PodTopologySpread", 2),
    ("InterPodAffinity", 2),
    ("DynamicResources", 0),
    ("NodeResourcesBalancedAllocation", 1),
    ("ImageLocality", 1),
];

impl Default for Profile {
    /// Kubernetes' default profile: filters in the same order, scores of the same weight.
    fn default() -> Self {
        Self::empty(DEFAULT_SCHEDULER)
            .with(plugins::NodeUnschedulable, 0)
            .with(plugins::NodeName, 0)
            .with(plugins::TaintToleration, 3)
            .with(plugins::NodeAffinity::default(), 2)
            .with(plugins::NodePorts, 0)
            .with(plugins::NodeResourcesFit::default(), 1)
            .with(plugins::VolumeRestrictions, 0)
            .with(plugins::NodeVolumeLimits, 0)
            .with(plugins::VolumeBinding, 0)
            .with(plugins::VolumeZone, 0)
            .with(plugins::PodTopologySpread::default(), 2)
            .with(plugins::InterPodAffinity::default(), 2)
            .with(plugins::DynamicResources::default(), 0)
            .with(plugins::NodeResourcesBalancedAllocation::default(), 1)
            .with(plugins::ImageLocality, 1)
    }
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plugins: Vec<_> = self.plugins.iter().map(|(plugin, weight)| (plugin.name(), weight)).collect();
        f.debug_struct("Profile").field("name", &self.name).field("plugins", &plugins).finish()
    }
}
