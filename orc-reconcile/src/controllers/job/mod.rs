//! Jobs: pods that run to their end, so often, at most so many at a time.
//!
//! Follows `k8s.io/kubernetes/pkg/controller/job`: plain and indexed jobs, limits of retries, policies of failure, success and
//! replacement, suspension, deadlines; every ended pod is counted once by means of a finalizer. Different: a pass writes the
//! counters first and makes pods after; pods are named here; the wait after failures is also learned from pods that are there.

mod account;
mod failure;
mod indexes;
mod plan;
mod status;
mod template;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use orc_core::{ApiError, ObjectKey, Revision};
use orc_store::cache::Typed;
use orc_store::client::PatchKind;
use orc_store::{Env, Stored};
use parking_lot::Mutex;
use serde_json::json;

use self::plan::{State, Write, plan};
pub(crate) use self::status::ended;
use self::view::{Record, TRACKING, is_tracked};
use super::support::workload::{self, Pods, owners_of, selector_of};
use super::support::{AGAIN, PassError, filled, meta, next_at};
use crate::{CacheSource, Controller, Next, Reconciler, service};

/// The index of pods that wait to be counted, by the namespace and name of their job.
const OF_JOB: &str = "tracked-by-job";

/// The values of [`OF_JOB`].
fn job_of(stored: &Stored) -> Vec<String> {
    let owner = stored.head.controller().filter(|owner| owner.kind == "Job" && owner.api_version.starts_with("batch/"));
    let tracked = stored.head.finalizers.iter().any(|finalizer| finalizer == TRACKING);
    let place = |name: &str| format!("{}/{name}", stored.key.namespace_str());
    owner.filter(|_| tracked).map(|owner| place(&owner.name)).into_iter().collect()
}

/// The loop of jobs.
pub fn job(env: Env) -> Controller<ObjectKey> {
    let jobs = env.caches.typed::<Job>();
    let pods = Pods::new(&env, "job-controller");
    pods.pods.cache().add_index(OF_JOB, Arc::new(job_of));
    let of_pods = {
        let jobs = jobs.clone();
        move |pod: &Arc<Stored>| {
            owners_of(pod, &jobs, |job: &Job| selector_of(job.spec.as_ref().and_then(|spec| spec.selector.as_ref())))
        }
    };
    let caches = (jobs.cache().clone(), pods.pods.cache().clone());
    let reconciler = Jobs { jobs, pods, records: Mutex::default() };
    Controller::new("job-controller", &env, service(reconciler))
        .concurrency(5)
        .source(CacheSource::keys(caches.0))
        .source(CacheSource::new(caches.1, of_pods))
}

struct Jobs {
    jobs: Typed<Job>,
    pods: Pods,
    records: Mutex<BTreeMap<ObjectKey, Record>>,
}

#[async_trait]
impl Reconciler for Jobs {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        filled(&[self.jobs.cache(), self.pods.pods.cache()]).await;
        self.pods.memory.settle(&key).await?;
        let job = self.jobs.get(&key);
        self.untrack_lost(&key, job.as_deref()).await?;
        let Some(job) = job else {
            self.pods.memory.forget(&key);
            self.records.lock().remove(&key);
            return Ok(Next::Done);
        };
        self.fresh(&key, &job)?;
        let now = self.pods.env.clock.now();
        let plan = plan(self.gather(&key, &job), now);
        self.report(&key, &job, plan.status).await?;
        if plan.writes.is_empty() {
            return Ok(next_at(plan.wake, now));
        }
        self.write(&key, &job, plan.writes).await?;
        Ok(AGAIN)
    }
}

impl Jobs {
    /// A uid that the job's status names moves to a counter when its pod is gone. A pod that this loop has never seen may be
    /// one that the cache does not show yet: then the pass waits until the cache is as new as the job.
    fn fresh(&self, key: &ObjectKey, job: &Job) -> Result<(), PassError> {
        let lists = job.status.as_ref().and_then(|status| status.uncounted_terminated_pods.clone()).unwrap_or_default();
        let waiting: BTreeSet<String> =
            lists.succeeded.into_iter().flatten().chain(lists.failed.into_iter().flatten()).collect();
        let snapshot = self.pods.pods.snapshot();
        let present: BTreeSet<String> =
            snapshot.untyped().by_owner(meta::uid(&job.metadata)).map(|pod| pod.head.uid.to_string()).collect();
        let mut records = self.records.lock();
        let seen = &mut records.entry(key.clone()).or_default().seen;
        seen.retain(|uid| waiting.contains(uid));
        seen.extend(waiting.iter().filter(|uid| present.contains(*uid)).cloned());
        let revision = job.metadata.resource_version.as_deref().and_then(Revision::parse);
        if waiting.iter().all(|uid| seen.contains(uid)) || revision.is_none_or(|at| at <= snapshot.untyped().revision())
        {
            return Ok(());
        }
        Err(PassError::Wait("the pods that are seen are older than the job".to_owned()))
    }

    fn gather<'a>(&self, key: &ObjectKey, job: &'a Job) -> State<'a> {
        let (candidates, leaving) = self.pods.candidates(key, meta::uid(&job.metadata));
        let own = candidates
            .iter()
            .filter(|pod| meta::controller(&pod.metadata).is_some_and(|owner| owner.uid == meta::uid(&job.metadata)));
        let mut records = self.records.lock();
        let record = records.entry(key.clone()).or_default();
        record.learn(job, own.map(|pod| &**pod));
        State { job, candidates, leaving, record: record.clone() }
    }

    /// Lets pods go whose job is gone: nobody counts them any more.
    async fn untrack_lost(&self, key: &ObjectKey, job: Option<&Job>) -> Result<(), PassError> {
        let place = format!("{}/{}", key.namespace_str(), key.name);
        for pod in self.pods.pods.by_index(OF_JOB, &place) {
            let owner = meta::controller(&pod.metadata).map(|owner| owner.uid.as_str());
            if job.is_none_or(|job| owner != Some(meta::uid(&job.metadata))) {
                // A cache may lag: the job is looked up where it is kept.
                let jobs = orc_store::Api::<Job>::namespaced(self.pods.env.client.clone(), key.namespace_str());
                let fresh = jobs.get_opt(&key.name).await?;
                if fresh.is_none_or(|fresh| owner != Some(meta::uid(&fresh.metadata))) {
                    self.untrack(key, &pod).await?;
                }
            }
        }
        Ok(())
    }

    async fn untrack(&self, key: &ObjectKey, pod: &Pod) -> Result<(), ApiError> {
        // Bound to the revision that was read: a finalizer that somebody adds meanwhile must not be lost.
        let mut finalizers = pod.metadata.finalizers.clone().unwrap_or_default();
        finalizers.retain(|finalizer| finalizer != TRACKING);
        let own = &pod.metadata;
        let finalizers = if finalizers.is_empty() { serde_json::Value::Null } else { json!(finalizers) };
        let patch =
            json!({"metadata": {"uid": own.uid, "resourceVersion": own.resource_version, "finalizers": finalizers}});
        let done = self.pods.api(key).patch(meta::name(own), PatchKind::Merge, patch.to_string()).await;
        self.pods.changed(key, done)
    }

    async fn write(&self, key: &ObjectKey, job: &Job, writes: Vec<Write>) -> Result<(), PassError> {
        let (mut adopt, mut create, mut delete) = (Vec::new(), Vec::new(), Vec::new());
        for write in writes {
            match write {
                Write::Adopt(pod) => adopt.push(pod),
                Write::Release(pod) => {
                    // What leaves the job is no longer counted by it.
                    if is_tracked(&pod) {
                        self.untrack(key, &pod).await?;
                        return Ok(());
                    }
                    self.pods.release(key, meta::uid(&job.metadata), &pod).await?;
                }
                Write::Untrack(pod) => self.untrack(key, &pod).await?,
                Write::Create(pod) => create.push(*pod),
                Write::Delete(pod) => delete.push(pod),
                Write::Drop(pod) => {
                    if is_tracked(&pod) {
                        self.untrack(key, &pod).await?;
                    }
                    delete.push(pod);
                }
            }
        }
        self.pods.adopt(key, job, &adopt).await?;
        self.pods.delete(key, job, &delete).await?;
        self.pods.create(key, job, create).await
    }

    async fn report(&self, key: &ObjectKey, job: &Job, status: Option<JobStatus>) -> Result<(), PassError> {
        let Some(status) = status else { return Ok(()) };
        let next = Job { status: Some(status), ..job.clone() };
        workload::report(&self.pods.env, &self.pods.memory, key, &self.jobs, Some(next.clone())).await?;
        self.tell(job, &next);
        Ok(())
    }

    /// Tells what the new status says that the old one did not.
    fn tell(&self, job: &Job, next: &Job) {
        let recorder = &self.pods.recorder;
        let of = |job: &Job, kind: &str| {
            let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions.into_iter().find(|condition| condition.type_ == kind).cloned()
        };
        let changed = |kind: &str| {
            let (before, after) = (of(job, kind), of(next, kind)?);
            (before.map(|before| before.status).as_ref() != Some(&after.status)).then_some(after)
        };
        if let Some(condition) = changed("Suspended") {
            let (reason, text) =
                if condition.status == "True" { ("Suspended", "Job suspended") } else { ("Resumed", "Job resumed") };
            recorder.normal(job, reason, text.to_owned());
        }
        if changed("Complete").is_some() {
            recorder.normal(job, "Completed", "Job completed".to_owned());
        }
        if let Some(failed) = changed("Failed") {
            recorder.warning(job, reason(&failed), failed.message.unwrap_or_default());
        }
    }
}

/// The reason of a failure, as events carry it.
fn reason(condition: &k8s_openapi::api::batch::v1::JobCondition) -> &'static str {
    const KNOWN: [&str; 6] = [
        "BackoffLimitExceeded",
        "DeadlineExceeded",
        "FailedIndexes",
        "MaxFailedIndexesExceeded",
        "PodFailurePolicy",
        "SuccessPolicy",
    ];
    let own = condition.reason.as_deref().unwrap_or_default();
    KNOWN.into_iter().find(|known| *known == own).unwrap_or("Failed")
}
