//! What a job needs next.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;

use super::account::account;
use super::failure::{only_replaces_failed, retry_at};
use super::indexes::Indexes;
use super::view::{Record, View, is_tracked, tries};
use super::{failure, status, template};
use crate::controllers::replicaset::rank;
use crate::controllers::support::workload::{BURST, NewPod, selector_of};
use crate::controllers::support::{Claim, Plan, meta, pods, some};

/// Who manages a job without `spec.managedBy`.
const OURS: &str = "kubernetes.io/job-controller";

/// What a pass looks at.
pub(crate) struct State<'a> {
    pub(crate) job: &'a Job,
    /// Pods that name it as their owner, and pods of its namespace that nobody controls.
    pub(crate) candidates: Vec<Arc<Pod>>,
    /// Uids of pods that were deleted although the cache does not show it yet.
    pub(crate) leaving: BTreeSet<String>,
    /// Recent failures.
    pub(crate) record: Record,
}

/// A write of a job.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Write {
    /// Take an orphan in.
    Adopt(Arc<Pod>),
    /// Let a pod go that is no longer selected.
    Release(Arc<Pod>),
    /// Take the finalizer from a pod that is counted.
    Untrack(Arc<Pod>),
    /// Make a pod.
    Create(Box<NewPod>),
    /// Delete a pod, which then counts as failed.
    Delete(Arc<Pod>),
    /// Delete a pod that is one too many, without counting it.
    Drop(Arc<Pod>),
}

/// Ownership alone; then accounts, pods and status, of which none depends on another's outcome in the same pass.
pub(crate) fn plan(state: State<'_>, now: Timestamp) -> Plan<Write, JobStatus> {
    let job = state.job;
    let Some(spec) = &job.spec else { return Plan::default() };
    if spec.managed_by.as_deref().is_some_and(|by| by != OURS) {
        return Plan::default();
    }
    let claim = Claim::sort(&job.metadata, &selector_of(spec.selector.as_ref()), state.candidates);
    let releases = claim.release.into_iter().map(Write::Release);
    let ownership: Vec<Write> = releases.chain(claim.adopt.into_iter().map(Write::Adopt)).collect();
    if !ownership.is_empty() {
        return Plan::stage(ownership);
    }
    if status::ended(job).is_some() {
        let tracked = claim.owned.into_iter().filter(|pod| is_tracked(pod));
        return Plan::stage(tracked.map(Write::Untrack).collect());
    }
    let view = View::new(job, spec, claim.owned, &state.leaving);
    let outcome = status::outcome(&view, now);
    let mut next = view.status.clone();
    let account = account(&view, outcome.as_ref(), &mut next);
    let mut writes: Vec<Write> = account.untrack.into_iter().map(Write::Untrack).collect();
    let mut wake = None;
    if let Some(outcome) = &outcome {
        let over = account.settled && view.active.is_empty() && view.ending.is_empty();
        status::conclude(&mut next, outcome, over, now);
        writes.extend(view.active.iter().take(BURST).cloned().map(Write::Delete));
    } else if !meta::is_terminating(&job.metadata) {
        status::start(&mut next, view.is_suspended(), now);
        let (pods, later) = manage(&view, &state.record, now);
        writes.extend(pods);
        wake = later.into_iter().chain(status::deadline(&view)).min();
    }
    let number = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    next.active = some(number(view.active.len()));
    next.ready = Some(number(view.active.iter().filter(|pod| pods::is_ready(pod)).count()));
    next.terminating = Some(number(view.ending.len()));
    let changed = job.status.as_ref() != Some(&next);
    Plan { writes, status: changed.then_some(next), wake }
}

/// Pods to make or to drop, and when to look again.
fn manage(view: &View<'_>, record: &Record, now: Timestamp) -> (Vec<Write>, Option<Timestamp>) {
    let active = view.active.len();
    let wanted = if view.is_suspended() { 0 } else { wanted(view) };
    let surplus = surplus(view, active.saturating_sub(wanted), now);
    if !surplus.is_empty() || view.is_suspended() {
        return (surplus.into_iter().take(BURST).map(Write::Drop).collect(), None);
    }
    let waits_for = if only_replaces_failed(view.job) { view.ending.len() } else { 0 };
    let missing = wanted.saturating_sub(active).saturating_sub(waits_for).min(BURST);
    if missing == 0 {
        return (Vec::new(), None);
    }
    let per_index = view.failed.is_some();
    if !per_index && let Some(at) = record.retry_at().filter(|at| *at > now) {
        return (Vec::new(), Some(at));
    }
    if !view.is_indexed() {
        return (vec![Write::Create(Box::new(template::pod(view.job, None, None))); missing], None);
    }
    let mut later: Option<Timestamp> = None;
    let mut pods = Vec::new();
    for index in pending(view) {
        if pods.len() == missing {
            break;
        }
        let after = view.held.get(&index).map(|pod| &**pod);
        let again = after.and_then(|pod| {
            let failures = u32::try_from(tries(pod)).unwrap_or_default().saturating_add(1);
            retry_at(failures, failure::finished_at(pod)).filter(|at| *at > now)
        });
        match again {
            Some(at) => later = later.into_iter().chain([at]).min(),
            None => pods.push(Write::Create(Box::new(template::pod(view.job, Some(index), after)))),
        }
    }
    (pods, later)
}

fn wanted(view: &View<'_>) -> usize {
    let parallelism = view.spec.parallelism.unwrap_or(1);
    let wanted = match view.spec.completions {
        // One success is the sign that the work is done: nobody is added any more.
        None if view.succeeded > 0 => return view.active.len().min(usize::try_from(parallelism).unwrap_or_default()),
        None => parallelism,
        Some(completions) => completions.saturating_sub(view.succeeded).min(parallelism),
    };
    usize::try_from(wanted).unwrap_or_default()
}

/// Indexes that nothing works on, in order.
fn pending(view: &View<'_>) -> Vec<i32> {
    let ending: &[Arc<Pod>] = if only_replaces_failed(view.job) { &view.ending } else { &[] };
    let taken = Indexes::of(view.active.iter().chain(ending).filter_map(|pod| view.index(pod)));
    let mut taken = taken.union(&view.done);
    if let Some(failed) = &view.failed {
        taken = taken.union(failed);
    }
    // No more of them can be used than there are pods that fail or come in one pass.
    let most = BURST + view.held.len();
    taken.missing(view.spec.completions.unwrap_or_default()).take(most).collect()
}

/// Pods to drop: those of no index or of one that another pod has, then, up to `least`, the least useful.
fn surplus(view: &View<'_>, least: usize, now: Timestamp) -> Vec<Arc<Pod>> {
    let mut rest = view.active.clone();
    rank::sort(&mut rest, &Default::default(), now);
    let mut surplus = Vec::new();
    if view.is_indexed() {
        let mut seen = BTreeSet::new();
        // The most useful pod of an index stays.
        let (stay, go): (Vec<_>, Vec<_>) =
            rest.into_iter().rev().partition(|pod| view.index(pod).is_some_and(|index| seen.insert(index)));
        surplus = go;
        rest = stay.into_iter().rev().collect();
    }
    let more = least.saturating_sub(surplus.len());
    surplus.extend(rest.into_iter().take(more));
    surplus
}
