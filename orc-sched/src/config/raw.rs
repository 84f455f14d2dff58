//! `KubeSchedulerConfiguration` v1 as it is written.

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct File {
    pub(super) api_version: Spanned<String>,
    pub(super) kind: Spanned<String>,
    /// Without effect: the engine does not split a decision.
    #[serde(default, rename = "parallelism")]
    _parallelism: Option<Value>,
    /// Read by whoever starts the scheduler.
    #[serde(default, rename = "leaderElection")]
    _leader_election: Option<Value>,
    #[serde(default, rename = "clientConnection")]
    _client_connection: Option<Value>,
    #[serde(default, rename = "enableProfiling")]
    _enable_profiling: Option<Value>,
    #[serde(default, rename = "enableContentionProfiling")]
    _enable_contention_profiling: Option<Value>,
    #[serde(default, rename = "delayCacheUntilActive")]
    _delay_cache_until_active: Option<Value>,
    pub(super) percentage_of_nodes_to_score: Option<Spanned<i32>>,
    pub(super) pod_initial_backoff_seconds: Option<Spanned<i64>>,
    pub(super) pod_max_backoff_seconds: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) profiles: Vec<RawProfile>,
    #[serde(default)]
    pub(super) extenders: Vec<Spanned<Value>>,
}

#[derive(Debug, Deserialize)]
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
    pub(super) args: Spanned<Value>,
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
    /// The sets of points whose plugins cannot be chosen apart, as their work is done together with another point's.
    pub(super) fn joint(&self) -> [(&'static str, &Set, &'static str); 6] {
        [
            ("preFilter", &self.pre_filter, "filter"),
            ("preScore", &self.pre_score, "score"),
            ("reserve", &self.reserve, "multiPoint"),
            ("permit", &self.permit, "multiPoint"),
            ("preBind", &self.pre_bind, "multiPoint"),
            ("postBind", &self.post_bind, "multiPoint"),
        ]
    }
}
