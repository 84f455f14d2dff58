//! A scheduler name and its plugins.

use std::sync::Arc;

use orc_core::Name;

use crate::plugin::Plugin;
use crate::plugins;
use crate::pod::DEFAULT_SCHEDULER;

/// Which pods are scheduled (those that name the profile), and by what.
#[derive(Clone)]
pub struct Profile {
    /// The name in `spec.schedulerName`.
    pub name: Name,
    /// Plugins in the order of filtering, with their weights in scores. The first plugin that refuses a node says why.
    pub plugins: Vec<(Arc<dyn Plugin>, i64)>,
}

impl Profile {
    /// A profile without plugins: every node will do.
    pub fn empty(name: impl Into<Name>) -> Self {
        Self { name: name.into(), plugins: Vec::new() }
    }

    /// Adds a plugin. A weight of 0 lets it filter only.
    pub fn with(mut self, plugin: impl Plugin, weight: i64) -> Self {
        self.plugins.push((Arc::new(plugin), weight));
        self
    }
}

impl Default for Profile {
    /// Kubernetes' default profile, as far as its plugins are built: filters in the same order, scores of the same weight.
    fn default() -> Self {
        Self::empty(DEFAULT_SCHEDULER)
            .with(plugins::NotBuilt, 0)
            .with(plugins::NodeUnschedulable, 0)
            .with(plugins::NodeName, 0)
            .with(plugins::TaintToleration, 3)
            .with(plugins::NodeAffinity, 2)
            .with(plugins::NodePorts, 0)
            .with(plugins::NodeResourcesFit, 1)
            .with(plugins::NodeResourcesBalancedAllocation, 1)
    }
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plugins: Vec<_> = self.plugins.iter().map(|(plugin, weight)| (plugin.name(), weight)).collect();
        f.debug_struct("Profile").field("name", &self.name).field("plugins", &plugins).finish()
    }
}
