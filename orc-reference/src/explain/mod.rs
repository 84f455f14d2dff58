//! `orc explain-scheduling`: why a pod goes where it goes, by the engine that decides it.
//!
//! Reads the cluster as it is now, as whoever asks, and decides once more; nothing is written. The scheduler may have seen
//! another state when it decided.

mod args;
mod cluster;
mod print;

use std::sync::Arc;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Pod;
use orc_api::remote::RemoteClient;
use orc_core::env::System;
use orc_sched::driver::QueuePoints;
use orc_sched::{Engine, PodInfo};
use orc_store::{Api, ObjectClient};

use crate::client::Client;
use crate::scheduler::read_config;

pub use args::{ExplainArgs, Output};

/// Explains what is decided about a pod.
///
/// # Errors
/// When there is no such pod, it has a node already, or the cluster cannot be read.
pub async fn run(args: ExplainArgs) -> anyhow::Result<()> {
    let config = read_config(args.config.as_deref(), None)?;
    let client = Client::open(&args.client)?;
    let namespace = client.namespace;
    let remote: Arc<dyn ObjectClient> = Arc::new(RemoteClient::new(client.connection, "orc"));
    let pod = find(&remote, &namespace, &args).await?;
    let points = QueuePoints::of(&config.profiles);
    let mut engine = Engine::new(config.profiles);
    let profile = engine.profile(&pod.scheduler).with_context(|| {
        format!(
            "the pod names the scheduler {:?}, of which nothing is known here; say with --config how it is configured",
            pod.scheduler.as_str()
        )
    })?;
    for missing in cluster::read(&remote, &mut engine, &pod).await? {
        anstream::eprintln!("{}not taken into account: {missing}{}", print::WARN.render(), print::WARN.render_reset());
    }
    let seed = args.seed.unwrap_or_else(|| System::real().rng.next());
    let explanation = engine.explain(profile, &pod, seed);
    match args.output {
        Output::Json => anstream::println!("{}", serde_json::to_string_pretty(&explanation)?),
        Output::Table => anstream::print!("{}", print::text(&explanation, points.held(&pod).as_deref())),
    }
    Ok(())
}

async fn find(client: &Arc<dyn ObjectClient>, namespace: &str, args: &ExplainArgs) -> anyhow::Result<Arc<PodInfo>> {
    let name = args.pod.strip_prefix("pod/").or(args.pod.strip_prefix("pods/")).unwrap_or(&args.pod);
    let found = Api::<Pod>::namespaced(client.clone(), namespace).get_opt(name).await?;
    let found = found.with_context(|| {
        format!("there is no pod {name:?} in the namespace {namespace:?}; `orc get pods -A` lists all, -n names another namespace")
    })?;
    let mut pod = PodInfo::of(&found);
    anyhow::ensure!(!pod.ended, "the pod {namespace}/{name} has ended: nothing is scheduled any more");
    if let Some(node) = pod.node.take() {
        anyhow::ensure!(
            args.unbound,
            "the pod {namespace}/{name} is bound to the node {node} already; --unbound explains where it would go now if it were not"
        );
    }
    Ok(Arc::new(pod))
}
