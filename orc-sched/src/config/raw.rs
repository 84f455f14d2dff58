//! `KubeSchedulerConfiguration` v1 as it is written.

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

use super::tree::Tree;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct File {
    pub(super) api_version: Spanned<String>,
    pub(super) kind: Spanned<String>,
    pub(super) parallelism: Option<Spanned<i64>>,
    // Accepted as files have them; whoever reads the configuration is told that they do nothing.
    pub(super) leader_election: Option<Value>,
    pub(super) client_connection: Option<Value>,
    pub(super) enable_profiling: Option<bool>,
    pub(super) enable_contention_profiling: Option<bool>,
    pub(super) delay_cache_until_active: Option<bool>,
    pub(super) percentage_of_nodes_to_score: Option<Spanned<i32>>,
    pub(super) pod_initial_backoff_seconds: Option<Spanned<i64>>,
    pub(super) pod_max_backoff_seconds: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) profiles: Vec<RawProfile>,
    #[serde(default)]
    pub(super) extenders: Vec<Spanned<Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawProfile {
    pub(super) scheduler_name: Option<Spanned<String>>,
    pub(super) percentage_of_nodes_to_score: Option<Spanned<i32>>,
    #[serde(default)]
    pub(super) plugins: Points,
    #[serde(default)]
    pub(super) plugin_config: Vec<PluginConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PluginConfig {
    pub(super) name: Spanned<String>,
    pub(super) args: Option<Spanned<Tree>>,
}

/// The sets of plugins by extension point.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Points {
    pub(super) multi_point: Set,
    pub(super) filter: Set,
    pub(super) score: Set,
    pub(super) post_filter: Set,
    pub(super) pre_enqueue: Set,
    pub(super) queue_sort: Set,
    pub(super) bind: Set,
    pub(super) pre_filter: Set,
    pub(super) pre_score: Set,
    pub(super) reserve: Set,
    pub(super) permit: Set,
    pub(super) pre_bind: Set,
    pub(super) post_bind: Set,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Set {
    pub(super) enabled: Vec<Enabled>,
    pub(super) disabled: Vec<Disabled>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Enabled {
    pub(super) name: Spanned<String>,
    pub(super) weight: Option<Spanned<i64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Disabled {
    pub(super) name: Spanned<String>,
    /// Accepted as Kubernetes has it; nothing is weighed that is disabled.
    #[serde(default, rename = "weight")]
    _weight: Option<i64>,
}

impl Points {
    /// The sets of single points, by their names.
    pub(super) fn sets(&self) -> [(&'static str, &Set); 12] {
        [
            ("preEnqueue", &self.pre_enqueue),
            ("queueSort", &self.queue_sort),
            ("preFilter", &self.pre_filter),
            ("filter", &self.filter),
            ("postFilter", &self.post_filter),
            ("preScore", &self.pre_score),
            ("score", &self.score),
            ("reserve", &self.reserve),
            ("permit", &self.permit),
            ("preBind", &self.pre_bind),
            ("bind", &self.bind),
            ("postBind", &self.post_bind),
        ]
    }
}

impl Set {
    /// Whether a plugin is disabled by name or with all others, and not enabled again.
    pub(super) fn bars(&self, name: &str) -> Option<&Disabled> {
        let enabled = self.enabled.iter().any(|one| one.name.value == name);
        self.disabled
            .iter()
            .find(|one| matches!(&*one.name.value, own if own == "*" || own == name))
            .filter(|_| !enabled)
    }
}
