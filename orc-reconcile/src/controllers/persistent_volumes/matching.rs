//! Which volume a claim gets.

use std::cmp::Reverse;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;
use orc_core::labels::Selector;
use orc_core::quantity::Quantity;

use super::marks::{claim_class, phase, volume_class};
use crate::controllers::support::meta;

/// The claim that a volume is promised to.
pub(super) fn promised(volume: &PersistentVolume) -> Option<&ObjectReference> {
    volume.spec.as_ref()?.claim_ref.as_ref()
}

/// Whether a volume is promised to this claim: by name alone (somebody asked for it), or to this very one.
pub(super) fn is_for(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    promised(volume).is_some_and(|to| {
        let uid = to.uid.as_deref().unwrap_or_default();
        text(&to.namespace) == meta::namespace(&claim.metadata)
            && text(&to.name) == meta::name(&claim.metadata)
            && (uid.is_empty() || uid == meta::uid(&claim.metadata))
    })
}

/// The volume for a claim: one that is promised to it, else the smallest that will do, of those the one with the fewest
/// access modes. A claim that waits for its first pod gets only what is promised: the scheduler promises.
pub(super) fn find(
    claim: &PersistentVolumeClaim,
    volumes: &[Arc<PersistentVolume>],
    waits: bool,
) -> Option<Arc<PersistentVolume>> {
    let own = volumes.iter().filter(|volume| is_for(volume, claim));
    let mut own: Vec<_> = own.filter(|volume| !meta::is_terminating(&volume.metadata) && fits(volume, claim)).collect();
    // What carries the claim's uid was chosen before, perhaps by another leader: there is no going back to the search.
    own.sort_by_key(|volume| {
        let exact = promised(volume).is_some_and(|to| to.uid.as_deref().is_some_and(|uid| !uid.is_empty()));
        (Reverse(exact), size(volume), meta::name(&volume.metadata).to_owned())
    });
    if let Some(own) = own.first() {
        return Some((*own).clone());
    }
    if waits {
        return None;
    }
    let free = |volume: &&Arc<PersistentVolume>| promised(volume).is_none() && phase(volume) == "Available";
    let found =
        volumes.iter().filter(free).filter(|volume| refusal(volume, claim).is_none() && selected(volume, claim));
    let found = found.filter(|volume| !meta::is_terminating(&volume.metadata));
    found.min_by_key(|volume| (modes(volume).len(), size(volume), meta::name(&volume.metadata).to_owned())).cloned()
}

/// Size and mode, which even a volume that is promised must have.
fn fits(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    size(volume) >= requested(claim)
        && mode(volume.spec.as_ref().and_then(|s| s.volume_mode.as_ref())) == wanted_mode(claim)
}

/// Why a volume that a claim asks for will not do, in upstream's words.
pub(super) fn refusal(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<&'static str> {
    let of = volume.spec.as_ref();
    let attributes = |name: Option<&String>| name.cloned().unwrap_or_default();
    let wants = claim.spec.as_ref();
    let wanted_modes = wants.and_then(|spec| spec.access_modes.as_ref()).into_iter().flatten();
    if size(volume) < requested(claim) {
        return Some("requested PV is too small");
    }
    if volume_class(volume) != claim_class(claim).unwrap_or_default() {
        return Some("storageClassName does not match");
    }
    if attributes(of.and_then(|spec| spec.volume_attributes_class_name.as_ref()))
        != attributes(wants.and_then(|spec| spec.volume_attributes_class_name.as_ref()))
    {
        return Some("volumeAttributesClassName does not match");
    }
    if mode(of.and_then(|spec| spec.volume_mode.as_ref())) != wanted_mode(claim) {
        return Some("incompatible volumeMode");
    }
    let has = modes(volume);
    wanted_modes.into_iter().any(|mode| !has.contains(mode)).then_some("incompatible accessMode")
}

fn selected(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let selector = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_none_or(|selector| {
        let labels = volume.metadata.labels.clone().unwrap_or_default();
        Selector::from_label_selector(Some(selector)).is_ok_and(|selector| selector.matches(&labels))
    })
}

fn modes(volume: &PersistentVolume) -> &[String] {
    volume.spec.as_ref().and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default()
}

fn mode(mode: Option<&String>) -> &str {
    mode.map_or("Filesystem", String::as_str)
}

fn wanted_mode(claim: &PersistentVolumeClaim) -> &str {
    mode(claim.spec.as_ref().and_then(|spec| spec.volume_mode.as_ref()))
}

/// An amount of storage; what does not parse is none at all.
pub(super) fn amount(of: Option<&std::collections::BTreeMap<String, Amount>>) -> Option<Quantity> {
    Quantity::parse(&of?.get("storage")?.0).ok()
}

/// The bytes that a volume offers.
pub(super) fn size(volume: &PersistentVolume) -> Option<Quantity> {
    amount(volume.spec.as_ref()?.capacity.as_ref())
}

/// The bytes that a claim asks for.
pub(super) fn requested(claim: &PersistentVolumeClaim) -> Option<Quantity> {
    amount(claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref())
}
