//! Many simulated nodes in one process: one watch of pods, one task for all leases, turns at writing, and one loop a node.

use std::sync::Arc;

use orc_core::env::Task;
use orc_reconcile::CancellationToken;
use orc_store::{Env, NodeService};

use super::runtime::{SimConfig, SimRuntime};
use super::script::Script;
use crate::agent::{Agent, AgentConfig, PodFeed, renew_all, turns};
use crate::pod_net::Cidr;

/// How a fleet is set up.
#[derive(Debug, Clone)]
pub struct FleetConfig {
    /// Settings of each node and the range of its pods.
    pub nodes: Vec<(AgentConfig, Cidr)>,
    /// What containers do unless annotations say otherwise.
    pub script: Script,
}

/// Simulated nodes.
pub struct Fleet {
    env: Env,
    names: Vec<String>,
    agents: Vec<Agent>,
}

impl Fleet {
    /// The agents of all nodes over one watch; nothing happens before [`Fleet::run`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(config: FleetConfig, env: &Env) -> Self {
        let (feed, turns) = (PodFeed::of_all(env), turns());
        let names = config.nodes.iter().map(|(node, _)| node.node_name.clone()).collect();
        let agents = config.nodes.into_iter().map(|(mut node, pod_cidr)| {
            node.heartbeats = false;
            let sim = SimConfig { pod_cidr, script: config.script.clone() };
            let runtime = SimRuntime::new(sim, env.clock.clone());
            Agent::of_fleet(node, env.clone(), Arc::new(runtime), feed.clone(), turns.clone())
        });
        Self { env: env.clone(), agents: agents.collect(), names }
    }

    /// The HTTP API of each node, by name.
    pub fn services(&self) -> Vec<(String, NodeService)> {
        self.names.iter().cloned().zip(self.agents.iter().map(Agent::service)).collect()
    }

    /// Registers and runs all nodes until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let spawn = self.env.spawn.clone();
        let mut tasks: Vec<Task> = self.agents.into_iter().map(|agent| spawn.spawn(agent.run(stop.clone()))).collect();
        tasks.push(spawn.spawn(renew_all(self.env.clone(), self.names, stop.clone())));
        for task in tasks {
            if let Err(panic) = task.join().await {
                tracing::error!(%panic, "a simulated node ended");
            }
        }
    }
}
