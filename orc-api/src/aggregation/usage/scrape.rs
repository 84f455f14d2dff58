//! The loop that asks the nodes what they use.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use http::Request;
use http_body_util::BodyExt as _;
use orc_core::env::Clock;
use orc_core::{ApiError, ResourceId};
use orc_store::client::{Freshness, ListOptions, Scope};
use orc_store::{NodeDialer, Store};
use serde_json::Value;
use tower::{Service as _, ServiceExt as _};

use super::Histories;
use super::sample::Sample;
use crate::http::nothing_to_send;

/// How often the nodes are asked; metrics-server's own manifest asks as often.
const PERIOD: Duration = Duration::from_secs(15);
/// How long one node may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Nodes that are asked at a time.
const AT_A_TIME: usize = 16;
/// The longest answer that is read, in bytes: 110 pods take about 100 KB.
const MAX: usize = 8 * 1024 * 1024;

/// Asks all nodes, again and again.
pub(super) async fn run(store: Arc<Store>, nodes: Arc<dyn NodeDialer>, histories: Arc<Histories>, clock: Clock) {
    loop {
        match names(&store).await {
            Ok(names) => {
                histories.write().retain(|node, _| names.contains(node));
                let asked: Vec<_> = names.into_iter().map(|name| one(nodes.clone(), histories.clone(), name)).collect();
                futures::stream::iter(asked).buffer_unordered(AT_A_TIME).collect::<()>().await;
            }
            Err(error) => tracing::warn!(%error, "the nodes cannot be listed for their usage"),
        }
        clock.sleep(PERIOD).await;
    }
}

async fn names(store: &Store) -> Result<Vec<String>, ApiError> {
    let options = ListOptions { freshness: Freshness::Any, ..ListOptions::default() };
    let nodes = store.list(&Scope::all(ResourceId::new("", "nodes")), &options).await?;
    Ok(nodes.items.iter().map(|node| node.key.name.to_string()).collect())
}

/// Asks one node. One that does not answer has no usage: what it said before grows old.
async fn one(nodes: Arc<dyn NodeDialer>, histories: Arc<Histories>, node: String) {
    match tokio::time::timeout(PATIENCE, ask(nodes, &node)).await {
        Ok(Ok(sample)) => histories.write().entry(node).or_default().push(sample),
        Ok(Err(error)) => {
            tracing::debug!(node, %error, "a node does not say what it uses");
            histories.write().remove(&node);
        }
        Err(_) => {
            tracing::debug!(node, "a node takes too long to say what it uses");
            histories.write().remove(&node);
        }
    }
}

async fn ask(nodes: Arc<dyn NodeDialer>, node: &str) -> Result<Sample, ApiError> {
    let mut service = nodes.dial(node).await?;
    let failed = |error: &dyn std::fmt::Display| ApiError::unavailable(format!("node {node}: {error}"));
    let mut request = Request::new(nothing_to_send());
    *request.uri_mut() = http::Uri::from_static("/stats/summary");
    let ready = service.ready().await.map_err(|error| failed(&error))?;
    let answer = ready.call(request).await.map_err(|error| failed(&error))?;
    if !answer.status().is_success() {
        return Err(failed(&answer.status()));
    }
    let (mut body, mut bytes) = (answer.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        bytes.extend_from_slice(&frame.map_err(|error| failed(&error))?.into_data().unwrap_or_default());
        if bytes.len() > MAX {
            return Err(failed(&"its answer is too long"));
        }
    }
    let summary: Value = serde_json::from_slice(&bytes).map_err(|error| failed(&error))?;
    Ok(Sample::read(&summary))
}
