//! What a job's failed pods mean: pod failure policy, success policy, limits of retries.
//!
//! Follows `pod_failure_policy.go`, `success_policy.go` and `backoff_utils.go` of `k8s.io/kubernetes/pkg/controller/job`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{
    Job, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
    SuccessPolicy,
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::indexes::Indexes;
use crate::controllers::support::{meta, pods};

/// The wait after a first failure; it doubles with each further one.
const BACKOFF: Duration = Duration::from_secs(10);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(600);
/// Failures from which on the wait is the longest.
pub(crate) const STEPS: u32 = 7;

/// What a rule says of a failed pod.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It counts.
    Count,
    /// It does not count.
    Ignore,
    /// Its index fails.
    FailIndex,
    /// The job fails, for this reason.
    FailJob(String),
}

/// Whether only pods that ended for good are replaced: then a pod that is being deleted has not failed yet.
pub(crate) fn only_replaces_failed(job: &Job) -> bool {
    let spec = job.spec.as_ref();
    spec.is_some_and(|spec| {
        spec.pod_replacement_policy.as_deref() == Some("Failed") || spec.pod_failure_policy.is_some()
    })
}

/// Whether a pod of the job has failed. A pod that is being deleted counts as failed, unless the job waits for its end.
pub(crate) fn is_failed(pod: &Pod, job: &Job) -> bool {
    match pods::phase(pod) {
        "Failed" => true,
        "Succeeded" => false,
        _ => !only_replaces_failed(job) && meta::is_terminating(&pod.metadata),
    }
}

/// The verdict of the job's pod failure policy on a failed pod.
pub(crate) fn verdict(job: &Job, pod: &Pod) -> Verdict {
    let policy = job.spec.as_ref().and_then(|spec| spec.pod_failure_policy.as_ref());
    policy.map_or(Verdict::Count, |policy| judge(policy, pod))
}

fn judge(policy: &PodFailurePolicy, pod: &Pod) -> Verdict {
    let who = || format!("{}/{}", meta::namespace(&pod.metadata), meta::name(&pod.metadata));
    for (at, rule) in policy.rules.iter().enumerate() {
        let action = &rule.action;
        let why = if let Some(wanted) = &rule.on_exit_codes {
            exited(pod, wanted).map(|(container, code)| {
                format!(
                    "Container {container} for pod {} failed with exit code {code} matching {action} rule at index {at}",
                    who()
                )
            })
        } else {
            let condition = conditions(pod, rule.on_pod_conditions.as_deref().unwrap_or_default());
            condition.map(|kind| format!("Pod {} has condition {kind} matching {action} rule at index {at}", who()))
        };
        let Some(why) = why else { continue };
        match &**action {
            "Ignore" => return Verdict::Ignore,
            "FailIndex" => return Verdict::FailIndex,
            "Count" => return Verdict::Count,
            "FailJob" => return Verdict::FailJob(why),
            _ => {}
        }
    }
    Verdict::Count
}

/// The first container whose exit code a requirement names, with the code. Success never matches.
fn exited<'a>(pod: &'a Pod, wanted: &PodFailurePolicyOnExitCodesRequirement) -> Option<(&'a str, i32)> {
    let matching = |status: &&ContainerStatus| {
        let Some(code) = exit_code(status).filter(|code| *code != 0) else { return false };
        let named = wanted.values.contains(&code);
        let selected = wanted.container_name.as_ref().is_none_or(|name| *name == status.name);
        selected
            && match &*wanted.operator {
                "In" => named,
                "NotIn" => !named,
                _ => false,
            }
    };
    let found = statuses(pod).find(matching)?;
    Some((&found.name, exit_code(found)?))
}

fn exit_code(status: &ContainerStatus) -> Option<i32> {
    status.state.as_ref()?.terminated.as_ref().map(|ended| ended.exit_code)
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|status| {
        status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten())
    })
}

fn conditions<'a>(pod: &'a Pod, patterns: &[PodFailurePolicyOnPodConditionsPattern]) -> Option<&'a str> {
    let own = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let matches = |own: &&k8s_openapi::api::core::v1::PodCondition| {
        patterns
            .iter()
            .any(|pattern| own.type_ == pattern.type_ && own.status == pattern.status.as_deref().unwrap_or("True"))
    };
    own.into_iter().find(matches).map(|condition| &*condition.type_)
}

/// Why the first failed pod that a `FailJob` rule names fails the job.
pub(crate) fn fails_job<'a>(job: &Job, pods: impl Iterator<Item = &'a Pod>) -> Option<String> {
    job.spec.as_ref()?.pod_failure_policy.as_ref()?;
    pods.filter(|pod| is_failed(pod, job)).find_map(|pod| match verdict(job, pod) {
        Verdict::FailJob(why) => Some(why),
        _ => None,
    })
}

/// Whether containers that restart in place (`restartPolicy: OnFailure`) restarted too often.
pub(crate) fn restarted_too_often<'a>(job: &Job, pods: impl Iterator<Item = &'a Pod>) -> bool {
    let Some(spec) = &job.spec else { return false };
    let policy = spec.template.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
    if policy != Some("OnFailure") {
        return false;
    }
    let running = pods.filter(|pod| matches!(pods::phase(pod), "Running" | "Pending"));
    let restarts: i64 = running.flat_map(statuses).map(|status| i64::from(status.restart_count)).sum();
    match i64::from(spec.backoff_limit.unwrap_or(6)) {
        0 => restarts > 0,
        limit => restarts >= limit,
    }
}

/// The message of the first rule of a success policy that is met.
pub(crate) fn succeeds(policy: &SuccessPolicy, completions: i32, succeeded: &Indexes) -> Option<String> {
    let met = |rule: &k8s_openapi::api::batch::v1::SuccessPolicyRule| {
        let Some(text) = &rule.succeeded_indexes else {
            return rule.succeeded_count.is_some_and(|count| succeeded.len() >= count);
        };
        let wanted = Indexes::parse(text, completions);
        succeeded.common(&wanted) >= rule.succeeded_count.unwrap_or(wanted.len())
    };
    policy.rules.iter().position(met).map(|at| format!("Matched rules at index {at}"))
}

/// When a pod ended: its deletion was asked for, its last container ended, or it stopped being ready.
pub(crate) fn finished_at(pod: &Pod) -> Option<Timestamp> {
    if let Some(deletion) = &pod.metadata.deletion_timestamp {
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or_default();
        return deletion.0.checked_sub(jiff::SignedDuration::from_secs(grace)).ok();
    }
    let ended =
        |status: &ContainerStatus| status.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref().map(|at| at.0);
    let last = statuses(pod).filter_map(ended).max();
    let unready = || pods::condition(pod, "Ready").and_then(|ready| ready.last_transition_time.as_ref()).map(|at| at.0);
    last.or_else(unready).or_else(|| pod.metadata.creation_timestamp.as_ref().map(|at| at.0))
}

/// When the next pod may be made after so many failures in a row, the last of them at `last`.
pub(crate) fn retry_at(failures: u32, last: Option<Timestamp>) -> Option<Timestamp> {
    let doubled = BACKOFF.saturating_mul(1 << failures.checked_sub(1)?.min(STEPS));
    last?.checked_add(doubled.min(LONGEST)).ok()
}
