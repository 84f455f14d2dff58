//! The four writes of a bond, each of which may be the last before a crash: the volume promises itself to the claim, says
//! that it is bound, the claim names the volume, and says that it is bound.
//!
//! The promise is what two leaders compete for: it is a replacement of the volume as it was read, so one of them wins.
//! A claim that got promises of two volumes names one of them, once and for ever; the other takes its promise back.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use super::marks::{BIND_COMPLETED, BOUND_BY_CONTROLLER, YES, annotate, named_volume, phase};
use super::matching::promised;
use super::step::Step;
use crate::controllers::support::meta;

/// The next write that a claim and a volume need to be bound to each other; `None` when they are.
///
/// The volume must be promised to nobody or to this claim, and the claim must name no volume or this one.
pub(super) fn next(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Option<Step> {
    promise(claim, volume)
        .map(|next| Step::Volume(Box::new(next)))
        .or_else(|| volume_phase(volume, "Bound", None))
        .or_else(|| name(claim, volume).map(|next| Step::Claim(Box::new(next))))
        .or_else(|| bound(claim, volume))
}

fn promise(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Option<PersistentVolume> {
    let to = promised(volume);
    if to.is_some_and(|to| to.uid.as_deref() == claim.metadata.uid.as_deref()) {
        return None;
    }
    let mut next = volume.clone();
    if to.is_none() {
        annotate(&mut next.metadata, BOUND_BY_CONTROLLER, YES);
    }
    next.spec.get_or_insert_default().claim_ref = Some(meta::reference(claim));
    Some(next)
}

fn name(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Option<PersistentVolumeClaim> {
    let completed = meta::annotation(&claim.metadata, BIND_COMPLETED).is_some();
    let chosen = !named_volume(claim).is_empty();
    if completed && chosen {
        return None;
    }
    let mut next = claim.clone();
    if !chosen {
        next.spec.get_or_insert_default().volume_name = Some(meta::name(&volume.metadata).to_owned());
        annotate(&mut next.metadata, BOUND_BY_CONTROLLER, YES);
    }
    annotate(&mut next.metadata, BIND_COMPLETED, YES);
    Some(next)
}

fn bound(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Option<Step> {
    let spec = volume.spec.clone().unwrap_or_default();
    let mut next = claim.clone();
    let status = next.status.get_or_insert_default();
    // A bond that stands keeps the size that was told: growing is a matter of its own.
    if status.phase.as_deref() != Some("Bound") {
        status.capacity = spec.capacity;
    }
    status.phase = Some("Bound".to_owned());
    status.access_modes = spec.access_modes;
    (next != *claim).then(|| Step::ClaimStatus(Box::new(next)))
}

/// A volume's phase and message, `None` when they stand.
pub(super) fn volume_phase(volume: &PersistentVolume, wanted: &str, message: Option<String>) -> Option<Step> {
    if phase(volume) == wanted {
        return None;
    }
    let mut next = volume.clone();
    let status = next.status.get_or_insert_default();
    status.phase = Some(wanted.to_owned());
    status.message = message;
    Some(Step::VolumeStatus(Box::new(next)))
}

/// A claim's phase, `None` when it stands. A claim that is not bound has no size.
pub(super) fn claim_phase(claim: &PersistentVolumeClaim, wanted: &str) -> Option<Step> {
    if claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some(wanted) {
        return None;
    }
    let mut next = claim.clone();
    let status = next.status.get_or_insert_default();
    status.phase = Some(wanted.to_owned());
    status.access_modes = None;
    status.capacity = None;
    Some(Step::ClaimStatus(Box::new(next)))
}
