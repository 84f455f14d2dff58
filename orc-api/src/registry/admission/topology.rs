//! A pod that is bound to a node takes over where the node is (PodTopologyLabels).

use orc_core::{ApiError, ObjectKey, ResourceId};
use serde_json::Value;

use super::super::Registry;
use crate::admission::{Attributes, Operation};

/// The labels that are taken over.
const LABELS: [&str; 2] = ["topology.kubernetes.io/region", "topology.kubernetes.io/zone"];

impl Registry {
    /// Writes a node's topology labels into a binding to it, or into a new pod that names its node.
    pub(super) async fn topology_labels(&self, ask: &mut Attributes<'_>) -> Result<(), ApiError> {
        let path = match (ask.resource(), ask.subresource, ask.operation) {
            ("pods", "binding", Operation::Create) => ["target", "name"],
            ("pods", "", Operation::Create) => ["spec", "nodeName"],
            _ => return Ok(()),
        };
        let Some(doc) = ask.object.as_mut() else { return Ok(()) };
        let node = doc.str_at(&path).unwrap_or_default();
        if node.is_empty() {
            return Ok(());
        }
        let key = ObjectKey::cluster(ResourceId::new("", "nodes"), node);
        let Some(node) = self.store.find(&key).await? else { return Ok(()) };
        let node = node.to_doc()?;
        for label in LABELS {
            if let Some(value) =
                node.at(&["metadata", "labels", label]).filter(|value| matches!(value, Value::String(_)))
            {
                doc.set(&["metadata", "labels", label], value.clone());
            }
        }
        Ok(())
    }
}
