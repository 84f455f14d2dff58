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
///
/// ```
/// use async_trait::async_trait;
/// use orc_core::ApiError;
/// use orc_sched::driver::{ApiBinder, Binder};
/// use orc_sched::{PodInfo, Profile};
/// use orc_store::ObjectClient;
/// use std::sync::Arc;
///
/// /// Binds in working hours only.
/// struct OfficeHours(fn() -> bool);
///
/// #[async_trait]
/// impl Binder for OfficeHours {
///     async fn bind(&self, client: &dyn ObjectClient, pod: &PodInfo, node: &str) -> Result<(), ApiError> {
///         if !(self.0)() {
///             return Err(ApiError::unavailable("come back in the morning"));
///         }
///         ApiBinder.bind(client, pod, node).await
///     }
/// }
/// let mut profile = Profile::default();
/// profile.points.bind = Some(Arc::new(OfficeHours(|| true)));
/// assert!(profile.points.bind.is_some());
/// ```
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

#[cfg(test)]
mod tests {
    use super::*;
    use orc_store::WatchStream;
    use orc_store::client::{Gotten, ListOptions, Listing, Outcome, ReadOptions, Scope, WatchOptions, Written};
    use parking_lot::Mutex;

    /// Keeps what is written.
    #[derive(Default)]
    struct Keeping(Mutex<Vec<WriteRequest>>);

    #[async_trait]
    impl ObjectClient for Keeping {
        async fn get(&self, _: &Target, _: &ReadOptions) -> Result<Gotten, ApiError> {
            Err(ApiError::internal("not read"))
        }

        async fn list(&self, _: &Scope, _: &ListOptions) -> Result<Listing, ApiError> {
            Err(ApiError::internal("not listed"))
        }

        async fn watch(&self, _: &Scope, _: &WatchOptions) -> Result<WatchStream, ApiError> {
            Err(ApiError::internal("not watched"))
        }

        async fn write(&self, request: WriteRequest) -> Result<Written, ApiError> {
            self.0.lock().push(request);
            Ok(Written { outcome: Outcome::Status(json!({})), code: 201, warnings: Vec::new() })
        }
    }

    #[tokio::test]
    async fn a_binding_names_the_pods_uid_and_the_node() {
        let pod = json!({"metadata": {"name": "a", "namespace": "d", "uid": "u"}, "spec": {"containers": []}});
        let pod = PodInfo::of(&serde_json::from_value(pod).unwrap());
        let client = Keeping::default();
        ApiBinder.bind(&client, &pod, "n1").await.unwrap();
        let written = client.0.lock().pop().unwrap();
        assert_eq!(written.target, Target::Named(pod.key.clone(), Some(Subresource::BINDING)));
        let Intent::Create(binding) = written.intent else { panic!("{:?}", written.intent) };
        assert_eq!(binding.value()["target"], json!({"kind": "Node", "name": "n1"}));
        assert_eq!(binding.value()["metadata"], json!({"name": "a", "namespace": "d", "uid": "u"}));
    }
}
