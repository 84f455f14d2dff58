//! What a job's pods and status say together, before anything is decided.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;

use super::failure::{self, STEPS, Verdict, is_failed, verdict};
use super::indexes::Indexes;
use crate::controllers::support::{meta, pods, workload};

/// The finalizer that keeps a pod until it is counted.
pub(crate) const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// Label and annotation that hold a pod's completion index.
pub(crate) const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Annotation: how often the index failed before this pod.
pub(crate) const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
/// Annotation: how often the index failed in a way that does not count.
pub(crate) const IGNORED: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// Failures since the last success, so that the wait before a retry grows even when failed pods are deleted. Holds the newest
/// only; lost in a crash, it is learned again from the pods that are there.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Record {
    failures: BTreeMap<String, Timestamp>,
    success: Option<Timestamp>,
    /// Pods that wait to be counted and were seen.
    pub(crate) seen: BTreeSet<String>,
}

impl Record {
    /// Adds what the pods show.
    pub(crate) fn learn<'a>(&mut self, job: &Job, pods: impl Iterator<Item = &'a Pod>) {
        for pod in pods {
            let Some(at) = failure::finished_at(pod) else { continue };
            if pods::phase(pod) == "Succeeded" {
                self.success = self.success.max(Some(at));
            } else if is_failed(pod, job) {
                self.failures.insert(meta::uid(&pod.metadata).to_owned(), at);
            }
        }
        self.failures.retain(|_, at| self.success.is_none_or(|success| *at > success));
        while self.failures.len() > STEPS as usize + 1 {
            let oldest = self.failures.iter().min_by_key(|(_, at)| **at).map(|(uid, _)| uid.clone());
            self.failures.remove(&oldest.unwrap_or_default());
        }
    }

    /// When the next pod may be made, `None` for at once.
    pub(crate) fn retry_at(&self) -> Option<Timestamp> {
        let count = u32::try_from(self.failures.len()).unwrap_or(u32::MAX);
        failure::retry_at(count, self.failures.values().max().copied())
    }
}

/// A job and its pods.
pub(crate) struct View<'a> {
    pub(crate) job: &'a Job,
    pub(crate) spec: &'a JobSpec,
    pub(crate) status: JobStatus,
    /// All pods of the job.
    pub(crate) owned: Vec<Arc<Pod>>,
    /// Those that count as running.
    pub(crate) active: Vec<Arc<Pod>>,
    /// Those that are ending.
    pub(crate) ending: Vec<Arc<Pod>>,
    /// Uids in the status that are not in its counters yet.
    pub(crate) uncounted: (BTreeSet<String>, BTreeSet<String>),
    /// Indexes that the status says succeeded.
    pub(crate) counted: Indexes,
    /// All indexes that succeeded.
    pub(crate) done: Indexes,
    /// Indexes that failed for good; `None` without a limit for each.
    pub(crate) failed: Option<Indexes>,
    /// For each index the failed pod whose end is held back until there is a successor that knows its count.
    pub(crate) held: BTreeMap<i32, Arc<Pod>>,
    /// Pods that succeeded, in all.
    pub(crate) succeeded: i32,
    /// Pods that failed and count, in all.
    pub(crate) failures: i32,
}

impl<'a> View<'a> {
    pub(crate) fn new(job: &'a Job, spec: &'a JobSpec, owned: Vec<Arc<Pod>>, leaving: &BTreeSet<String>) -> Self {
        let status = job.status.clone().unwrap_or_default();
        let lists = status.uncounted_terminated_pods.clone().unwrap_or_default();
        let set = |list: Option<Vec<String>>| list.into_iter().flatten().collect();
        let (alive, ending) = workload::split_ending(owned.clone(), leaving);
        let active = alive.into_iter().filter(|pod| !pods::is_terminal(pod)).collect();
        let completions = spec.completions.unwrap_or_default();
        let text = |text: &Option<String>| Indexes::parse(text.as_deref().unwrap_or_default(), completions);
        let mut view = Self {
            job,
            spec,
            counted: text(&status.completed_indexes),
            done: Indexes::default(),
            failed: spec.backoff_limit_per_index.map(|_| text(&status.failed_indexes)),
            uncounted: (set(lists.succeeded), set(lists.failed)),
            status,
            owned,
            active,
            ending,
            held: BTreeMap::new(),
            succeeded: 0,
            failures: 0,
        };
        view.count();
        view
    }

    fn count(&mut self) {
        let number = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let (known_good, known_bad) = &self.uncounted;
        let is_new =
            |pod: &&Arc<Pod>, known: &BTreeSet<String>| is_tracked(pod) && !known.contains(meta::uid(&pod.metadata));
        let good = self.owned.iter().filter(|pod| pods::phase(pod) == "Succeeded" && is_new(pod, known_good));
        let bad = self.owned.iter().filter(|pod| is_failed(pod, self.job) && is_new(pod, known_bad));
        let bad = bad.filter(|pod| verdict(self.job, pod) != Verdict::Ignore);
        self.failures = self.status.failed.unwrap_or_default() + number(known_bad.len()) + number(bad.count());
        if self.is_indexed() {
            self.done = self.counted.union(&Indexes::of(good.filter_map(|pod| self.index(pod))));
            self.succeeded = self.done.len();
            self.fail_indexes();
        } else {
            let new = number(good.count());
            self.succeeded = self.status.succeeded.unwrap_or_default() + number(known_good.len()) + new;
        }
    }

    /// Fails the indexes whose pods failed too often, and holds back the last failed pod of the others.
    fn fail_indexes(&mut self) {
        let (Some(failed), Some(limit)) = (&self.failed, self.spec.backoff_limit_per_index) else { return };
        let ended = self.owned.iter().filter(|pod| is_tracked(pod) && is_failed(pod, self.job));
        let ended: Vec<(i32, &Arc<Pod>)> = ended.filter_map(|pod| Some((self.index(pod)?, pod))).collect();
        let is_last = |pod: &Pod| match verdict(self.job, pod) {
            Verdict::FailIndex => true,
            Verdict::Ignore => false,
            _ => times(pod, FAILURES) >= limit,
        };
        let failed = failed.union(&Indexes::of(ended.iter().filter(|(_, pod)| is_last(pod)).map(|(index, _)| *index)));
        let running = Indexes::of(self.active.iter().filter_map(|pod| self.index(pod)));
        let known = &self.uncounted.1;
        for (index, pod) in ended {
            let settled = [&self.done, &failed, &running].iter().any(|set| set.contains(index));
            if settled || known.contains(meta::uid(&pod.metadata)) {
                continue;
            }
            let newer = self.held.get(&index).is_none_or(|held| tries(held) <= tries(pod));
            if newer {
                self.held.insert(index, pod.clone());
            }
        }
        self.failed = Some(failed);
    }

    pub(crate) fn is_indexed(&self) -> bool {
        self.spec.completion_mode.as_deref() == Some("Indexed")
    }

    pub(crate) fn is_suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }

    /// The pod's completion index, `None` when it has none or one beyond the completions.
    pub(crate) fn index(&self, pod: &Pod) -> Option<i32> {
        index(pod).filter(|index| *index < self.spec.completions.unwrap_or_default())
    }
}

/// The pod's completion index.
pub(crate) fn index(pod: &Pod) -> Option<i32> {
    meta::annotation(&pod.metadata, INDEX)?.parse().ok().filter(|index| *index >= 0)
}

/// Whether the pod waits to be counted.
pub(crate) fn is_tracked(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == TRACKING)
}

/// A count that a pod carries.
pub(crate) fn times(pod: &Pod, annotation: &str) -> i32 {
    meta::annotation(&pod.metadata, annotation).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// How often the index was tried before this pod.
pub(crate) fn tries(pod: &Pod) -> i32 {
    times(pod, FAILURES).saturating_add(times(pod, IGNORED))
}
