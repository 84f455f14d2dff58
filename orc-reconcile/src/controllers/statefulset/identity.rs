//! Names, labels and claims of a stateful set's pods: `stateful_set_utils.go` of `k8s.io/kubernetes/pkg/controller/statefulset`.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::controllers::support::{meta, pods};

/// The label that names the revision of a pod.
pub(crate) const REVISION: &str = "controller-revision-hash";
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The first ordinal.
pub(crate) fn start(spec: &StatefulSetSpec) -> i32 {
    spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or_default()
}

/// The ordinals that the set should have, first and one past the last.
pub(crate) fn range(spec: &StatefulSetSpec) -> std::ops::Range<i32> {
    let start = start(spec);
    start..start.saturating_add(spec.replicas.unwrap_or(1))
}

/// The ordinal in the name of a pod, `None` when the name is not of the set's form.
pub(crate) fn ordinal(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    let digits = meta::name(&pod.metadata).strip_prefix(meta::name(&set.metadata))?.strip_prefix('-')?;
    let plain = digits == "0" || !digits.starts_with('0');
    digits.parse().ok().filter(|_| plain && digits.bytes().all(|digit| digit.is_ascii_digit()))
}

fn pod_name(set: &StatefulSet, ordinal: i32) -> String {
    format!("{}-{ordinal}", meta::name(&set.metadata))
}

/// The pod of an ordinal and a revision.
pub(crate) fn pod(set: &StatefulSet, template: &PodTemplateSpec, revision: &str, ordinal: i32) -> Pod {
    let name = pod_name(set, ordinal);
    let prefix = format!("{}-", meta::name(&set.metadata));
    let owner = meta::controller_reference(set);
    let mut pod = pods::of_template(template, meta::namespace(&set.metadata), &name, &prefix, owner);
    identify(&mut pod, set, ordinal);
    pod.metadata.labels.get_or_insert_default().insert(REVISION.to_owned(), revision.to_owned());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(name);
    spec.subdomain = set.spec.as_ref().and_then(|spec| spec.service_name.clone()).filter(|name| !name.is_empty());
    mount(&mut pod, set, ordinal);
    pod
}

fn identify(pod: &mut Pod, set: &StatefulSet, ordinal: i32) {
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(POD_NAME.to_owned(), pod_name(set, ordinal));
    labels.insert(POD_INDEX.to_owned(), ordinal.to_string());
}

/// Puts the volumes of the set's claims in the place of those of the template with their names.
fn mount(pod: &mut Pod, set: &StatefulSet, ordinal: i32) {
    let claims = claims(set, ordinal);
    let volumes = pod.spec.get_or_insert_default().volumes.get_or_insert_default();
    volumes.retain(|volume| !claims.contains_key(&volume.name));
    for (volume, claim) in &claims {
        let source = PersistentVolumeClaimVolumeSource {
            claim_name: meta::name(&claim.metadata).to_owned(),
            read_only: Some(false),
        };
        volumes.push(Volume { name: volume.clone(), persistent_volume_claim: Some(source), ..Default::default() });
    }
}

/// The pod with the labels and volumes that its ordinal gives it, `None` when it has them. Volumes of pods are immutable: a pod
/// whose claims differ keeps them, as upstream's server would refuse the change.
pub(crate) fn corrected(set: &StatefulSet, pod: &Pod, ordinal: i32) -> Option<Pod> {
    let mut next = pod.clone();
    identify(&mut next, set, ordinal);
    (next != *pod).then_some(next)
}

/// The claims of an ordinal, by volume.
pub(crate) fn claims(set: &StatefulSet, ordinal: i32) -> BTreeMap<String, PersistentVolumeClaim> {
    let spec = set.spec.clone().unwrap_or_default();
    let labels = spec.selector.match_labels.unwrap_or_default();
    let claim = |template: PersistentVolumeClaim| {
        let volume = meta::name(&template.metadata).to_owned();
        let own = template.metadata;
        let mut with = own.labels.unwrap_or_default();
        with.extend(labels.clone());
        let metadata = ObjectMeta {
            name: Some(format!("{volume}-{}-{ordinal}", meta::name(&set.metadata))),
            namespace: set.metadata.namespace.clone(),
            labels: Some(with).filter(|labels| !labels.is_empty()),
            annotations: own.annotations,
            finalizers: own.finalizers,
            ..Default::default()
        };
        (volume, PersistentVolumeClaim { metadata, spec: template.spec, status: None })
    };
    spec.volume_claim_templates.unwrap_or_default().into_iter().map(claim).collect()
}

/// Who is to own a claim: the set or the pod, so that it is deleted with them. As the retention policy says.
pub(crate) fn claim_owner(set: &StatefulSet, pod: Option<&Pod>, ordinal: i32) -> Option<OwnerReference> {
    let spec = set.spec.as_ref()?;
    let policy = spec.persistent_volume_claim_retention_policy.clone().unwrap_or_default();
    let deletes = |what: &Option<String>| what.as_deref() == Some("Delete");
    let condemned = !range(spec).contains(&ordinal);
    if deletes(&policy.when_scaled) && condemned {
        return pod.map(|pod| OwnerReference { block_owner_deletion: None, ..meta::controller_reference(pod) });
    }
    let plain = OwnerReference { block_owner_deletion: None, ..meta::controller_reference(set) };
    deletes(&policy.when_deleted).then_some(plain)
}

/// The claim with the right owner among set and pod, `None` when it has it. References of others stay.
pub(crate) fn owned_claim(
    set: &StatefulSet,
    pod: Option<&Pod>,
    ordinal: i32,
    claim: &PersistentVolumeClaim,
) -> Option<PersistentVolumeClaim> {
    let wanted = claim_owner(set, pod, ordinal);
    let before = claim.metadata.owner_references.clone().unwrap_or_default();
    let foreign = |owner: &&OwnerReference| {
        owner.controller == Some(true)
            && !(owner.kind == "StatefulSet" && owner.name == meta::name(&set.metadata))
            && !(owner.kind == "Pod" && owner.name == pod_name(set, ordinal))
    };
    // A claim that another controller manages is none of ours.
    if before.iter().any(|owner| foreign(&owner)) {
        return None;
    }
    let ours = |owner: &OwnerReference| {
        (owner.kind == "StatefulSet" && owner.uid == meta::uid(&set.metadata))
            || (owner.kind == "Pod" && owner.name == pod_name(set, ordinal))
    };
    if before.iter().filter(|owner| ours(owner)).map(|owner| &owner.uid).eq(wanted.iter().map(|owner| &owner.uid)) {
        return None;
    }
    let mut after: Vec<_> = before.into_iter().filter(|owner| !ours(owner)).collect();
    after.extend(wanted);
    let mut next = claim.clone();
    next.metadata.owner_references = Some(after).filter(|owners| !owners.is_empty());
    Some(next)
}
