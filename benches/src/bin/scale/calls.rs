//! Requests of this program: one at a time, JSON in and out.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use orc_benches::cluster::Cluster;
use orc_benches::http2::Http2;
use serde_json::{Value, json};

const JSON: &str = "application/json";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const PODS: &str = "/api/v1/namespaces/default/pods";
/// Pods of one page when all are counted.
const PAGE: usize = 500;

/// A connection to the cluster; clones share it.
#[derive(Clone)]
pub(crate) struct Calls(Http2);

impl Calls {
    pub(crate) async fn open(cluster: &Cluster) -> anyhow::Result<Self> {
        Ok(Self(Http2::open(cluster.address, &cluster.kubeconfig()?).await?))
    }

    /// Sends a request, which must succeed, and reads the whole answer.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Bytes> {
        let answer = self.0.send(method.clone(), path, JSON, body).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await.with_context(|| path.to_owned())?.to_bytes();
        if !status.is_success() {
            bail!("{method} {path}: {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(body)
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&self.send(Method::GET, path, Bytes::new()).await?)?)
    }

    /// Makes Deployment `number`.
    pub(crate) async fn deploy(&self, number: u32, replicas: u32) -> anyhow::Result<()> {
        let body = deployment(number, replicas).to_string().into();
        self.send(Method::POST, DEPLOYMENTS, body).await.map(drop)
    }

    /// Scales Deployment `number`.
    pub(crate) async fn scale(&self, number: u32, replicas: u32) -> anyhow::Result<()> {
        let body = json!({"spec": {"replicas": replicas}}).to_string().into();
        self.send(Method::PATCH, &format!("{DEPLOYMENTS}/{}", name(number)), body).await.map(drop)
    }

    /// Ready replicas of all Deployments, as their status says.
    pub(crate) async fn ready_replicas(&self) -> anyhow::Result<u64> {
        let list = self.get(DEPLOYMENTS).await?;
        let items = list["items"].as_array().into_iter().flatten();
        Ok(items.filter_map(|deployment| deployment["status"]["readyReplicas"].as_u64()).sum())
    }

    /// How many pods there are, those that end included.
    pub(crate) async fn pods(&self) -> anyhow::Result<u64> {
        let list = self.get(&format!("{PODS}?limit=1")).await?;
        let shown = list["items"].as_array().map_or(0, Vec::len) as u64;
        Ok(shown + list["metadata"]["remainingItemCount"].as_u64().unwrap_or(0))
    }

    /// Looks at every pod, a page at a time: how many are Ready.
    pub(crate) async fn ready_pods(&self) -> anyhow::Result<u64> {
        let (mut ready, mut next) = (0, String::new());
        loop {
            let list = self.get(&format!("{PODS}?limit={PAGE}&continue={next}")).await?;
            ready += list["items"].as_array().into_iter().flatten().filter(|pod| is_ready(pod)).count() as u64;
            match list["metadata"]["continue"].as_str().filter(|token| !token.is_empty()) {
                Some(token) => next = encoded(token),
                None => return Ok(ready),
            }
        }
    }
}

/// A token as a part of a query.
fn encoded(token: &str) -> String {
    let each = token.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    each.collect()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True")
}

fn name(number: u32) -> String {
    format!("web-{number:04}")
}

fn deployment(number: u32, replicas: u32) -> Value {
    let labels = json!({"app": name(number), "tier": "frontend"});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name(number), "labels": labels},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name(number)}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{
                    "name": "web", "image": "registry.example.com/web:1", "ports": [{"containerPort": 8080}],
                    "env": [{"name": "LOG_LEVEL", "value": "info"}],
                    "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}
                }]}
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_conditions_are_read() {
        assert_eq!(encoded("a/b+c="), "a%2Fb%2Bc%3D");
        let pod = |status: &str| json!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
        assert!(is_ready(&pod("True")) && !is_ready(&pod("False")) && !is_ready(&json!({})));
    }
}
