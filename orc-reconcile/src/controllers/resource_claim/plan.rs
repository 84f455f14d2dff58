//! What pods and claims need, from what there is.

use k8s_openapi::api::core::v1::{Pod, PodResourceClaim, PodResourceClaimStatus};
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceClaimStatus, ResourceClaimTemplate};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::controllers::support::{meta, pods};

/// Names the entry of the pod that a claim was made for.
pub(super) const POD_CLAIM: &str = "resource.kubernetes.io/pod-claim-name";
/// Holds a claim until its devices are given back.
pub(super) const FINALIZER: &str = "resource.kubernetes.io/delete-protection";
/// The longest name of an object.
const LONGEST: usize = 253;

/// The entries of a pod that are made from a template; none of one that has ended or goes.
pub(super) fn templated(pod: &Pod) -> Vec<&PodResourceClaim> {
    let spec = pod.spec.as_ref().filter(|_| pods::is_active(pod));
    let all = spec.into_iter().flat_map(|spec| spec.resource_claims.iter().flatten());
    all.filter(|claim| claim.resource_claim_template_name.is_some()).collect()
}

/// The claims that a pod names, in itself or by what was made for it.
pub(super) fn named(pod: &Pod) -> Vec<&str> {
    let spec = pod.spec.iter().flat_map(|spec| spec.resource_claims.iter().flatten());
    let own = spec.filter_map(|claim| claim.resource_claim_name.as_deref());
    own.chain(statuses(pod).iter().filter_map(|status| status.resource_claim_name.as_deref())).collect()
}

fn statuses(pod: &Pod) -> &[PodResourceClaimStatus] {
    pod.status.as_ref().and_then(|status| status.resource_claim_statuses.as_deref()).unwrap_or_default()
}

/// The name that the pod's status has for the claim of an entry.
pub(super) fn told<'a>(pod: &'a Pod, entry: &str) -> Option<&'a str> {
    statuses(pod).iter().find(|status| status.name == entry)?.resource_claim_name.as_deref()
}

/// Whether a claim was made for a pod.
pub(super) fn is_for(claim: &ResourceClaim, pod: &Pod) -> bool {
    meta::controller(&claim.metadata).is_some_and(|owner| owner.uid == meta::uid(&pod.metadata))
}

/// The claim of an entry of a pod. The name follows from the pod's uid and the entry, so that however often it is made there is
/// one.
pub(super) fn claim(pod: &Pod, entry: &str, template: &ResourceClaimTemplate) -> ResourceClaim {
    let from = template.spec.metadata.clone().unwrap_or_default();
    let mut annotations = from.annotations.unwrap_or_default();
    annotations.insert(POD_CLAIM.to_owned(), entry.to_owned());
    ResourceClaim {
        metadata: ObjectMeta {
            name: Some(name(pod, entry)),
            namespace: pod.metadata.namespace.clone(),
            labels: from.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![meta::controller_reference(pod)]),
            ..ObjectMeta::default()
        },
        spec: template.spec.spec.clone(),
        status: None,
    }
}

fn name(pod: &Pod, entry: &str) -> String {
    let mut hash: u32 = 0x811c_9dc5; // FNV-1a
    for byte in meta::uid(&pod.metadata).bytes().chain([0]).chain(entry.bytes()) {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    let mut start = format!("{}-{entry}", meta::name(&pod.metadata));
    start.truncate(LONGEST - 9);
    format!("{start}-{hash:08x}")
}

/// Adds the claim of an entry to a pod's status.
pub(super) fn tell(pod: &mut Pod, entry: &str, claim: &str) {
    let all = pod.status.get_or_insert_default().resource_claim_statuses.get_or_insert_default();
    all.retain(|status| status.name != entry);
    all.push(PodResourceClaimStatus { name: entry.to_owned(), resource_claim_name: Some(claim.to_owned()) });
}

/// Whether a pod uses nothing any more: it has ended, or goes without ever having had a node.
pub(super) fn is_done(pod: &Pod) -> bool {
    pods::is_terminal(pod) || (meta::is_terminating(&pod.metadata) && pods::node(pod).is_empty())
}

/// The step that a claim needs.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Step {
    /// Nothing.
    Done,
    /// Another status: users are gone, and with the last of them its devices are free.
    Status(Box<ResourceClaimStatus>),
    /// To lose the finalizer: it goes, and has no devices.
    Release,
    /// To be deleted: the pod that it was made for has ended.
    Delete,
}

/// Decides for a claim. `gone` says whether a user, by name and uid, is gone for certain.
pub(super) fn plan(claim: &ResourceClaim, ended: bool, gone: impl Fn(&str, &str) -> bool) -> Step {
    let status = claim.status.clone().unwrap_or_default();
    let mut users = status.reserved_for.clone().unwrap_or_default();
    let before = users.len();
    users.retain(|user| user.resource != "pods" || !gone(&user.name, &user.uid));
    let goes = meta::is_terminating(&claim.metadata);
    // A claim that somebody allocated by hand, and that nobody has used, keeps its devices.
    let frees = users.is_empty() && status.allocation.is_some() && (before > 0 || goes);
    if users.len() < before || frees {
        let allocation = status.allocation.filter(|_| !frees);
        let devices = status.devices.filter(|_| !frees);
        let reserved_for = (!users.is_empty()).then_some(users);
        return Step::Status(Box::new(ResourceClaimStatus { allocation, devices, reserved_for }));
    }
    let held = claim.metadata.finalizers.iter().flatten().any(|own| own == FINALIZER);
    match goes {
        true if held && users.is_empty() && status.allocation.is_none() => Step::Release,
        false if ended && users.is_empty() => Step::Delete,
        _ => Step::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn claim_of(status: Value, goes: bool) -> ResourceClaim {
        let deletion = goes.then_some("1970-01-01T00:01:00Z");
        serde_json::from_value(json!({"metadata": {"name": "c", "namespace": "n", "deletionTimestamp": deletion,
            "finalizers": [FINALIZER]}, "spec": {}, "status": status}))
        .unwrap()
    }

    #[test]
    fn devices_are_free_with_the_last_user() {
        let used = json!({"allocation": {}, "reservedFor": [
            {"resource": "pods", "name": "a", "uid": "1"}, {"resource": "pods", "name": "b", "uid": "2"}]});
        let claim = claim_of(used, false);
        assert_eq!(plan(&claim, false, |_, _| false), Step::Done);
        let Step::Status(one) = plan(&claim, false, |name, uid| name == "a" && uid == "1") else {
            panic!("still there")
        };
        assert!(one.allocation.is_some());
        assert_eq!(one.reserved_for.unwrap()[0].name, "b");
        let Step::Status(none) = plan(&claim, true, |_, _| true) else { panic!("still there") };
        assert_eq!(*none, ResourceClaimStatus::default());
        let free = ResourceClaim { status: Some(*none), ..claim };
        assert_eq!(plan(&free, false, |_, _| true), Step::Done);
        assert_eq!(plan(&free, true, |_, _| true), Step::Delete);
    }

    #[test]
    fn a_claim_that_goes_gives_back_first() {
        let unused = claim_of(json!({"allocation": {}}), true);
        assert!(matches!(plan(&unused, false, |_, _| false), Step::Status(_)));
        assert_eq!(plan(&claim_of(json!({"allocation": {}}), false), false, |_, _| false), Step::Done);
        assert_eq!(plan(&claim_of(json!({}), true), false, |_, _| false), Step::Release);
        let used = json!({"allocation": {}, "reservedFor": [{"resource": "pods", "name": "a", "uid": "1"}]});
        assert_eq!(plan(&claim_of(used, true), false, |_, _| false), Step::Done);
    }

    #[test]
    fn a_claim_is_made_of_its_template() {
        let pod = |phase: &str| -> Pod {
            serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"},
                "spec": {"containers": [], "resourceClaims": [
                    {"name": "gpu", "resourceClaimTemplateName": "t"}, {"name": "own", "resourceClaimName": "c"}]},
                "status": {"phase": phase}}))
            .unwrap()
        };
        assert!(templated(&pod("Failed")).is_empty());
        let mut pod = pod("Pending");
        assert_eq!(templated(&pod)[0].name, "gpu");
        let template: ResourceClaimTemplate = serde_json::from_value(json!({"metadata": {"name": "t"}, "spec": {
            "metadata": {"labels": {"a": "b"}}, "spec": {"devices": {"requests": [{"name": "r"}]}}}}))
        .unwrap();
        let made = claim(&pod, "gpu", &template);
        assert_eq!(made, claim(&pod, "gpu", &template), "the same each time");
        assert!(is_for(&made, &pod) && made.spec.devices.is_some());
        let name = meta::name(&made.metadata);
        assert!(name.starts_with("p-gpu-") && meta::annotation(&made.metadata, POD_CLAIM) == Some("gpu"));
        tell(&mut pod, "gpu", name);
        tell(&mut pod, "gpu", name);
        assert_eq!(told(&pod, "gpu"), Some(name));
        assert_eq!(named(&pod), ["c", name]);
    }
}
