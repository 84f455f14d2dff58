//! What makes a decision true.

use async_trait::async_trait;
use orc_core::{ApiError, Doc};
use orc_store::ObjectClient;
use orc_store::client::{Intent, Subresource, Target, WriteRequest};
use serde_json::json;

use crate::pod::PodInfo;

/// Assigns a pod to a node.
///
/// Must be whole or nothing, and must refuse a pod that has a node already or is another pod of the same name.
#[async_trait]
pub trait Binder: Send + Sync + 'static {
    /// Assigns a pod to a node.
    ///
    /// # Errors
    /// The client's. After `Timeout` the assignment may still happen.
    async fn bind(&self, client: &dyn ObjectClient, pod: &PodInfo, node: &str) -> Result<(), ApiError>;
}

/// Creates a `Binding` at `pods/binding`, as every Kubernetes scheduler does.
#[derive(Clone, Copy, Debug, Default)]
pub struct ApiBinder;

#[async_trait]
impl Binder for ApiBinder {
    async fn bind(&self, client: &dyn ObjectClient, pod: &PodInfo, node: &str) -> Result<(), ApiError> {
        let binding = Doc::from_value(json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": &*pod.key.name, "namespace": pod.key.namespace_str(), "uid": &*pod.uid},
            "target": {"kind": "Node", "name": node},
        }))?;
        let target = Target::Named(pod.key.clone(), Some(Subresource::BINDING));
        client.write(WriteRequest::new(target, Intent::Create(binding))).await.map(drop)
    }
}
