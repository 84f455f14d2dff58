//! Counts each ended pod once, however often a pass is repeated.
//!
//! A pod is counted in three steps, each of which may be repeated: its uid (or index) goes into the status; once that is
//! stored, its finalizer is taken away; once that is seen, the uid becomes part of a counter. As
//! `trackJobStatusAndRemoveFinalizers` of `k8s.io/kubernetes/pkg/controller/job`.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;

use super::failure::{Verdict, is_failed, verdict};
use super::indexes::Indexes;
use super::status::Outcome;
use super::view::{View, is_tracked};
use crate::controllers::support::{meta, pods, some};

/// The most pods that a status names, so that it stays small; as upstream's `MaxUncountedPods`.
const MOST: usize = 500;

/// What becomes of a tracked pod.
enum Fate {
    /// It stays tracked.
    Keep,
    /// It is let go without being counted.
    Free,
    /// Its index succeeded.
    Index(i32),
    Succeeded,
    Failed,
}

/// The counters of the next status, and the pods that may be let go.
pub(crate) struct Account {
    pub(crate) untrack: Vec<Arc<Pod>>,
    /// Whether every ended pod is in a counter.
    pub(crate) settled: bool,
}

/// Writes the counters into `status`.
pub(crate) fn account(view: &View<'_>, outcome: Option<&Outcome>, status: &mut JobStatus) -> Account {
    let (good, bad) = &view.uncounted;
    let tracked: BTreeSet<&str> =
        view.owned.iter().filter(|pod| is_tracked(pod)).map(|pod| meta::uid(&pod.metadata)).collect();
    let still = |uids: &BTreeSet<String>| -> BTreeSet<String> {
        uids.iter().filter(|uid| tracked.contains(uid.as_str())).cloned().collect()
    };
    let (mut next_good, mut next_bad, mut indexes) = (still(good), still(bad), Vec::new());
    let moved = |before: &BTreeSet<String>, after: &BTreeSet<String>| {
        i32::try_from(before.len() - after.len()).unwrap_or(i32::MAX)
    };
    let counted = |count: Option<i32>, moved: i32| some(count.unwrap_or_default().saturating_add(moved));
    status.succeeded = counted(status.succeeded, moved(good, &next_good));
    status.failed = counted(status.failed, moved(bad, &next_bad));
    let mut untrack = Vec::new();
    for pod in view.owned.iter().filter(|pod| is_tracked(pod)) {
        if next_good.len() + next_bad.len() + indexes.len() >= MOST {
            break;
        }
        let uid = meta::uid(&pod.metadata);
        let stored = match fate(view, outcome, pod) {
            Fate::Keep => false,
            Fate::Free => true,
            Fate::Index(index) if view.counted.contains(index) => true,
            Fate::Index(index) => {
                indexes.push(index);
                false
            }
            Fate::Succeeded => !next_good.insert(uid.to_owned()),
            Fate::Failed => !next_bad.insert(uid.to_owned()),
        };
        if stored {
            untrack.push(pod.clone());
        }
    }
    if view.is_indexed() {
        let done = view.counted.union(&Indexes::of(indexes));
        status.succeeded = some(done.len());
        status.completed_indexes = Some(done.to_string()).filter(|text| !text.is_empty());
        status.failed_indexes = view.failed.as_ref().map(ToString::to_string);
    }
    let settled = next_good.is_empty() && next_bad.is_empty();
    let list = |uids: BTreeSet<String>| Some(uids.into_iter().collect::<Vec<_>>()).filter(|uids| !uids.is_empty());
    status.uncounted_terminated_pods =
        Some(UncountedTerminatedPods { succeeded: list(next_good), failed: list(next_bad) });
    Account { untrack, settled }
}

fn fate(view: &View<'_>, outcome: Option<&Outcome>, pod: &Pod) -> Fate {
    let uid = meta::uid(&pod.metadata);
    // What is in the status already only waits for its finalizer to go.
    if view.uncounted.1.contains(uid) {
        return Fate::Failed;
    }
    if view.uncounted.0.contains(uid) {
        return Fate::Succeeded;
    }
    let failed = is_failed(pod, view.job);
    let index = view.index(pod);
    if pods::phase(pod) == "Succeeded" {
        return match (view.is_indexed(), index) {
            (false, _) => Fate::Succeeded,
            (true, Some(index)) => Fate::Index(index),
            (true, None) => Fate::Free,
        };
    }
    let over = outcome.is_some() || meta::is_terminating(&view.job.metadata);
    let held = || view.held.values().any(|held| meta::uid(&held.metadata) == uid);
    if !over && (!failed || held()) {
        return Fate::Keep;
    }
    let counts = failed || outcome.is_some_and(|outcome| outcome.is_failure);
    let known = !view.is_indexed() || index.is_some();
    if counts && known && verdict(view.job, pod) != Verdict::Ignore { Fate::Failed } else { Fate::Free }
}
