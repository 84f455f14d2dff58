//! Which objects belong to an owner: by controller reference first, by selector second.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use orc_core::labels::Selector;
use orc_core::{ApiError, Object};
use orc_store::Api;
use orc_store::client::PatchKind;
use serde_json::json;

use super::meta;

/// Candidates sorted by what is to become of them.
#[derive(Debug)]
pub(crate) struct Claim<K> {
    /// Owned, and selected.
    pub(crate) owned: Vec<Arc<K>>,
    /// Selected orphans.
    pub(crate) adopt: Vec<Arc<K>>,
    /// Owned, but no longer selected.
    pub(crate) release: Vec<Arc<K>>,
}

impl<K: Object> Claim<K> {
    /// Sorts the candidates of an owner. An owner that is going away adopts and releases nothing; neither are candidates
    /// that are going away adopted or released.
    pub(crate) fn sort(owner: &ObjectMeta, selector: &Selector, candidates: impl IntoIterator<Item = Arc<K>>) -> Self {
        let mut claim = Self { owned: Vec::new(), adopt: Vec::new(), release: Vec::new() };
        let none = BTreeMap::new();
        let ending = meta::is_terminating(owner);
        for candidate in candidates {
            let of = candidate.meta();
            let selected = selector.matches(of.labels.as_ref().unwrap_or(&none));
            let idle = ending || meta::is_terminating(of);
            match meta::controller(of) {
                Some(controller) if controller.uid != meta::uid(owner) => {}
                Some(_) if selected => claim.owned.push(candidate),
                Some(_) if !idle => claim.release.push(candidate),
                None if selected && !idle => claim.adopt.push(candidate),
                _ => {}
            }
        }
        claim
    }
}

/// Writes the controller reference into an orphan. Fails with `Conflict` when it changed since it was read.
pub(crate) async fn adopt<K: Object>(api: &Api<K>, orphan: &K, owner: OwnerReference) -> Result<Arc<K>, ApiError> {
    let mut owners = orphan.meta().owner_references.clone().unwrap_or_default();
    owners.retain(|other| other.uid != owner.uid);
    owners.push(owner);
    set_owners(api, orphan, &owners).await
}

/// Takes the reference to an owner out of an object; others stay.
pub(crate) async fn release<K: Object>(api: &Api<K>, object: &K, owner_uid: &str) -> Result<Arc<K>, ApiError> {
    let mut owners = object.meta().owner_references.clone().unwrap_or_default();
    owners.retain(|owner| owner.uid != owner_uid);
    set_owners(api, object, &owners).await
}

/// A merge patch bound to the object and the revision that was read.
async fn set_owners<K: Object>(api: &Api<K>, object: &K, owners: &[OwnerReference]) -> Result<Arc<K>, ApiError> {
    let of = object.meta();
    let owners = if owners.is_empty() { serde_json::Value::Null } else { json!(owners) };
    let patch = json!({"metadata": {"uid": of.uid, "resourceVersion": of.resource_version, "ownerReferences": owners}});
    api.patch(meta::name(of), PatchKind::Merge, patch.to_string()).await
}
