//! Claims that ask for more than they have. A local volume has the room of its file system whatever its size says, so
//! growing is a matter of two numbers: the volume's first.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;

use super::marks::PROVISIONED_BY;
use super::matching::{amount, requested, size};
use super::provision::LOCAL_PATH;
use super::step::Step;
use crate::controllers::support::meta;

/// The next write of a bound claim that grows; volumes of other provisioners are grown by those.
pub(super) fn next(
    claim: &PersistentVolumeClaim,
    volume: &PersistentVolume,
    class: Option<&StorageClass>,
) -> Option<Step> {
    let local = meta::annotation(&volume.metadata, PROVISIONED_BY) == Some(LOCAL_PATH);
    let allowed = class.and_then(|class| class.allow_volume_expansion) == Some(true);
    let wants = requested(claim)?;
    let has = amount(claim.status.as_ref().and_then(|status| status.capacity.as_ref()));
    if !local || !allowed || has.as_ref().is_some_and(|has| wants <= *has) {
        return None;
    }
    let wanted = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?.get("storage")?.clone();
    if size(volume).is_none_or(|size| size < wants) {
        let mut next = volume.clone();
        let capacity = next.spec.get_or_insert_default().capacity.get_or_insert_default();
        capacity.insert("storage".to_owned(), wanted);
        return Some(Step::Volume(Box::new(next)));
    }
    let mut next = claim.clone();
    next.status.get_or_insert_default().capacity = volume.spec.as_ref()?.capacity.clone();
    (next != *claim).then(|| Step::ClaimStatus(Box::new(next)))
}
