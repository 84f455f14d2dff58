//! Device claims as the engine assumed them, written before the pod is bound.

use k8s_openapi::api::resource::v1::ResourceClaim;
use orc_core::ApiError;
use orc_store::Api;

use crate::plugins::MOST_PODS;
use crate::pod::PodInfo;

/// Writes the devices that a claim gets, and the pod among its users. What others wrote meanwhile stays: a claim that got other
/// devices is a conflict, and the pod is tried again with what there is then.
///
/// # Errors
/// The claim is gone, goes, is another one of the name, or has other devices; and the client's.
pub(super) async fn write(api: &Api<ResourceClaim>, claim: &ResourceClaim, pod: &PodInfo) -> Result<(), ApiError> {
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    // The finalizer comes first, or the claim could go with its devices still given away.
    let mut refusal = None;
    let finalized = |there: &mut ResourceClaim| {
        refusal = refuses(there, claim);
        let missing = claim.metadata.finalizers.iter().flatten();
        let own = there.metadata.finalizers.clone().unwrap_or_default();
        let missing: Vec<String> = missing.filter(|finalizer| !own.contains(finalizer)).cloned().collect();
        if refusal.is_none() && !missing.is_empty() {
            there.metadata.finalizers.get_or_insert_default().extend(missing);
        }
    };
    api.modify(name, finalized).await?;
    if refusal.is_none() {
        api.modify_status(name, |there| refusal = refuses(there, claim).or_else(|| take(there, claim, pod))).await?;
    }
    refusal.map_or(Ok(()), |why| Err(ApiError::unavailable(format!("claim {}/{name} {why}", pod.key.namespace_str()))))
}

/// Why a claim as it is now cannot become what was assumed of it.
fn refuses(there: &ResourceClaim, assumed: &ResourceClaim) -> Option<&'static str> {
    let allocation = |claim: &ResourceClaim| claim.status.clone().and_then(|status| status.allocation);
    if there.metadata.uid != assumed.metadata.uid {
        return Some("was made anew in the meantime");
    }
    if there.metadata.deletion_timestamp.is_some() {
        return Some("got deleted in the meantime");
    }
    let other = allocation(there).is_some_and(|now| Some(now) != allocation(assumed));
    other.then_some("got allocated elsewhere in the meantime")
}

fn take(there: &mut ResourceClaim, assumed: &ResourceClaim, pod: &PodInfo) -> Option<&'static str> {
    let from = assumed.status.as_ref()?;
    let entry = from.reserved_for.iter().flatten().find(|user| user.uid == pod.uid.as_str())?.clone();
    let status = there.status.get_or_insert_default();
    let users = status.reserved_for.get_or_insert_default();
    if users.iter().any(|user| user.uid == entry.uid) {
        return None;
    }
    if users.len() >= MOST_PODS {
        return Some("is in use by as many pods as may use one");
    }
    users.push(entry);
    status.allocation.clone_from(&from.allocation);
    None
}
