//! How each of a pod's claims stands, and in what words it is told.

use k8s_openapi::api::resource::v1::ResourceClaim;

use super::outcome;
use crate::facts::{Fact, FactKey, FactKind, Facts};
use crate::plugin::Fragment;
use crate::pod::{DeviceRef, PodInfo};

/// How one of a pod's claims stands.
pub(super) enum Standing<'a> {
    /// Why no node will do.
    Never(String),
    /// The same claim as an earlier entry of the pod.
    Again,
    /// It has its devices.
    Allocated(FactKey, &'a ResourceClaim),
    /// It is to get devices.
    Wanted(FactKey, &'a ResourceClaim),
}

/// What a pod is told whose claims are not made yet.
const WAITING: &str = "waiting for dynamic resource controller to create the resourceclaim";
/// Around the number of a claim that stands for its name.
const MARK: char = '\u{1}';

/// The key of a claim.
fn key(pod: &PodInfo, device: &DeviceRef) -> Option<FactKey> {
    Some(FactKey::new(FactKind::DeviceClaim, pod.key.namespace_str(), device.claim.clone()?))
}

/// The keys of a pod's claims, each once, in their order.
pub(super) fn keys(pod: &PodInfo) -> Vec<FactKey> {
    let mut keys: Vec<FactKey> = Vec::new();
    for key in pod.devices.iter().filter_map(|device| key(pod, device)) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// How the claim of a place among the pod's stands.
pub(super) fn standing<'a>(facts: &'a Facts, pod: &PodInfo, at: usize) -> Standing<'a> {
    let device = &pod.devices[at];
    let Some(key) = key(pod, device) else { return Standing::Never(WAITING.to_owned()) };
    let name = &key.name;
    let claim = match facts.get(&key).map(|fact| &**fact) {
        Some(Fact::DeviceClaim(claim)) => claim,
        _ => return Standing::Never(format!("resourceclaim \"{name}\" not found")),
    };
    if claim.metadata.deletion_timestamp.is_some() {
        return Standing::Never(format!("resourceclaim \"{name}\" is being deleted"));
    }
    if device.template && !owns(pod, claim) {
        let full = format!("{}/{name}", key.namespace);
        let pod = format!("{}/{}", key.namespace, pod.key.name);
        return Standing::Never(format!("ResourceClaim {full} was not created for Pod {pod} (pod is not owner)"));
    }
    if pod.devices[..at].iter().any(|earlier| earlier.claim == device.claim) {
        return Standing::Again;
    }
    if !outcome::is_allocated(claim) {
        return Standing::Wanted(key, claim);
    }
    if !outcome::is_reserved(claim, pod) && !outcome::has_room(claim) {
        return Standing::Never("resourceclaim in use".to_owned());
    }
    Standing::Allocated(key, claim)
}

/// Whether a claim was made for a pod.
fn owns(pod: &PodInfo, claim: &ResourceClaim) -> bool {
    let owners = claim.metadata.owner_references.iter().flatten();
    owners.into_iter().any(|owner| owner.controller == Some(true) && owner.uid == pod.uid.as_str())
}

/// Writes what makes pods alike: claims that are to get devices by what they ask, so that pods of one template share their
/// candidates; those that have devices by their names; and what keeps a pod waiting by its words.
pub(super) fn write(facts: &Facts, pod: &PodInfo, out: &mut Fragment) {
    out.number(i64::try_from(pod.devices.len()).unwrap_or(i64::MAX));
    for at in 0..pod.devices.len() {
        match standing(facts, pod, at) {
            Standing::Never(why) => {
                out.number(0);
                out.text(&why);
                // Which claim's news may change that.
                keys(pod).iter().for_each(|key| out.debug(key));
                return;
            }
            Standing::Again => out.number(1),
            Standing::Allocated(key, claim) => {
                out.number(2);
                out.text(&key.namespace);
                out.text(&key.name);
                out.text(claim.metadata.uid.as_deref().unwrap_or_default());
            }
            Standing::Wanted(_, claim) => {
                out.number(3);
                out.debug(&claim.spec.devices);
            }
        }
    }
}

/// What stands for the name of the claim of a number.
pub(super) fn label(number: usize) -> String {
    format!("{MARK}{number}{MARK}")
}

/// A message with the names of a pod's own claims; `None` when it names none.
pub(super) fn worded(pod: &PodInfo, text: &str) -> Option<String> {
    if !text.contains(MARK) {
        return None;
    }
    let keys = keys(pod);
    let mut parts = text.split(MARK);
    let mut told = parts.next().unwrap_or_default().to_owned();
    while let (Some(number), Some(rest)) = (parts.next(), parts.next()) {
        if let Some(key) = number.parse().ok().and_then(|number: usize| keys.get(number)) {
            told.push_str(&format!("{}/{}", key.namespace, key.name));
        }
        told.push_str(rest);
    }
    Some(told)
}
