//! The replica sets of a deployment: facts, annotations, order.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::percent::bounds;
use super::template;
use crate::controllers::support::meta;

pub(crate) const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";
/// Annotations of a deployment that are not its replica sets'.
const OWN: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];
/// The longest revision history kept, in bytes, as upstream's.
const HISTORY_BYTES: usize = 2000;

/// `spec.replicas` of a set.
pub(crate) fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// `status.availableReplicas` of a set.
pub(crate) fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default()
}

/// `spec.replicas` of a deployment.
pub(crate) fn wanted(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// The set's place in the history, 0 when it has none.
pub(crate) fn revision(set: &ReplicaSet) -> i64 {
    number(set, REVISION).unwrap_or_default()
}

/// The deployment's size when the set was last sized.
pub(crate) fn desired(set: &ReplicaSet) -> Option<i64> {
    number(set, DESIRED)
}

/// The most pods the deployment could have when the set was last sized.
pub(crate) fn max_replicas(set: &ReplicaSet) -> Option<i64> {
    number(set, MAX)
}

fn number(set: &ReplicaSet, key: &str) -> Option<i64> {
    meta::annotation(&set.metadata, key)?.parse().ok()
}

/// Older first, by name among those of the same second.
pub(crate) fn by_age(a: &Arc<ReplicaSet>, b: &Arc<ReplicaSet>) -> Ordering {
    let key =
        |set: &ReplicaSet| (set.metadata.creation_timestamp.as_ref().map(|time| time.0), set.metadata.name.clone());
    key(a).cmp(&key(b))
}

/// The set of the deployment's present template; the oldest, should there be several.
pub(crate) fn newest(deployment: &Deployment, sets: &[Arc<ReplicaSet>]) -> Option<Arc<ReplicaSet>> {
    let template = &deployment.spec.as_ref()?.template;
    let mut same: Vec<_> = sets.iter().filter(|set| template::is_of(set, template)).collect();
    same.sort_by(|a, b| by_age(a, b));
    same.first().map(|set| (*set).clone())
}

/// The set for the present template, before it has a size.
pub(crate) fn make(deployment: &Deployment, collisions: i32, revision: i64, replicas: i32) -> ReplicaSet {
    let spec = deployment.spec.clone().unwrap_or_default();
    let hash = template::hash(&spec.template, collisions);
    let template = template::with_hash(&spec.template, &hash);
    let mut set = ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", meta::name(&deployment.metadata))),
            namespace: deployment.metadata.namespace.clone(),
            labels: template.metadata.as_ref().and_then(|meta| meta.labels.clone()),
            owner_references: Some(vec![meta::controller_reference(deployment)]),
            ..Default::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(replicas),
            min_ready_seconds: spec.min_ready_seconds,
            selector: template::selector_with_hash(&spec.selector, &hash),
            template: Some(template),
            ..Default::default()
        }),
        ..Default::default()
    };
    copy_annotations(deployment, &mut set);
    annotations(&mut set).insert(REVISION.to_owned(), revision.to_string());
    note_size(&mut set, deployment);
    set
}

fn annotations(set: &mut ReplicaSet) -> &mut BTreeMap<String, String> {
    set.metadata.annotations.get_or_insert_default()
}

fn copy_annotations(deployment: &Deployment, set: &mut ReplicaSet) {
    let theirs = deployment.metadata.annotations.iter().flatten();
    for (key, value) in theirs.filter(|(key, _)| !OWN.contains(&key.as_str())) {
        annotations(set).insert(key.clone(), value.clone());
    }
}

/// Writes the deployment's size into the set, so that a later change of the size is seen.
pub(crate) fn note_size(set: &mut ReplicaSet, deployment: &Deployment) {
    let spec = deployment.spec.clone().unwrap_or_default();
    let wanted = wanted(deployment);
    annotations(set).insert(DESIRED.to_owned(), wanted.to_string());
    annotations(set).insert(MAX.to_owned(), (wanted + bounds(&spec).surge).to_string());
}

/// The present set as it should be: annotations and `minReadySeconds` of the deployment, the newest revision.
pub(crate) fn refreshed(deployment: &Deployment, set: &ReplicaSet, newest_revision: i64) -> ReplicaSet {
    let mut next = set.clone();
    copy_annotations(deployment, &mut next);
    let old = revision(set);
    if old < newest_revision {
        let passed = meta::annotation(&set.metadata, REVISION).map(str::to_owned);
        annotations(&mut next).insert(REVISION.to_owned(), newest_revision.to_string());
        if let Some(passed) = passed {
            let history = annotations(&mut next).entry(HISTORY.to_owned()).or_default();
            *history = remembered(history, &passed);
        }
    }
    if let (Some(spec), Some(theirs)) = (&mut next.spec, &deployment.spec) {
        let seconds = |own: Option<i32>| own.unwrap_or_default();
        if seconds(spec.min_ready_seconds) != seconds(theirs.min_ready_seconds) {
            spec.min_ready_seconds = theirs.min_ready_seconds;
        }
    }
    next
}

/// A comma-separated history with one more revision; the oldest are dropped when it grows too long.
fn remembered(history: &str, revision: &str) -> String {
    let mut parts: Vec<&str> = history.split(',').filter(|part| !part.is_empty()).collect();
    parts.push(revision);
    while parts.iter().map(|part| part.len() + 1).sum::<usize>() > HISTORY_BYTES {
        parts.remove(0);
    }
    parts.join(",")
}
