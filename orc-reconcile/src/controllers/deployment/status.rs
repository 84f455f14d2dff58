//! The status of a deployment and its conditions: `progress.go` and `sync.go` of upstream's deployment controller.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};

use super::percent::bounds;
use super::sets;
use crate::controllers::support::{meta, some};

const PROGRESSING: &str = "Progressing";
pub(crate) const COMPLETE: &str = "NewReplicaSetAvailable";
pub(crate) const TIMED_OUT: &str = "ProgressDeadlineExceeded";
pub(crate) const PAUSED: &str = "DeploymentPaused";
/// With this deadline (the greatest number) no progress is expected.
const NO_DEADLINE: i32 = i32::MAX;

/// The numbers of a status and the `Available` condition; other conditions as they were.
pub(crate) fn calculate(
    deployment: &Deployment,
    all: &[Arc<ReplicaSet>],
    new: Option<&Arc<ReplicaSet>>,
    now: Timestamp,
) -> DeploymentStatus {
    let spec = deployment.spec.clone().unwrap_or_default();
    let before = deployment.status.clone().unwrap_or_default();
    let sum = |of: &dyn Fn(&ReplicaSet) -> Option<i32>| all.iter().filter_map(|set| of(set)).sum::<i32>();
    let status = |set: &ReplicaSet| set.status.clone().unwrap_or_default();
    let available = sum(&|set| Some(sets::available(set)));
    let total = sum(&|set| Some(sets::replicas(set)));
    let mut next = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: some(sum(&|set| Some(status(set).replicas))),
        updated_replicas: some(new.map_or(0, |set| status(set).replicas)),
        ready_replicas: some(sum(&|set| status(set).ready_replicas)),
        available_replicas: some(available),
        unavailable_replicas: some((total - available).max(0)),
        terminating_replicas: Some(sum(&|set| status(set).terminating_replicas)),
        collision_count: before.collision_count,
        conditions: before.conditions,
        ..Default::default()
    };
    let enough = available >= sets::wanted(deployment) - bounds(&spec).unavailable;
    let (state, reason, text) = match enough {
        true => ("True", "MinimumReplicasAvailable", "Deployment has minimum availability."),
        false => ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."),
    };
    set(&mut next, condition("Available", state, reason, text.to_owned(), now));
    next
}

/// A condition that came about now.
pub(crate) fn condition(kind: &str, state: &str, reason: &str, message: String, now: Timestamp) -> DeploymentCondition {
    DeploymentCondition {
        type_: kind.to_owned(),
        status: state.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(meta::time(now)),
        last_transition_time: Some(meta::time(now)),
        ..Default::default()
    }
}

/// A `Progressing` condition that came about now.
pub(crate) fn progressing(state: &str, reason: &str, message: String, now: Timestamp) -> DeploymentCondition {
    condition(PROGRESSING, state, reason, message, now)
}

/// The `Progressing` condition.
pub(crate) fn progress(status: &DeploymentStatus) -> Option<&DeploymentCondition> {
    find(status, PROGRESSING)
}

fn find<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

/// Puts a condition in. One of the same state and reason stays as it is; one of the same state keeps its transition time.
pub(crate) fn set(status: &mut DeploymentStatus, mut next: DeploymentCondition) {
    if let Some(stands) = find(status, &next.type_) {
        if stands.status == next.status && stands.reason == next.reason {
            return;
        }
        if stands.status == next.status {
            next.last_transition_time = stands.last_transition_time.clone();
        }
    }
    remove(status, &next.type_.clone());
    status.conditions.get_or_insert_default().push(next);
}

fn remove(status: &mut DeploymentStatus, kind: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != kind);
    }
    status.conditions = status.conditions.take().filter(|conditions| !conditions.is_empty());
}

/// The deadline for progress.
pub(crate) fn deadline(deployment: &Deployment) -> Option<Duration> {
    let seconds = deployment.spec.as_ref().and_then(|spec| spec.progress_deadline_seconds).unwrap_or(NO_DEADLINE);
    (seconds != NO_DEADLINE).then(|| Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}

/// Whether every pod is of the new template, available, and no old one is left.
pub(crate) fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = sets::wanted(deployment);
    let is = |n: Option<i32>| n.unwrap_or_default() == wanted;
    is(status.updated_replicas)
        && is(status.replicas)
        && is(status.available_replicas)
        && status.observed_generation >= deployment.metadata.generation
}

fn is_progressing(before: &DeploymentStatus, now: &DeploymentStatus) -> bool {
    let n = |n: Option<i32>| n.unwrap_or_default();
    let old = |status: &DeploymentStatus| n(status.replicas) - n(status.updated_replicas);
    n(now.updated_replicas) > n(before.updated_replicas)
        || old(now) < old(before)
        || n(now.ready_replicas) > n(before.ready_replicas)
        || n(now.available_replicas) > n(before.available_replicas)
}

/// When the deadline ends, where one runs.
pub(crate) fn times_out_at(deployment: &Deployment, status: &DeploymentStatus) -> Option<Timestamp> {
    let stands = progress(status)?;
    if matches!(stands.reason.as_deref(), Some(COMPLETE | TIMED_OUT | PAUSED)) {
        return None;
    }
    let from = stands.last_update_time.as_ref().or(stands.last_transition_time.as_ref())?;
    from.0.checked_add(deadline(deployment)?).ok()
}

/// The status of a rollout: the numbers, how it progresses, and what its sets complain about.
pub(crate) fn rollout(
    deployment: &Deployment,
    all: &[Arc<ReplicaSet>],
    new: Option<&Arc<ReplicaSet>>,
    now: Timestamp,
) -> DeploymentStatus {
    let mut next = calculate(deployment, all, new, now);
    if deadline(deployment).is_none() {
        remove(&mut next, PROGRESSING);
    } else {
        note_progress(deployment, &mut next, new, now);
    }
    remove(&mut next, "ReplicaFailure");
    let failure_of = |set: &Arc<ReplicaSet>| {
        let conditions = set.status.as_ref()?.conditions.as_ref()?;
        conditions.iter().find(|condition| condition.type_ == "ReplicaFailure").cloned()
    };
    let failure = new.and_then(failure_of).or_else(|| all.iter().find_map(failure_of));
    if let Some(failure) = failure {
        let before = deployment.status.as_ref().and_then(|status| find(status, "ReplicaFailure")).cloned();
        let text = failure.message.clone().unwrap_or_default();
        let made =
            condition("ReplicaFailure", &failure.status, failure.reason.as_deref().unwrap_or_default(), text, now);
        let same = before.filter(|before| before.reason == made.reason && before.status == made.status);
        next.conditions.get_or_insert_default().push(same.unwrap_or(made));
    }
    next
}

fn note_progress(deployment: &Deployment, next: &mut DeploymentStatus, new: Option<&Arc<ReplicaSet>>, now: Timestamp) {
    let stands = progress(next).cloned();
    let settled = stands.as_ref().is_some_and(|stands| stands.reason.as_deref() == Some(COMPLETE));
    if settled && next.replicas == next.updated_replicas {
        return;
    }
    let what = match new {
        Some(set) => format!("ReplicaSet {:?}", meta::name(&set.metadata)),
        None => format!("Deployment {:?}", meta::name(&deployment.metadata)),
    };
    let before = deployment.status.clone().unwrap_or_default();
    if is_complete(deployment, next) {
        set(next, progressing("True", COMPLETE, format!("{what} has successfully progressed."), now));
    } else if is_progressing(&before, next) {
        let mut made = progressing("True", "ReplicaSetUpdated", format!("{what} is progressing."), now);
        if let Some(stands) = stands.filter(|stands| stands.status == "True") {
            made.last_transition_time = stands.last_transition_time;
        }
        // Also when the reason stays: each step of progress moves the deadline.
        remove(next, PROGRESSING);
        set(next, made);
    } else if times_out_at(deployment, next).is_some_and(|at| at < now) {
        set(next, progressing("False", TIMED_OUT, format!("{what} has timed out progressing."), now));
    }
}
