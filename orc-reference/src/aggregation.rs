//! API servers beside the registry: those that APIServices name, and the usage of nodes and pods, which this process serves.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use orc_api::admission::webhook::StoreResolver;
use orc_api::aggregation::usage::{self, UsageApi};
use orc_api::aggregation::{self, Aggregator, AggregatorOptions};
use orc_api::pki::Pki;
use orc_api::{ApiService, Registry, RegistryClient};
use orc_core::ApiError;
use orc_core::env::System;
use orc_core::quantity::Quantity;
use orc_reconcile::controllers::{PodUsage, ResourceMetrics};
use orc_store::NodeDialer;
use serde_json::Value;

use crate::loops;

/// Starts what passes requests on, and publishes how other servers know it. `nodes` are asked what they use.
///
/// # Errors
/// When an object cannot be written or the store cannot be read.
pub async fn start(
    registry: &Arc<Registry>,
    admin: &RegistryClient,
    pki: &Pki,
    nodes: Arc<dyn NodeDialer>,
    system: &System,
) -> anyhow::Result<Arc<Aggregator>> {
    aggregation::publish(admin, &pki.ca.certificate, &pki.front_proxy)
        .await
        .context("extension-apiserver-authentication")?;
    aggregation::ensure_here(admin, usage::GROUP, usage::VERSION).await.context("the APIService of metrics.k8s.io")?;
    let store = registry.store();
    let usage = UsageApi::start(store, nodes, system);
    let options = AggregatorOptions {
        certificate: pki.front_proxy.client.clone(),
        resolver: Arc::new(StoreResolver::new(store.clone())),
        here: vec![(usage::GROUP.to_owned(), usage::VERSION.to_owned(), usage)],
    };
    Ok(Aggregator::start(registry, options, system).await?)
}

/// The use of pods, asked of the API as the autoscalers' service account, whoever serves `metrics.k8s.io`.
pub struct ApiMetrics(ApiService);

impl ApiMetrics {
    /// Asks this API.
    pub fn new(service: ApiService) -> Self {
        Self(service)
    }

    async fn ask(&self, path: &str) -> Result<Value, ApiError> {
        let who = loops::account("horizontal-pod-autoscaler");
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request = Request::get(path).header("accept", "application/json").extension(who).body(body);
        let answer = self.0.answer(request.map_err(ApiError::internal)?).await;
        let code = answer.status();
        let bytes =
            answer.into_body().collect().await.map_err(|error| ApiError::unavailable(error.to_string()))?.to_bytes();
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        match code.is_success() {
            true => Ok(value),
            false if value.is_object() => Err(ApiError::from_status(&value, code.as_u16())),
            false if code.as_u16() == 503 => Err(ApiError::unavailable(
                "the server is currently unable to handle the request (get pods.metrics.k8s.io)",
            )),
            false => Err(ApiError::new(
                orc_core::Reason::NotFound,
                "the server could not find the requested resource (get pods.metrics.k8s.io)",
            )),
        }
    }
}

#[async_trait]
impl ResourceMetrics for ApiMetrics {
    async fn pods(&self, namespace: &str, selector: &str) -> Result<Vec<PodUsage>, ApiError> {
        let selector = percent_encoding::utf8_percent_encode(selector, percent_encoding::NON_ALPHANUMERIC);
        let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods?labelSelector={selector}");
        let list = self.ask(&path).await?;
        Ok(list["items"].as_array().into_iter().flatten().filter_map(usage_of).collect())
    }
}

/// Reads PodMetrics; `None` for what is none.
fn usage_of(item: &Value) -> Option<PodUsage> {
    let amounts = |container: &Value| -> BTreeMap<String, i64> {
        let all = container["usage"].as_object().into_iter().flatten();
        all.filter_map(|(name, amount)| Some((name.clone(), Quantity::parse(amount.as_str()?).ok()?.milli_value())))
            .collect()
    };
    let containers = item["containers"].as_array().into_iter().flatten();
    Some(PodUsage {
        pod: item["metadata"]["name"].as_str()?.to_owned(),
        at: item["timestamp"].as_str()?.parse().ok()?,
        // Go's durations are read by jiff, which knows more forms.
        window: item["window"].as_str()?.parse().ok()?,
        containers: containers.filter_map(|one| Some((one["name"].as_str()?.to_owned(), amounts(one)))).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pod_metrics_are_read() {
        let item = json!({"metadata": {"name": "p"}, "timestamp": "2026-01-01T00:00:00Z", "window": "1m15.5s",
            "containers": [{"name": "c", "usage": {"cpu": "250000000n", "memory": "1Ki"}}]});
        let read = usage_of(&item).unwrap();
        assert_eq!((read.pod.as_str(), read.window.as_millis()), ("p", 75_500));
        assert_eq!(read.containers["c"], [("cpu".to_owned(), 250), ("memory".to_owned(), 1_024_000)].into());
        assert_eq!(usage_of(&json!({"metadata": {"name": "p"}})), None);
    }
}
