//! `/status`: how the cluster does, as JSON; what `orc status` shows.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use orc_api::Registry;
use orc_api::http::{Body, Extra};
use orc_api::metrics::{ApiMetrics, MeteredBackend};
use orc_core::{ApiError, ResourceId};
use orc_store::Stored;
use orc_store::client::{ListOptions, Scope};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::board::Board;

/// Where the status is read. Who may is whoever has `get` on this non-resource URL: by default, cluster administrators.
pub const PATH: &str = "/status";

/// What the status is read from.
pub struct Status {
    /// What runs.
    pub board: Board,
    /// Objects.
    pub registry: Arc<Registry>,
    /// The store's backend.
    pub backend: Arc<MeteredBackend>,
    /// The folder of the store, where it has one.
    pub folder: Option<PathBuf>,
    /// What this server calls itself.
    pub identity: String,
    /// The requests of the service, which is made after its pages.
    pub requests: Mutex<Option<Arc<ApiMetrics>>>,
}

#[async_trait]
impl Extra for Status {
    async fn answer(&self, _: Request<Body>) -> Response<Body> {
        let (code, value) = match self.read().await {
            Ok(value) => (200, value),
            Err(error) => (error.code(), error.to_status()),
        };
        let body = Full::new(Bytes::from(value.to_string())).map_err(|never| match never {}).boxed_unsync();
        let mut response = Response::new(body);
        *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

impl Status {
    async fn read(&self) -> Result<Value, ApiError> {
        let now = self.board.now();
        let mut phases = BTreeMap::<String, usize>::new();
        for pod in self.all("", "pods").await? {
            *phases.entry(phase(&pod)).or_default() += 1;
        }
        let nodes = self.all("", "nodes").await?;
        let ready = nodes.iter().filter(|node| is_ready(node)).count();
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"), "kubernetes": "v1.36", "server": self.identity,
            "started": self.board.started().to_string(), "now": now.to_string(),
            "uptimeSeconds": now.duration_since(self.board.started()).as_secs(),
            "nodes": {"total": nodes.len(), "ready": ready},
            "pods": phases,
            "loops": self.board.loops(), "endedLoops": self.board.ended(),
            "scheduler": self.board.scheduler_status(),
            "store": self.store(),
            "servers": self.servers().await?,
            "leaders": self.leaders(),
        }))
    }

    async fn all(&self, group: &str, plural: &str) -> Result<Vec<Arc<Stored>>, ApiError> {
        let scope = Scope::all(ResourceId::new(group, plural));
        Ok(self.registry.store().list(&scope, &ListOptions::default()).await?.items)
    }

    fn store(&self) -> Value {
        let store = self.registry.store();
        let objects: usize = store.resources().iter().map(|id| store.count(id)).sum();
        let (operations, errors, seconds) = self.backend.so_far();
        json!({
            "revision": store.current().0, "objects": objects, "bytes": self.folder.as_deref().map(size),
            "watchers": self.requests.lock().as_ref().map_or(0, |requests| requests.watches()),
            "operations": operations, "errors": errors,
            "meanSeconds": if operations == 0 { 0.0 } else { seconds / operations as f64 },
        })
    }

    /// The servers that keep a lease, and since when each was last heard of.
    async fn servers(&self) -> Result<Vec<Value>, ApiError> {
        let mut servers = Vec::new();
        for lease in self.all("coordination.k8s.io", "leases").await? {
            if lease.head.labels.get(crate::servers::LABEL.0).is_none_or(|value| value != crate::servers::LABEL.1) {
                continue;
            }
            let doc = lease.to_doc()?;
            let text = |path: &[&str]| doc.str_at(path).unwrap_or_default().to_owned();
            servers.push(json!({
                "name": text(&["spec", "holderIdentity"]), "renewed": text(&["spec", "renewTime"]),
                "endpoint": text(&["metadata", "annotations", crate::servers::ENDPOINT]),
            }));
        }
        Ok(servers)
    }

    /// Who runs what there is once in a cluster. Without an election, that is this server.
    fn leaders(&self) -> Vec<Value> {
        let elections = self.board.elections();
        let told = elections.into_iter().map(|(lease, standing)| {
            json!({"lease": lease, "holder": standing.holder, "here": standing.leads, "terms": standing.terms})
        });
        told.collect()
    }
}

fn phase(pod: &Stored) -> String {
    let phase = pod.head.field("status.phase");
    if phase.is_empty() { "Pending".to_owned() } else { phase.to_owned() }
}

fn is_ready(node: &Stored) -> bool {
    let Ok(doc) = node.to_doc() else { return false };
    let conditions = doc.value()["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True")
}

/// The bytes of the files of a folder.
fn size(folder: &std::path::Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).filter(std::fs::Metadata::is_file).map(|file| file.len()).sum()
}
