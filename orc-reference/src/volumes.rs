//! Local volumes: the class that claims get by default, and the way to the nodes that hold them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Empty};
use k8s_openapi::api::storage::v1::StorageClass;
use orc_api::RegistryClient;
use orc_core::ApiError;
use orc_reconcile::controllers::{LOCAL_PATH, LocalVolumes};
use orc_store::dialer::ControlPlane;
use orc_store::{Api, NodeDialer};
use serde_json::{Value, json};
use tower::{Service as _, ServiceExt as _};

/// How long a node may take to make or remove a folder; the loop tries again.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes the class `local-path`, once: what somebody made of it, such as another default, stays.
///
/// # Errors
/// When it cannot be written.
pub async fn ensure_class(admin: &RegistryClient) -> anyhow::Result<()> {
    let class: StorageClass = serde_json::from_value(json!({
        "metadata": {"name": "local-path", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": LOCAL_PATH,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": true,
    }))?;
    let classes: Api<StorageClass> = Api::all(Arc::new(admin.clone()));
    match classes.create(&class).await {
        Err(error) if !error.is_already_exists() => Err(error.into()),
        _ => Ok(()),
    }
}

/// Folders made and removed by the agents of the nodes.
pub struct NodeFolders(pub Arc<dyn NodeDialer>);

impl NodeFolders {
    async fn ask(&self, node: &str, method: Method, volume: &str) -> Result<Value, ApiError> {
        let mut service = self.0.dial(node).await?;
        let unreachable = |error: &dyn std::fmt::Display| ApiError::unavailable(format!("node {node:?}: {error}"));
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request = Request::builder().method(method).uri(format!("http://{node}/localVolumes/{volume}"));
        let request = request.extension(ControlPlane).body(body);
        let ready = service.ready().await.map_err(|error| unreachable(&error))?;
        let answer = ready.call(request.map_err(ApiError::internal)?);
        let answer = tokio::time::timeout(PATIENCE, answer).await.map_err(|_| unreachable(&"no answer"))?;
        let answer = answer.map_err(|error| unreachable(&error))?;
        let code = answer.status();
        let bytes = answer.into_body().collect().await.map_err(|error| unreachable(&error))?.to_bytes();
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if code.is_success() { Ok(value) } else { Err(ApiError::from_status(&value, code.as_u16())) }
    }
}

#[async_trait]
impl LocalVolumes for NodeFolders {
    async fn make(&self, node: &str, volume: &str) -> Result<PathBuf, ApiError> {
        let answer = self.ask(node, Method::PUT, volume).await?;
        let path = answer["path"].as_str().filter(|path| path.starts_with('/'));
        path.map(PathBuf::from)
            .ok_or_else(|| ApiError::internal(format!("node {node:?} did not say where the folder is")))
    }

    async fn remove(&self, node: &str, volume: &str) -> Result<(), ApiError> {
        self.ask(node, Method::DELETE, volume).await.map(drop)
    }
}
