//! What a cron job needs next: `syncCronJob` of `k8s.io/kubernetes/pkg/controller/cronjob`, as a function.

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::schedule::Schedule;
use crate::controllers::job::ended;
use crate::controllers::support::{Plan, meta};

/// When the job was due, in the cron job's time zone.
const DUE: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// Missed times from which on somebody should be told.
const MANY: usize = 100;

/// What a pass looks at.
pub(crate) struct State<'a> {
    pub(crate) cron: &'a CronJob,
    /// Jobs that it controls.
    pub(crate) jobs: Vec<Arc<Job>>,
}

/// What to do, or to tell.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Write {
    /// Start a job.
    Create(Box<Job>),
    /// Delete a job, and its pods in the background.
    Delete(Arc<Job>),
    /// Tell people: normal or not, reason, message.
    Tell(bool, &'static str, String),
}

/// One stage: jobs that are over, then a job that is due.
pub(crate) fn plan(state: State<'_>, now: Timestamp) -> Plan<Write, CronJobStatus> {
    let cron = state.cron;
    let spec = &cron.spec;
    let (status, mut writes) = status(cron, &state.jobs);
    writes.extend(outdated(spec, &state.jobs));
    let mut plan = Plan { writes, status: Some(status), wake: None };
    if !meta::is_terminating(&cron.metadata) && spec.suspend != Some(true) {
        run(cron, spec, &state.jobs, now, &mut plan);
    }
    plan.status = plan.status.filter(|status| cron.status.as_ref() != Some(status));
    plan
}

/// What the jobs say: which run, when one was last due, when one last succeeded.
fn status(cron: &CronJob, jobs: &[Arc<Job>]) -> (CronJobStatus, Vec<Write>) {
    let mut status = cron.status.clone().unwrap_or_default();
    let mut told = Vec::new();
    let known = status.active.take().unwrap_or_default();
    let is_known = |job: &Job| known.iter().any(|of| of.uid == job.metadata.uid);
    for job in jobs {
        let name = meta::name(&job.metadata);
        let due = meta::annotation(&job.metadata, DUE).and_then(|text| text.parse::<Timestamp>().ok());
        let last = status.last_schedule_time.as_ref().map(|time| time.0);
        status.last_schedule_time = last.max(due).map(Time);
        match ended(job) {
            None => status.active.get_or_insert_default().push(meta::reference(&**job)),
            Some(end) => {
                let at = job.status.as_ref().and_then(|status| status.completion_time.clone());
                if end.type_ == "Complete" && status.last_successful_time < at {
                    status.last_successful_time = at;
                }
                if is_known(job) {
                    let text = format!("Saw completed job: {name}, condition: {}", end.type_);
                    told.push(Write::Tell(true, "SawCompletedJob", text));
                }
            }
        }
    }
    for gone in known.iter().filter(|of| !jobs.iter().any(|job| job.metadata.uid == of.uid)) {
        let name = gone.name.as_deref().unwrap_or_default();
        told.push(Write::Tell(true, "MissingJob", format!("Active job went missing: {name}")));
    }
    // References keep the revision that they were made with, so that a job's own changes are none of the cron job's.
    for reference in status.active.iter_mut().flatten() {
        if let Some(same) = known.iter().find(|of| of.uid == reference.uid) {
            *reference = ObjectReference::clone(same);
        }
    }
    (status, told)
}

/// Finished jobs beyond the history limits, the oldest first.
fn outdated(spec: &CronJobSpec, jobs: &[Arc<Job>]) -> Vec<Write> {
    let of = |kind: &str, limit: Option<i32>| {
        let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { return Vec::new() };
        let mut ended: Vec<_> = jobs
            .iter()
            .filter(|job| ended(job).is_some_and(|end| end.type_ == kind) && !meta::is_terminating(&job.metadata))
            .collect();
        ended.sort_by_key(|job| {
            let started = job.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|at| at.0);
            (started.is_none(), started, job.metadata.name.clone())
        });
        let surplus = ended.len().saturating_sub(limit);
        ended.into_iter().take(surplus).cloned().map(Write::Delete).collect()
    };
    let mut all: Vec<Write> = of("Complete", spec.successful_jobs_history_limit);
    all.extend(of("Failed", spec.failed_jobs_history_limit));
    all
}

fn run(cron: &CronJob, spec: &CronJobSpec, jobs: &[Arc<Job>], now: Timestamp, plan: &mut Plan<Write, CronJobStatus>) {
    let mut warn = |reason, text| plan.writes.push(Write::Tell(false, reason, text));
    let zone = match spec.time_zone.as_deref().map(TimeZone::get) {
        None => TimeZone::UTC,
        Some(Ok(zone)) => zone,
        Some(Err(error)) => {
            let zone = spec.time_zone.as_deref().unwrap_or_default();
            return warn("UnknownTimeZone", format!("invalid timeZone: {zone:?}: {error}"));
        }
    };
    let schedule = match Schedule::parse(&spec.schedule) {
        Ok(schedule) => schedule,
        Err(error) => {
            let text = format!("unparseable schedule: {:?} : {error}", spec.schedule);
            return warn("UnparseableSchedule", text);
        }
    };
    plan.wake = schedule.next(now, &zone);
    let status = plan.status.clone().unwrap_or_default();
    let last = status.last_schedule_time.as_ref().or(cron.metadata.creation_timestamp.as_ref()).map(|at| at.0);
    let deadline = spec.starting_deadline_seconds.map(SignedDuration::from_secs);
    let open = deadline.and_then(|deadline| now.checked_sub(deadline).ok());
    let Some(after) = last.max(open) else { return };
    let Some((due, missed)) = schedule.latest(after, now, &zone) else { return };
    if missed > MANY {
        let advice = "Set or decrease .spec.startingDeadlineSeconds or check clock skew";
        warn("TooManyMissedTimes", format!("too many missed start times: {missed}. {advice}"));
    }
    let name = format!("{}-{}", meta::name(&cron.metadata), due.as_second() / 60);
    if jobs.iter().any(|job| job.metadata.name.as_ref() == Some(&name)) {
        return;
    }
    let active: Vec<_> = jobs.iter().filter(|job| ended(job).is_none()).collect();
    match spec.concurrency_policy.as_deref() {
        Some("Forbid") if !active.is_empty() => {
            let text = "Not starting job because prior execution is running and concurrency policy is Forbid";
            return plan.writes.push(Write::Tell(true, "JobAlreadyActive", text.to_owned()));
        }
        Some("Replace") => {
            let going: Vec<_> = active.into_iter().filter(|job| !meta::is_terminating(&job.metadata)).collect();
            leave(plan.status.as_mut(), &going);
            plan.writes.extend(going.into_iter().cloned().map(Write::Delete));
        }
        _ => {}
    }
    plan.writes.push(Write::Create(Box::new(job(cron, spec, name, due, &zone))));
}

/// Jobs that are deleted on purpose are not missed later.
fn leave(status: Option<&mut CronJobStatus>, going: &[&Arc<Job>]) {
    let Some(status) = status else { return };
    let mut active = status.active.take().unwrap_or_default();
    active.retain(|of| !going.iter().any(|job| job.metadata.uid == of.uid));
    status.active = Some(active).filter(|active| !active.is_empty());
}

fn job(cron: &CronJob, spec: &CronJobSpec, name: String, due: Timestamp, zone: &TimeZone) -> Job {
    let template = spec.job_template.clone();
    let from = template.metadata.unwrap_or_default();
    let mut annotations = from.annotations.unwrap_or_default();
    let local = due.to_zoned(zone.clone());
    let text = if spec.time_zone.is_none() || local.offset().is_zero() {
        local.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    } else {
        local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    };
    annotations.insert(DUE.to_owned(), text);
    Job {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: cron.metadata.namespace.clone(),
            labels: from.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![meta::controller_reference(cron)]),
            ..Default::default()
        },
        spec: template.spec,
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn cron(more: Value) -> CronJob {
        let mut spec = json!({"schedule": "*/10 * * * *", "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 1,
            "jobTemplate": {"spec": {"template": {}}}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let meta = json!({"name": "c", "namespace": "d", "uid": "c-1", "creationTimestamp": "2026-01-01T00:01:00Z"});
        serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap()
    }

    fn child(name: &str, end: Option<&str>) -> Arc<Job> {
        let conditions = end.map(|end| json!([{"type": end, "status": "True"}]));
        let due = json!({DUE: "2026-01-01T00:10:00Z"});
        Arc::new(
            serde_json::from_value(json!({"metadata": {"name": name, "uid": name, "annotations": due},
                "spec": {"template": {}}, "status": {"conditions": conditions, "completionTime": "2026-01-01T00:11:00Z"}}))
            .unwrap(),
        )
    }

    fn created(plan: &Plan<Write, CronJobStatus>) -> Vec<String> {
        let name = |write: &Write| match write {
            Write::Create(job) => job.metadata.name.clone(),
            _ => None,
        };
        plan.writes.iter().filter_map(name).collect()
    }

    #[test]
    fn a_job_is_started_once_when_it_is_due() {
        let cron = cron(json!({}));
        let early = plan(State { cron: &cron, jobs: vec![] }, at("2026-01-01T00:09:59Z"));
        assert_eq!((created(&early), early.wake), (vec![], Some(at("2026-01-01T00:10:00Z"))));
        let due = plan(State { cron: &cron, jobs: vec![] }, at("2026-01-01T00:10:00Z"));
        let name = format!("c-{}", at("2026-01-01T00:10:00Z").as_second() / 60);
        assert_eq!(created(&due), std::slice::from_ref(&name));
        let after = plan(State { cron: &cron, jobs: vec![child(&name, None)] }, at("2026-01-01T00:10:01Z"));
        assert_eq!(created(&after), [""; 0]);
        let status = after.status.unwrap();
        assert_eq!(status.active.unwrap().len(), 1);
        assert_eq!(status.last_schedule_time.unwrap().0, at("2026-01-01T00:10:00Z"));
    }

    #[test]
    fn policies_hold() {
        let now = at("2026-01-01T00:20:30Z");
        let running = || vec![child("c-old", None)];
        let of = |more| plan(State { cron: &cron(more), jobs: running() }, now);
        assert!(created(&of(json!({"concurrencyPolicy": "Forbid"}))).is_empty());
        let replaced = of(json!({"concurrencyPolicy": "Replace"}));
        assert!(replaced.writes.contains(&Write::Delete(child("c-old", None))) && created(&replaced).len() == 1);
        assert_eq!(replaced.status.unwrap().active, None, "it is not missed in the next pass");
        assert_eq!(created(&of(json!({"concurrencyPolicy": "Allow"}))).len(), 1);
        assert!(created(&of(json!({"startingDeadlineSeconds": 20}))).is_empty(), "too late");
        assert!(created(&of(json!({"suspend": true}))).is_empty());
        let zone = of(json!({"timeZone": "Mars/Olympus"}));
        assert!(matches!(&zone.writes[..], [Write::Tell(false, "UnknownTimeZone", _)]));
    }

    #[test]
    fn history_keeps_its_limits() {
        let jobs = vec![child("a", Some("Complete")), child("b", Some("Complete")), child("c", Some("Failed"))];
        let plan = plan(State { cron: &cron(json!({"suspend": true})), jobs }, at("2026-01-01T00:20:30Z"));
        assert_eq!(plan.writes, [Write::Delete(child("a", Some("Complete")))]);
        assert_eq!(plan.status.unwrap().last_successful_time.unwrap().0, at("2026-01-01T00:11:00Z"));
    }
}
