//! What goes on beside the operations: signs of life of the nodes, deletions that are confirmed, churn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http::{Method, StatusCode};
use orc_core::env::Clock;
use serde_json::json;
use tokio::sync::mpsc;

use crate::objects::Template;
use crate::pool::Pool;
use crate::seen::pod_path;
use crate::workload::Churn;

/// Between two signs of life of a node. A node counts as lost after 40 seconds of silence, and a renewal costs what it measures
/// beside: this is as seldom as is safe.
const BEAT: Duration = Duration::from_secs(20);
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

/// Renewals under way at a time.
const BEATS: usize = 16;
/// How long a round of all nodes may take, well below those 40 seconds: what is measured beside lost nodes is something else.
const LATE: Duration = Duration::from_secs(35);

/// Keeps nodes alive that nothing runs: renews their leases one after the other, evenly.
pub(crate) async fn heartbeat(pool: Arc<Pool>, clock: Clock, names: Vec<String>) -> anyhow::Result<()> {
    let count = u32::try_from(names.len().max(1))?;
    let mut pace = tokio::time::interval(BEAT / count);
    let mut under_way = FuturesUnordered::new();
    for round in 0_u64.. {
        let began = Instant::now();
        for name in &names {
            pace.tick().await;
            if under_way.len() >= BEATS {
                under_way.next().await.transpose()?;
            }
            under_way.push(beat(&pool, &clock, name, round == 0));
        }
        let took = began.elapsed();
        anyhow::ensure!(took < LATE, "renewing all leases took {} s: the machine is too busy", took.as_secs());
    }
    Ok(())
}

async fn beat(pool: &Pool, clock: &Clock, name: &str, new: bool) -> anyhow::Result<()> {
    let now = clock.now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    let spec = json!({"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now});
    let (version, kind) = ("coordination.k8s.io/v1", "Lease");
    let lease = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec});
    let body = Bytes::from(lease.to_string());
    if new {
        return pool.send(Method::POST, LEASES, body, StatusCode::CONFLICT).await;
    }
    pool.send(Method::PATCH, &format!("{LEASES}/{name}"), body, StatusCode::OK).await
}

/// Confirms the end of pods, many at a time.
pub(crate) async fn confirm(pool: Arc<Pool>, mut ended: mpsc::Receiver<String>) -> anyhow::Result<()> {
    let mut paths = Vec::new();
    while ended.recv_many(&mut paths, 256).await > 0 {
        pool.delete(std::mem::take(&mut paths)).await?;
    }
    Ok(())
}

/// Makes the objects every so often, and takes the oldest away when only some are to be kept.
pub(crate) async fn churn(pool: Arc<Pool>, at: usize, churn: Churn) -> anyhow::Result<()> {
    let templates: Vec<(String, Template)> = churn
        .objects
        .iter()
        .map(|object| match object["kind"].as_str() {
            Some("Pod") => (pod_path("default", "x").trim_end_matches("/x").to_owned(), Template::pod(object)),
            Some("Node") => ("/api/v1/nodes".to_owned(), Template::node(object, None)),
            _ => ("/api/v1/namespaces/default/services".to_owned(), Template::of(object.clone(), "v1", "Service")),
        })
        .collect();
    let mut pace = tokio::time::interval(churn.every);
    let mut made: VecDeque<Vec<String>> = VecDeque::new();
    for round in 0..churn.rounds.unwrap_or(usize::MAX) {
        pace.tick().await;
        if churn.keep.is_some_and(|keep| made.len() >= keep)
            && let Some(oldest) = made.pop_front()
        {
            pool.delete(oldest).await?;
        }
        let mut paths = Vec::new();
        for (number, (path, template)) in templates.iter().enumerate() {
            let name = format!("{}{at}-{number}-{round}", template.prefix());
            pool.send(Method::POST, path, template.body(&name), StatusCode::CREATED).await?;
            paths.push(format!("{path}/{name}"));
        }
        if churn.keep.is_some() {
            made.push_back(paths);
        }
    }
    futures::stream::pending::<()>().next().await;
    Ok(())
}
