//! The node agent: what a kubelet does, against a [`RuntimeService`].
//!
//! One loop drives the [machines](crate::machine) of all pods of the node; everything slow (starting, stopping, probing,
//! writing to the API) is a future beside it, and no pod waits for another one's. The agent keeps no state of its own:
//! after a restart it goes on from the API's status and from what the runtime shows.
//!
//! | module | holds |
//! |---|---|
//! | `feed` | which pods changed, from one watch |
//! | `work` | the loop |
//! | `act` | how actions are carried out |
//! | `container`, `environment`, `fields` | from a pod's spec to a runtime's configuration |
//! | `volumes`, `files` | what is mounted |
//! | `probing`, `hooks` | probes and lifecycle hooks |
//! | `statics` | pods of files, and their mirrors |
//! | `node`, `lease` | the Node object and its heartbeat |
//! | `events`, `status` | what is written about pods |
//! | `shutdown` | ending the pods with the node |
//! | `resources`, `resize`, `rotation` | limits, new ones of running pods, logs that grow |
//! | `http`, `streams`, `logs`, `stats`, `metrics` | the node's HTTP API: logs, exec, attach, port-forward, usage |
//!
//! Device plugins, checkpointing and eviction under pressure are not built.

mod act;
mod admission;
mod config;
mod container;
mod context;
mod dns;
mod environment;
mod events;
mod feed;
mod fields;
mod files;
mod hooks;
mod http;
mod image_name;
mod lease;
mod logs;
mod metrics;
mod node;
mod observe;
mod probing;
mod resize;
mod resources;
mod rotation;
mod shutdown;
mod statics;
mod stats;
mod status;
mod streams;
mod system;
#[cfg(test)]
mod tests;
mod volumes;
mod work;

use std::sync::Arc;

use orc_reconcile::CancellationToken;
use orc_store::{Env, NodeService};

pub use config::AgentConfig;
pub(crate) use context::{Turns, turns};
pub use feed::PodFeed;
pub use lease::renew_all;
pub use shutdown::stop_pods;

use crate::runtime::RuntimeService;
use context::Context;

/// The agent of one node.
pub struct Agent {
    context: Arc<Context>,
    feed: Option<Arc<PodFeed>>,
}

impl Agent {
    /// An agent; nothing happens before [`Agent::run`].
    pub fn new(config: AgentConfig, env: Env, runtime: Arc<dyn RuntimeService>) -> Self {
        Self { context: Arc::new(Context::new(config, env, runtime, turns())), feed: None }
    }

    /// One of many nodes in this process, which share the feed of pods and the turns at writing.
    pub(crate) fn of_fleet(
        config: AgentConfig,
        env: Env,
        runtime: Arc<dyn RuntimeService>,
        feed: Arc<PodFeed>,
        turns: Turns,
    ) -> Self {
        Self { context: Arc::new(Context::new(config, env, runtime, turns)), feed: Some(feed) }
    }

    /// The node's HTTP API, for a [`NodeDialer`](orc_store::NodeDialer) or a listener. Works while the agent runs.
    pub fn service(&self) -> NodeService {
        http::service(self.context.clone())
    }

    /// Registers the node and runs its pods until `stop`. Pods go on running afterwards; the next agent over the same
    /// runtime takes them up.
    pub async fn run(self, stop: CancellationToken) {
        let Self { context, feed } = self;
        let feed = feed.unwrap_or_else(|| PodFeed::of_node(&context.env, &context.config.node_name));
        let heart = context.env.spawn.spawn(lease::run(context.clone()));
        let logs = context.env.spawn.spawn(rotation::run(context.clone()));
        let limits = context.env.spawn.spawn(volumes::usage::run(context.clone()));
        work::run(context, &feed, stop).await;
        drop((heart, logs, limits));
    }
}
