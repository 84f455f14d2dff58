//! Volumes that are folders of a node.

use std::path::PathBuf;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{
    LocalVolumeSource, Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PersistentVolume,
    PersistentVolumeClaim, PersistentVolumeSpec, VolumeNodeAffinity,
};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use orc_core::ApiError;

use super::marks::{FINALIZER, PROVISIONED_BY, annotate};
use crate::controllers::support::meta;

/// The provisioner of classes whose volumes are folders of the pod's node.
pub const LOCAL_PATH: &str = "orc.dev/local-path";
const HOST_NAME: &str = "kubernetes.io/hostname";

/// Makes and removes folders on nodes. Both may be repeated.
#[async_trait]
pub trait LocalVolumes: Send + Sync + 'static {
    /// Makes the folder of a volume on a node, and says where it is. One that is there stays with what is in it.
    ///
    /// # Errors
    /// `ServiceUnavailable` when the node cannot be reached, else why there is no folder.
    async fn make(&self, node: &str, volume: &str) -> Result<PathBuf, ApiError>;

    /// Removes the folder of a volume with everything in it. One that is not there is no error.
    ///
    /// # Errors
    /// `ServiceUnavailable` when the node cannot be reached, else why the folder is still there.
    async fn remove(&self, node: &str, volume: &str) -> Result<(), ApiError>;
}

/// The name of the volume that is made for a claim: the same at each attempt, by whichever leader.
pub(super) fn name(claim: &PersistentVolumeClaim) -> String {
    format!("pvc-{}", meta::uid(&claim.metadata))
}

/// Whether a folder can be what a claim asks for.
///
/// # Errors
/// Why not.
pub(super) fn check(claim: &PersistentVolumeClaim, node: Option<&str>) -> Result<(), String> {
    let spec = claim.spec.clone().unwrap_or_default();
    if let Some(mode) = spec.access_modes.iter().flatten().find(|mode| !mode.starts_with("ReadWriteOnce")) {
        return Err(format!("access mode {mode} is not one that a folder of one node can have; use ReadWriteOnce"));
    }
    if spec.volume_mode.as_deref() == Some("Block") {
        return Err("raw block volumes are not supported".to_owned());
    }
    if spec.selector.is_some() {
        return Err("claim Selector is not supported".to_owned());
    }
    if spec.data_source.is_some() || spec.data_source_ref.is_some() {
        return Err("data sources are not supported".to_owned());
    }
    if node.is_none() {
        return Err(format!(
            "{LOCAL_PATH} needs a class with volumeBindingMode WaitForFirstConsumer, to know the node"
        ));
    }
    Ok(())
}

/// The volume for a claim, whose folder is on a node at a path.
pub(super) fn volume(
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
    node: &Node,
    path: &std::path::Path,
) -> PersistentVolume {
    let spec = claim.spec.clone().unwrap_or_default();
    let policy = class.reclaim_policy.clone().unwrap_or_else(|| "Delete".to_owned());
    let mut metadata = ObjectMeta { name: Some(name(claim)), ..Default::default() };
    annotate(&mut metadata, PROVISIONED_BY, LOCAL_PATH);
    if policy == "Delete" {
        metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    }
    PersistentVolume {
        metadata,
        spec: Some(PersistentVolumeSpec {
            capacity: spec.resources.and_then(|resources| resources.requests),
            access_modes: spec.access_modes,
            volume_mode: Some("Filesystem".to_owned()),
            persistent_volume_reclaim_policy: Some(policy),
            storage_class_name: class.metadata.name.clone(),
            mount_options: class.mount_options.clone(),
            claim_ref: Some(meta::reference(claim)),
            local: Some(LocalVolumeSource { path: path.to_string_lossy().into_owned(), ..Default::default() }),
            node_affinity: Some(only_on(node)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// By the label that people read; by name where a node has none.
fn only_on(node: &Node) -> VolumeNodeAffinity {
    let label = node.metadata.labels.as_ref().and_then(|labels| labels.get(HOST_NAME));
    let is = |key: &str, value: &str| {
        let operator = "In".to_owned();
        Some(vec![NodeSelectorRequirement {
            key: key.to_owned(),
            operator,
            values: Some(vec![value.to_owned()]),
            ..Default::default()
        }])
    };
    let term = match label {
        Some(label) => NodeSelectorTerm { match_expressions: is(HOST_NAME, label), ..Default::default() },
        None => {
            NodeSelectorTerm { match_fields: is("metadata.name", meta::name(&node.metadata)), ..Default::default() }
        }
    };
    VolumeNodeAffinity {
        required: Some(NodeSelector { node_selector_terms: vec![term], ..Default::default() }),
        ..Default::default()
    }
}

/// The name of the node that a folder is on. A host name is that of a node with this label, which is the node's name but for
/// nodes that say otherwise.
pub(super) fn node_of(volume: &PersistentVolume, nodes: &[std::sync::Arc<Node>]) -> Option<String> {
    let affinity = volume.spec.as_ref()?.node_affinity.as_ref()?;
    let term = affinity.required.as_ref()?.node_selector_terms.first()?;
    let value = |list: &Option<Vec<NodeSelectorRequirement>>, key: &str| {
        list.iter().flatten().find(|one| one.key == key)?.values.as_ref()?.first().cloned()
    };
    if let Some(name) = value(&term.match_fields, "metadata.name") {
        return Some(name);
    }
    let host = value(&term.match_expressions, HOST_NAME)?;
    let labelled =
        nodes.iter().find(|node| node.metadata.labels.as_ref().and_then(|labels| labels.get(HOST_NAME)) == Some(&host));
    Some(labelled.map_or(host, |node| meta::name(&node.metadata).to_owned()))
}
