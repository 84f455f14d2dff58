//! Cron jobs: jobs that start on a schedule.
//!
//! Follows `k8s.io/kubernetes/pkg/controller/cronjob`. A job is named after the minute it was due, so it is never made twice.

mod plan;
mod schedule;

use async_trait::async_trait;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use orc_core::ObjectKey;
use orc_store::cache::Typed;
use orc_store::client::{DeleteOptions, Propagation};
use orc_store::{Api, Env};

use self::plan::{State, Write, plan};
use super::support::workload::{only, report};
use super::support::{AGAIN, Memory, PassError, Recorder, filled, meta, next_at};
use crate::{CacheSource, Controller, Next, Reconciler, service};

/// The loop of cron jobs.
pub fn cron_job(env: Env) -> Controller<ObjectKey> {
    let crons = env.caches.typed::<CronJob>();
    let jobs = env.caches.typed::<Job>();
    let caches = (crons.cache().clone(), jobs.cache().clone());
    let recorder = Recorder::new(&env, "cronjob-controller");
    let reconciler = Crons { env: env.clone(), crons, jobs, memory: Memory::default(), recorder };
    Controller::new("cronjob-controller", &env, service(reconciler))
        .concurrency(5)
        .source(CacheSource::keys(caches.0))
        .source(CacheSource::owners::<CronJob>(caches.1))
}

struct Crons {
    env: Env,
    crons: Typed<CronJob>,
    jobs: Typed<Job>,
    memory: Memory,
    recorder: Recorder,
}

#[async_trait]
impl Reconciler for Crons {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        filled(&[self.crons.cache(), self.jobs.cache()]).await;
        self.memory.settle(&key).await?;
        let Some(cron) = self.crons.get(&key) else {
            self.memory.forget(&key);
            return Ok(Next::Done);
        };
        let mut jobs = self.jobs.by_owner(meta::uid(&cron.metadata));
        jobs.retain(|job| meta::controller(&job.metadata).is_some_and(|owner| owner.uid == meta::uid(&cron.metadata)));
        let alive = jobs.iter().filter(|job| !meta::is_terminating(&job.metadata));
        let leaving = self.memory.leaving(&key, &alive.map(|job| meta::uid(&job.metadata)).collect());
        jobs.retain(|job| !leaving.contains(meta::uid(&job.metadata)));
        let now = self.env.clock.now();
        let plan = plan(State { cron: &cron, jobs }, now);
        let next = plan.status.map(|status| CronJob { status: Some(status), ..CronJob::clone(&cron) });
        report(&self.env, &self.memory, &key, &self.crons, next).await?;
        let mut wrote = false;
        for write in plan.writes {
            wrote |= self.write(&key, &cron, write).await?;
        }
        Ok(if wrote { AGAIN } else { next_at(plan.wake, now) })
    }
}

impl Crons {
    /// Carries a write out; says whether it changed a job.
    async fn write(&self, key: &ObjectKey, cron: &CronJob, write: Write) -> Result<bool, PassError> {
        let api: Api<Job> = Api::namespaced(self.env.client.clone(), key.namespace_str());
        match write {
            Write::Tell(true, reason, text) => self.recorder.normal(cron, reason, text),
            Write::Tell(false, reason, text) => self.recorder.warning(cron, reason, text),
            Write::Create(job) => {
                let name = meta::name(&job.metadata).to_owned();
                match api.create(&job).await {
                    Ok(made) => {
                        self.memory.wrote(key, self.jobs.cache(), made.metadata.resource_version.as_deref());
                        self.recorder.normal(cron, "SuccessfulCreate", format!("Created job {name}"));
                    }
                    Err(error) if meta::namespace_is_ending(&error) => return Ok(false),
                    // Made before, and not seen yet; or somebody else's, which stands in the way.
                    Err(error) if error.is_already_exists() => return Err(error.into()),
                    Err(error) => {
                        self.recorder.warning(cron, "FailedCreate", format!("Error creating job: {error}"));
                        return Err(error.into());
                    }
                }
                return Ok(true);
            }
            Write::Delete(job) => {
                let options = DeleteOptions { propagation: Some(Propagation::Background), ..only(&job.metadata) };
                let name = meta::name(&job.metadata);
                match api.delete(name, options).await {
                    Ok(()) => self.recorder.normal(cron, "SuccessfulDelete", format!("Deleted job {name}")),
                    Err(error) if error.is_not_found() => {}
                    Err(error) => {
                        self.recorder.warning(cron, "FailedDelete", format!("Deleted job: {error}"));
                        return Err(error.into());
                    }
                }
                self.memory.deleted(key, meta::uid(&job.metadata));
                return Ok(true);
            }
        }
        Ok(false)
    }
}
