//! What scheduling reads of a node.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use orc_core::Name;

use crate::pod::images::normalized;
use crate::pod::{Taint, amount};

/// What scheduling reads of a node. Two states of a node that are equal here are the same to the scheduler, so heartbeats and
/// conditions cost nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeInfo {
    /// The name.
    pub name: Name,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Taints, those of unknown effect left out.
    pub taints: Vec<Taint>,
    /// `spec.unschedulable`.
    pub unschedulable: bool,
    /// `status.allocatable` by resource: CPU in thousandths, everything else in whole units.
    pub allocatable: BTreeMap<Name, i64>,
    /// Sizes in bytes of the images that it has, by each of their names written in full.
    pub images: BTreeMap<Name, i64>,
}

impl NodeInfo {
    /// Reads a node.
    pub fn of(node: &Node) -> Self {
        let spec = node.spec.as_ref();
        let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
        Self {
            name: Name::new(node.metadata.name.as_deref().unwrap_or_default()),
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints: spec.and_then(|spec| spec.taints.as_ref()).into_iter().flatten().filter_map(Taint::of).collect(),
            unschedulable: spec.and_then(|spec| spec.unschedulable).unwrap_or_default(),
            allocatable: allocatable
                .into_iter()
                .flatten()
                .map(|(name, n)| (Name::new(name), amount(name, n)))
                .collect(),
            images: images(node),
        }
    }
}

fn images(node: &Node) -> BTreeMap<Name, i64> {
    let all = node.status.iter().flat_map(|status| status.images.iter().flatten());
    let named = all.flat_map(|image| image.names.iter().flatten().map(|name| (name, image.size_bytes.unwrap_or(0))));
    named.map(|(name, size)| (Name::shared(normalized(name)), size)).collect()
}
