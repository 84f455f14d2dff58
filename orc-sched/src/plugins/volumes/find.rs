//! Volumes for claims that have none.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use orc_core::Name;
use orc_core::labels::{Requirement, Selector};
use orc_core::node_selector::NodeTerms;

use crate::facts::{Fact, FactKind, Facts};
use crate::node::NodeInfo;
use crate::plugins::selected_node;
use crate::pod::amount;

/// The provisioner of classes whose volumes are made by hand.
const BY_HAND: &str = "kubernetes.io/no-provisioner";

/// What becomes of a claim on a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// It gets a volume that exists.
    Volume(Name),
    /// Its volume is made for the node.
    Made,
}

/// The mark of the binder that a claim and its volume know each other.
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";

/// Whether a claim has its volume, and the binder has said so: one that names a volume may still be refused it.
pub(crate) fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    names_volume(claim)
        && claim.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(BIND_COMPLETED))
}

/// Whether a claim names its volume.
pub(super) fn names_volume(claim: &PersistentVolumeClaim) -> bool {
    claim.spec.as_ref().is_some_and(|spec| spec.volume_name.as_deref().is_some_and(|name| !name.is_empty()))
}

/// Whether a volume can be used on a node.
pub(super) fn reachable(volume: &PersistentVolume, node: &NodeInfo) -> bool {
    let affinity = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required.as_ref());
    required.is_none_or(|required| NodeTerms::of(required).matches(&node.name, &node.labels))
}

/// Finds a volume for each claim on a node: the smallest that will do, or one that is to be made. `None` when there is none
/// for one of them.
pub(super) fn find(facts: &Facts, claims: &[(Name, &PersistentVolumeClaim)], node: &NodeInfo) -> Option<Vec<Found>> {
    let mut taken = BTreeSet::new();
    let mut found = Vec::new();
    for (namespace, claim) in claims {
        if let Some(selected) = selected_node(claim) {
            // Its volume is being made already.
            if selected != &*node.name {
                return None;
            }
            found.push(Found::Made);
            continue;
        }
        match smallest(facts, namespace, claim, node, &taken) {
            Some(volume) => {
                taken.insert(volume.clone());
                found.push(Found::Volume(volume));
            }
            None if can_be_made(facts, claim, node) => found.push(Found::Made),
            None => return None,
        }
    }
    Some(found)
}

fn smallest(
    facts: &Facts,
    namespace: &str,
    claim: &PersistentVolumeClaim,
    node: &NodeInfo,
    taken: &BTreeSet<Name>,
) -> Option<Name> {
    let candidates = facts.all(FactKind::Volume).filter_map(|(key, fact)| match fact {
        Fact::Volume(volume) if !taken.contains(&key.name) => {
            let size = size(volume)?;
            (suits(volume, namespace, claim) && reachable(volume, node)).then(|| (size, key.name.clone()))
        }
        _ => None,
    });
    candidates.min().map(|(_, name)| name)
}

fn size(volume: &PersistentVolume) -> Option<i64> {
    Some(amount("storage", volume.spec.as_ref()?.capacity.as_ref()?.get("storage")?))
}

/// Whether a volume may be given to a claim.
fn suits(volume: &PersistentVolume, namespace: &str, claim: &PersistentVolumeClaim) -> bool {
    let (Some(has), Some(wants)) = (&volume.spec, &claim.spec) else { return false };
    let own = |reference: &k8s_openapi::api::core::v1::ObjectReference| {
        reference.namespace.as_deref() == Some(namespace) && reference.name == claim.metadata.name
    };
    let free = match &has.claim_ref {
        Some(reference) => own(reference),
        None => volume.status.as_ref().and_then(|status| status.phase.as_deref()).is_none_or(|p| p == "Available"),
    };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let requested = wants.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let requested = requested.and_then(|requests| requests.get("storage")).map_or(0, |n| amount("storage", n));
    let modes = has.access_modes.clone().unwrap_or_default();
    let filesystem = |mode: &Option<String>| mode.as_deref().is_none_or(|mode| mode == "Filesystem");
    let selected = wants.selector.as_ref().is_none_or(|selector| {
        let labels = volume.metadata.labels.clone().unwrap_or_default();
        Selector::from_label_selector(Some(selector)).is_ok_and(|selector| selector.matches(&labels))
    });
    free && volume.metadata.deletion_timestamp.is_none()
        && text(&has.storage_class_name) == text(&wants.storage_class_name)
        && size(volume).is_some_and(|size| size >= requested)
        && wants.access_modes.iter().flatten().all(|mode| modes.contains(mode))
        && filesystem(&has.volume_mode) == filesystem(&wants.volume_mode)
        && selected
}

/// Whether a volume can be made for a claim on a node.
fn can_be_made(facts: &Facts, claim: &PersistentVolumeClaim, node: &NodeInfo) -> bool {
    let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    let Some(class) = class.and_then(|class| facts.storage_class(class)) else { return false };
    let topologies = class.allowed_topologies.as_deref().unwrap_or_default();
    class.provisioner != BY_HAND
        && (topologies.is_empty()
            || topologies.iter().any(|term| {
                let all = term.match_label_expressions.iter().flatten();
                let conditions: Option<Vec<Requirement>> = all
                    .map(|one| Requirement::new(&one.key, orc_core::labels::Operator::In, one.values.clone()).ok())
                    .collect();
                conditions.is_some_and(|all| all.iter().all(|one| one.matches(&node.labels)))
            }))
}
