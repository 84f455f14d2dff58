//! How a job ends, and its conditions.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};

use super::failure;
use super::view::View;
use crate::controllers::support::meta;

/// Why a job is to end. It stands as `FailureTarget` or `SuccessCriteriaMet` until its last pod is gone and counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Outcome {
    /// Whether the job fails.
    pub(crate) is_failure: bool,
    /// The reason, one word.
    pub(crate) reason: String,
    /// The message for people.
    pub(crate) message: String,
}

impl Outcome {
    fn fails(reason: &str, message: impl Into<String>) -> Option<Self> {
        Some(Self { is_failure: true, reason: reason.to_owned(), message: message.into() })
    }

    fn succeeds(reason: &str, message: impl Into<String>) -> Option<Self> {
        Some(Self { is_failure: false, reason: reason.to_owned(), message: message.into() })
    }
}

/// A condition that is true.
pub(crate) fn stands<'a>(status: &'a JobStatus, kind: &str) -> Option<&'a JobCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind && condition.status == "True")
}

/// The condition that ended the job.
pub(crate) fn ended(job: &Job) -> Option<&JobCondition> {
    let status = job.status.as_ref()?;
    stands(status, "Complete").or_else(|| stands(status, "Failed"))
}

/// Why the job is to end, `None` when it goes on. What was decided before stays.
pub(crate) fn outcome(view: &View<'_>, now: Timestamp) -> Option<Outcome> {
    decided(view).or_else(|| failed(view, now)).or_else(|| succeeded(view))
}

fn decided(view: &View<'_>) -> Option<Outcome> {
    let of = |condition: &JobCondition, is_failure| Outcome {
        is_failure,
        reason: condition.reason.clone().unwrap_or_default(),
        message: condition.message.clone().unwrap_or_default(),
    };
    let target = stands(&view.status, "FailureTarget").map(|condition| of(condition, true));
    target.or_else(|| stands(&view.status, "SuccessCriteriaMet").map(|condition| of(condition, false)))
}

fn failed(view: &View<'_>, now: Timestamp) -> Option<Outcome> {
    if let Some(message) = failure::fails_job(view.job, view.owned.iter().map(|pod| &**pod)) {
        return Outcome::fails("PodFailurePolicy", message);
    }
    let limit = view.spec.backoff_limit.unwrap_or(6);
    let is_new = view.failures > view.status.failed.unwrap_or_default();
    if (is_new && view.failures > limit) || failure::restarted_too_often(view.job, view.owned.iter().map(|pod| &**pod))
    {
        return Outcome::fails("BackoffLimitExceeded", "Job has reached the specified backoff limit");
    }
    if deadline(view).is_some_and(|at| at <= now) {
        return Outcome::fails("DeadlineExceeded", "Job was active longer than specified deadline");
    }
    let lost = view.failed.as_ref().map_or(0, super::indexes::Indexes::len);
    if view.spec.max_failed_indexes.is_some_and(|most| lost > most) {
        let message = "Job has exceeded the specified maximal number of failed indexes";
        return Outcome::fails("MaxFailedIndexesExceeded", message);
    }
    let all = view.spec.completions.is_some_and(|completions| lost.saturating_add(view.succeeded) >= completions);
    if lost > 0 && all { Outcome::fails("FailedIndexes", "Job has failed indexes") } else { None }
}

fn succeeded(view: &View<'_>) -> Option<Outcome> {
    if let (Some(policy), Some(completions)) = (&view.spec.success_policy, view.spec.completions)
        && let Some(message) = failure::succeeds(policy, completions, &view.done)
    {
        return Outcome::succeeds("SuccessPolicy", message);
    }
    // Without a number of completions, the first success tells the others that there is nothing left to do.
    let enough = view.spec.completions.map_or(view.succeeded > 0, |completions| view.succeeded >= completions);
    let complete = enough && view.active.is_empty() && !meta::is_terminating(&view.job.metadata);
    if complete { Outcome::succeeds("CompletionsReached", "Reached expected number of succeeded pods") } else { None }
}

/// When the job has run too long, `None` when it may run for ever or does not run.
pub(crate) fn deadline(view: &View<'_>) -> Option<Timestamp> {
    let seconds = view.spec.active_deadline_seconds.filter(|_| !view.is_suspended())?;
    view.status.start_time.as_ref()?.0.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()
}

/// Sets a condition to true unless it stands.
fn set(status: &mut JobStatus, kind: &str, reason: &str, message: &str, now: Timestamp) {
    if stands(status, kind).is_none() {
        put(status, kind, "True", reason, message, now);
    }
}

fn put(status: &mut JobStatus, kind: &str, value: &str, reason: &str, message: &str, now: Timestamp) {
    let conditions = status.conditions.get_or_insert_default();
    let next = JobCondition {
        type_: kind.to_owned(),
        status: value.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(meta::time(now)),
        last_transition_time: Some(meta::time(now)),
        ..Default::default()
    };
    match conditions.iter_mut().find(|condition| condition.type_ == kind) {
        Some(condition) => *condition = next,
        None => conditions.push(next),
    }
}

/// Writes why the job ends; and, once nothing is left of it, that it has.
pub(crate) fn conclude(status: &mut JobStatus, outcome: &Outcome, is_over: bool, now: Timestamp) {
    let Outcome { reason, message, .. } = outcome;
    let (sign, end) = if outcome.is_failure { ("FailureTarget", "Failed") } else { ("SuccessCriteriaMet", "Complete") };
    set(status, sign, reason, message, now);
    if is_over {
        set(status, end, reason, message, now);
        if !outcome.is_failure {
            status.completion_time = Some(meta::time(now));
        }
    }
}

/// Writes when the job began, and whether it is suspended. A resumed job begins anew.
pub(crate) fn start(status: &mut JobStatus, is_suspended: bool, now: Timestamp) {
    let was_suspended = stands(status, "Suspended").is_some();
    match (was_suspended, is_suspended) {
        (false, true) => put(status, "Suspended", "True", "JobSuspended", "Job suspended", now),
        (true, false) => {
            put(status, "Suspended", "False", "JobResumed", "Job resumed", now);
            status.start_time = Some(meta::time(now));
        }
        (false, false) if status.start_time.is_none() => status.start_time = Some(meta::time(now)),
        _ => {}
    }
}
