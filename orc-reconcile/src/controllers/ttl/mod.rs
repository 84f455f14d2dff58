//! Deletes jobs some time after they have finished (`spec.ttlSecondsAfterFinished`).
//!
//! Follows `k8s.io/kubernetes/pkg/controller/ttlafterfinished`: the job is read again before it is deleted, for its time to
//! live may have been raised; its pods go first.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use orc_core::ObjectKey;
use orc_store::cache::Typed;
use orc_store::client::{DeleteOptions, Propagation};
use orc_store::{Api, Env};

use super::job::ended;
use super::support::workload::only;
use super::support::{PassError, filled, meta, next_at};
use crate::{CacheSource, Controller, Next, Reconciler, service};

/// The loop that deletes finished jobs whose time is up.
pub fn ttl_after_finished(env: Env) -> Controller<ObjectKey> {
    let jobs = env.caches.typed::<Job>();
    let cache = jobs.cache().clone();
    Controller::new("ttl-after-finished-controller", &env, service(Finished { env: env.clone(), jobs }))
        .concurrency(2)
        .source(CacheSource::keys(cache))
}

struct Finished {
    env: Env,
    jobs: Typed<Job>,
}

/// When a job is to be deleted, `None` when it stays.
fn expires(job: &Job) -> Option<Timestamp> {
    let seconds = job.spec.as_ref()?.ttl_seconds_after_finished?;
    let ended = ended(job).filter(|_| !meta::is_terminating(&job.metadata))?.last_transition_time.as_ref()?.0;
    ended.checked_add(SignedDuration::from_secs(seconds.into())).ok()
}

#[async_trait]
impl Reconciler for Finished {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        filled(&[self.jobs.cache()]).await;
        let now = self.env.clock.now();
        match self.jobs.get(&key).and_then(|job| expires(&job)) {
            None => return Ok(Next::Done),
            Some(at) if at > now => return Ok(next_at(Some(at), now)),
            Some(_) => {}
        }
        let api: Api<Job> = Api::namespaced(self.env.client.clone(), key.namespace_str());
        let Some(fresh) = api.get_opt(&key.name).await? else { return Ok(Next::Done) };
        if expires(&fresh).is_none_or(|at| at > now) {
            return Ok(next_at(expires(&fresh), now));
        }
        let options = DeleteOptions { propagation: Some(Propagation::Foreground), ..only(&fresh.metadata) };
        match api.delete(&key.name, options).await {
            Err(error) if error.is_not_found() => Ok(Next::Done),
            done => Ok(done.map(|()| Next::Done)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_finished_jobs_expire() {
        let job = |ttl: serde_json::Value, kind: &str, status: &str| -> Job {
            serde_json::from_value(json!({"metadata": {"name": "j"},
                "spec": {"ttlSecondsAfterFinished": ttl, "template": {}},
                "status": {"conditions": [{"type": kind, "status": status, "lastTransitionTime": "1970-01-01T00:01:00Z"}]}}))
            .unwrap()
        };
        let at = Timestamp::from_second(70).ok();
        assert_eq!(expires(&job(json!(10), "Complete", "True")), at);
        assert_eq!(expires(&job(json!(10), "Failed", "True")), at);
        assert_eq!(expires(&job(json!(10), "Failed", "False")), None);
        assert_eq!(expires(&job(json!(10), "SuccessCriteriaMet", "True")), None);
        assert_eq!(expires(&job(json!(null), "Complete", "True")), None);
    }
}
