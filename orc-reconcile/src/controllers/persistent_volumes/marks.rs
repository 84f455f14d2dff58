//! The annotations, finalizers and reasons that binder, scheduler and provisioners agree on (`k8s.io/component-helpers`,
//! `storage/volume`; `sigs.k8s.io/sig-storage-lib-external-provisioner`).

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use crate::controllers::support::meta;

/// On a claim: it was bound once, and what is missing later is lost.
pub(super) const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// On the side whose half of a bond the binder chose, and may take back.
pub(super) const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// On a volume: who made it.
pub(super) const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// On a claim: the node of its first pod, chosen by the scheduler.
pub(super) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// On a claim: who is to make its volume.
pub(super) const PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
/// The same under the name that older provisioners read.
pub(super) const PROVISIONER_BETA: &str = "volume.beta.kubernetes.io/storage-provisioner";
/// Holds a volume that is made for a claim until what it stands for is gone, whoever deletes it and when.
pub(super) const FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";
/// Classes whose volumes are made by hand.
pub(super) const BY_HAND: &str = "kubernetes.io/no-provisioner";
const DEFAULT_CLASS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
/// The older place of a claim's or volume's class.
const CLASS_BETA: &str = "volume.beta.kubernetes.io/storage-class";

/// The yes of these annotations.
pub(super) const YES: &str = "yes";

/// Whether a class is to be that of claims which name none.
pub(super) fn is_default(class: &k8s_openapi::api::storage::v1::StorageClass) -> bool {
    DEFAULT_CLASS.iter().any(|mark| meta::annotation(&class.metadata, mark) == Some("true"))
}

/// The class of a claim: `None` where it names none, `""` where it wants none.
pub(super) fn claim_class(claim: &PersistentVolumeClaim) -> Option<&str> {
    let old = meta::annotation(&claim.metadata, CLASS_BETA);
    old.or_else(|| claim.spec.as_ref()?.storage_class_name.as_deref())
}

/// The class of a volume, `""` for none.
pub(super) fn volume_class(volume: &PersistentVolume) -> &str {
    let old = meta::annotation(&volume.metadata, CLASS_BETA);
    old.or_else(|| volume.spec.as_ref()?.storage_class_name.as_deref()).unwrap_or_default()
}

/// The volume that a claim names, `""` for none.
pub(super) fn named_volume(claim: &PersistentVolumeClaim) -> &str {
    claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default()
}

/// The phase of a volume, `""` before it has one.
pub(super) fn phase(volume: &PersistentVolume) -> &str {
    volume.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// What becomes of a volume without its claim.
pub(super) fn policy(volume: &PersistentVolume) -> &str {
    let set = volume.spec.as_ref().and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    set.unwrap_or("Retain")
}

/// Sets an annotation.
pub(super) fn annotate(of: &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta, key: &str, value: &str) {
    of.annotations.get_or_insert_default().insert(key.to_owned(), value.to_owned());
}
