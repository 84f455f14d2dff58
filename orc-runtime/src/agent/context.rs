//! What everything in the agent shares.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use orc_core::ObjectKey;
use orc_store::Env;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::config::AgentConfig;
use super::events::Recorder;
use super::probing::Counts;
use super::statics::Statics;
use super::volumes::Tokens;
use crate::runtime::RuntimeService;

/// Turns at writing to the API about pods. The nodes of a fleet share them: thousands of writes under way would hold the
/// bodies of thousands of pods, and a user's request would stand in line behind all of them.
pub(crate) type Turns = Arc<Semaphore>;

/// Writes about pods at the same time: enough that many share a commit of the store.
const TURNS: usize = 32;

/// All turns.
pub(crate) fn turns() -> Turns {
    Arc::new(Semaphore::new(TURNS))
}

/// Shared by the loop and all that runs beside it.
pub(super) struct Context {
    pub(super) config: AgentConfig,
    pub(super) env: Env,
    pub(super) runtime: Arc<dyn RuntimeService>,
    pub(super) recorder: Recorder,
    pub(super) starts: Semaphore,
    pub(super) turns: Turns,
    pub(super) tokens: Tokens,
    /// The pods that files say.
    pub(super) statics: Arc<Statics>,
    /// What the HTTP API shows; written by the loop.
    pub(super) views: Mutex<BTreeMap<ObjectKey, View>>,
    /// How probes ended.
    pub(super) probes: Counts,
    observations: AtomicU64,
}

/// A pod as the HTTP API sees it.
#[derive(Clone)]
pub(super) struct View {
    pub(super) pod: Arc<Pod>,
    pub(super) status: Arc<PodStatus>,
}

impl Context {
    pub(super) fn new(config: AgentConfig, env: Env, runtime: Arc<dyn RuntimeService>, turns: Turns) -> Self {
        let recorder = Recorder::new(&env, &config.node_name, config.events, turns.clone());
        let statics = Arc::new(Statics::new(config.static_pods.clone(), &config.node_name));
        let starts = Semaphore::new(config.parallel_starts.max(1));
        Self {
            config,
            env,
            runtime,
            recorder,
            starts,
            turns,
            tokens: Tokens::default(),
            statics,
            views: Mutex::default(),
            probes: Counts::default(),
            observations: AtomicU64::new(0),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.env.clock.now()
    }

    /// Numbers observations by their begin: one with a higher number shows a state at least as new.
    pub(super) fn observation(&self) -> u64 {
        self.observations.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The directory of a pod on this node; `None` on a simulated one.
    pub(super) fn pod_dir(&self, uid: &str) -> Option<PathBuf> {
        Some(self.config.data_dir.as_ref()?.join("pods").join(uid))
    }

    /// The directory of a pod's logs.
    pub(super) fn log_dir(&self, pod: &Pod) -> Option<PathBuf> {
        let name = format!("{}_{}_{}", namespace_of(pod), name_of(pod), uid_of(pod));
        Some(self.config.data_dir.as_ref()?.join("logs").join(name))
    }
}

/// `metadata.name`.
pub(super) fn name_of(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

/// `metadata.namespace`.
pub(super) fn namespace_of(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}

/// `metadata.uid`.
pub(super) fn uid_of(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}
