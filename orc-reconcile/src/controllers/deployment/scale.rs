//! The sizes of a deployment's replica sets: what a rollout's next step is, and how a change of size is shared out.

use std::cmp::Reverse;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet};

use super::percent::{bounds, is_recreate};
use super::sets::{self, replicas, wanted};
use crate::controllers::support::meta;

/// Sets and the sizes they should have.
pub(crate) type Sizes = Vec<(Arc<ReplicaSet>, i32)>;

fn spec(deployment: &Deployment) -> DeploymentSpec {
    deployment.spec.clone().unwrap_or_default()
}

fn total(sets: &[Arc<ReplicaSet>]) -> i32 {
    sets.iter().map(|set| replicas(set)).sum()
}

/// The size that the new set may have now: as much as the surge allows.
pub(crate) fn new_size(deployment: &Deployment, all: &[Arc<ReplicaSet>], own: i32) -> i32 {
    let spec = spec(deployment);
    let wanted = wanted(deployment);
    if is_recreate(&spec) {
        return wanted;
    }
    let room = wanted + bounds(&spec).surge - total(all);
    if room <= 0 { own } else { own + room.min(wanted - own) }
}

/// The next step of a rolling update: first the new set grows, then old ones shrink.
pub(crate) fn rolling(deployment: &Deployment, new: &Arc<ReplicaSet>, old: &[Arc<ReplicaSet>]) -> Sizes {
    let (own, wanted) = (replicas(new), wanted(deployment));
    let all: Vec<_> = old.iter().chain([new]).cloned().collect();
    let size = if own > wanted { wanted } else { new_size(deployment, &all, own) };
    if size != own {
        return vec![(new.clone(), size)];
    }
    shrink_old(deployment, new, old)
}

fn shrink_old(deployment: &Deployment, new: &Arc<ReplicaSet>, old: &[Arc<ReplicaSet>]) -> Sizes {
    let least = wanted(deployment) - bounds(&spec(deployment)).unavailable;
    let missing = replicas(new) - sets::available(new);
    let most = total(old) + replicas(new) - least - missing;
    if total(old) == 0 || most <= 0 {
        return Vec::new();
    }
    let mut sizes: Sizes = old.iter().map(|set| (set.clone(), replicas(set))).collect();
    sizes.sort_by(|(a, _), (b, _)| sets::by_age(a, b));
    // Pods that are not available can go without harm.
    let mut taken = 0;
    for (set, size) in &mut sizes {
        let idle = (*size - sets::available(set)).max(0);
        let take = idle.min(most - taken).max(0);
        *size -= take;
        taken += take;
    }
    // A set that was just made smaller still tells of pods that it is about to lose: they are no longer to be counted on.
    let available: i32 = old.iter().chain([new]).map(|set| sets::available(set).min(replicas(set))).sum();
    let mut spare = (available - least).min(most - taken).max(0);
    for (_, size) in &mut sizes {
        let take = spare.min(*size);
        *size -= take;
        spare -= take;
    }
    sizes.retain(|(set, size)| replicas(set) != *size);
    sizes
}

/// Whether a set was last sized for another size of the deployment.
pub(crate) fn is_scaling(deployment: &Deployment, all: &[Arc<ReplicaSet>]) -> bool {
    let wanted = i64::from(wanted(deployment));
    all.iter().filter(|set| replicas(set) > 0).any(|set| sets::desired(set).is_some_and(|desired| desired != wanted))
}

/// The sizes after a change of the deployment's size, or while it is paused.
pub(crate) fn scaled(deployment: &Deployment, new: Option<&Arc<ReplicaSet>>, old: &[Arc<ReplicaSet>]) -> Sizes {
    let wanted = wanted(deployment);
    if let Some(set) = active_or_latest(new, old) {
        return vec![(set, wanted)];
    }
    if new.is_some_and(|new| is_saturated(deployment, new)) {
        return old.iter().filter(|set| replicas(set) > 0).map(|set| (set.clone(), 0)).collect();
    }
    if is_recreate(&spec(deployment)) {
        return Vec::new();
    }
    let active: Vec<_> = old.iter().chain(new).filter(|set| replicas(set) > 0).cloned().collect();
    proportional(deployment, active)
}

/// The one set that has pods; when none has, the new one or the latest.
fn active_or_latest(new: Option<&Arc<ReplicaSet>>, old: &[Arc<ReplicaSet>]) -> Option<Arc<ReplicaSet>> {
    let mut active = old.iter().chain(new).filter(|set| replicas(set) > 0);
    match (active.next(), active.next()) {
        (None, _) => new.or_else(|| old.iter().max_by(|a, b| sets::by_age(a, b))).cloned(),
        (one, None) => one.cloned(),
        _ => None,
    }
}

fn is_saturated(deployment: &Deployment, new: &ReplicaSet) -> bool {
    let wanted = wanted(deployment);
    replicas(new) == wanted && sets::available(new) == wanted && sets::desired(new) == Some(i64::from(wanted))
}

/// Shares a change of size among sets by their sizes, so that a rollout that goes wrong is not made worse by scaling.
fn proportional(deployment: &Deployment, mut active: Vec<Arc<ReplicaSet>>) -> Sizes {
    let wanted = wanted(deployment);
    let allowed = if wanted > 0 { wanted + bounds(&spec(deployment)).surge } else { 0 };
    let change = allowed - total(&active);
    active.sort_by(|a, b| {
        let by_age = sets::by_age(a, b);
        Reverse(replicas(a)).cmp(&Reverse(replicas(b))).then(if change > 0 { by_age.reverse() } else { by_age })
    });
    let mut added = 0;
    let mut sizes = Sizes::new();
    for set in active {
        let share = match change - added {
            0 => 0,
            left if change > 0 => fraction(deployment, &set, allowed).min(left),
            left => fraction(deployment, &set, allowed).max(left),
        };
        added += share;
        let size = replicas(&set) + share;
        sizes.push((set, size));
    }
    if let Some((_, first)) = sizes.first_mut() {
        *first = (*first + change - added).max(0);
    }
    sizes
}

/// The share of a set, from the deployment's greatest size before and after.
fn fraction(deployment: &Deployment, set: &ReplicaSet, allowed: i32) -> i32 {
    if wanted(deployment) == 0 {
        return -replicas(set);
    }
    let status = deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or_default();
    let before = sets::max_replicas(set).filter(|max| *max > 0).unwrap_or(i64::from(status));
    if before == 0 {
        return 0;
    }
    let scaled = f64::from(replicas(set)) * f64::from(allowed) / (before as f64);
    (scaled.round() as i32) - replicas(set)
}

/// Old sets that may be deleted: beyond the history limit, without pods, and known to their controller.
pub(crate) fn beyond_history(deployment: &Deployment, old: &[Arc<ReplicaSet>]) -> Vec<Arc<ReplicaSet>> {
    let Some(limit) = spec(deployment).revision_history_limit.filter(|limit| *limit != i32::MAX) else {
        return Vec::new();
    };
    let mut history: Vec<_> = old.iter().filter(|set| !meta::is_terminating(&set.metadata)).cloned().collect();
    history.sort_by_key(|set| (sets::revision(set), set.metadata.creation_timestamp.as_ref().map(|time| time.0)));
    let excess = history.len().saturating_sub(usize::try_from(limit).unwrap_or_default());
    let is_empty = |set: &ReplicaSet| {
        let status = set.status.clone().unwrap_or_default();
        status.replicas == 0 && replicas(set) == 0 && set.metadata.generation <= status.observed_generation
    };
    history.into_iter().take(excess).filter(|set| is_empty(set)).collect()
}
