//! What a volume needs: `syncVolume` of upstream's `pkg/controller/volume/persistentvolume`, as a function.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use super::bond::volume_phase;
use super::marks::{BOUND_BY_CONTROLLER, FINALIZER, PROVISIONED_BY, named_volume, phase, policy};
use super::matching::promised;
use super::provision::LOCAL_PATH;
use super::step::{Plan, Step};
use crate::controllers::support::meta;

/// The next step of a volume. `claim` is the one of the name that the volume is promised to; that there is none is certain.
/// `provisions`: whether this process takes local volumes away.
pub(super) fn plan(volume: &PersistentVolume, claim: Option<&PersistentVolumeClaim>, provisions: bool) -> Plan {
    if let Some(step) = finalizer(volume) {
        return Plan::of(Some(step));
    }
    let uid = promised(volume).and_then(|to| to.uid.as_deref()).unwrap_or_default();
    if uid.is_empty() {
        return Plan::of(volume_phase(volume, "Available", None));
    }
    let Some(claim) = claim.filter(|claim| meta::uid(&claim.metadata) == uid) else {
        return released(volume, provisions);
    };
    match named_volume(claim) {
        // The claim's own pass goes on with the bond.
        "" => Plan::default(),
        name if name == meta::name(&volume.metadata) => Plan::of(volume_phase(volume, "Bound", None)),
        _ => elsewhere(volume, provisions),
    }
}

/// A local volume that is to be kept must not be held by what would take it away.
fn finalizer(volume: &PersistentVolume) -> Option<Step> {
    let local = meta::annotation(&volume.metadata, PROVISIONED_BY) == Some(LOCAL_PATH);
    let held = volume.metadata.finalizers.iter().flatten().any(|own| own == FINALIZER);
    let wanted = policy(volume) == "Delete";
    if !local || held == wanted || (wanted && meta::is_terminating(&volume.metadata)) {
        return None;
    }
    let mut next = volume.clone();
    let finalizers = next.metadata.finalizers.get_or_insert_default();
    if wanted {
        finalizers.push(FINALIZER.to_owned());
    } else {
        finalizers.retain(|own| own != FINALIZER);
    }
    Some(Step::Volume(Box::new(next)))
}

/// The claim has another volume: this one was made for it, or chosen, or asked for by somebody.
fn elsewhere(volume: &PersistentVolume, provisions: bool) -> Plan {
    if meta::annotation(&volume.metadata, PROVISIONED_BY).is_some() && policy(volume) == "Delete" {
        return released(volume, provisions);
    }
    let mut next = volume.clone();
    let chosen = meta::annotation(&volume.metadata, BOUND_BY_CONTROLLER).is_some();
    if chosen {
        next.metadata.annotations.get_or_insert_default().remove(BOUND_BY_CONTROLLER);
        next.spec.get_or_insert_default().claim_ref = None;
    } else if let Some(to) = &mut next.spec.get_or_insert_default().claim_ref {
        to.uid = None;
        to.resource_version = None;
    }
    Plan::of(Some(Step::Volume(Box::new(next))))
}

/// The claim is gone.
fn released(volume: &PersistentVolume, provisions: bool) -> Plan {
    if !matches!(phase(volume), "Released" | "Failed") {
        return Plan::of(volume_phase(volume, "Released", None));
    }
    let failed = |reason: &'static str, why: &str| match volume_phase(volume, "Failed", Some(why.to_owned())) {
        None => Plan::default(),
        step => Plan::of(step).warning(reason, why),
    };
    match policy(volume) {
        "Delete" => match meta::annotation(&volume.metadata, PROVISIONED_BY) {
            Some(LOCAL_PATH) if provisions => Plan::of(Some(Step::Wipe)),
            // Its provisioner takes it away.
            Some(_) => Plan::default(),
            None => {
                failed("VolumeFailedDelete", "error getting deleter volume plugin: no deletable volume plugin matched")
            }
        },
        "Recycle" => failed("VolumeFailedRecycle", "No recycler plugin found for the volume!"),
        _ => Plan::default(),
    }
}
