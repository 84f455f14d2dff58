//! The status of a disruption budget: `trySync` of `k8s.io/kubernetes/pkg/controller/disruption`, as a function.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::controllers::deployment::percent::resolve;
use crate::controllers::support::{meta, pods};

/// How long an eviction counts before the pod's deletion is seen.
const DELETION: SignedDuration = SignedDuration::from_mins(2);

/// The pods and what is known of those who made them.
pub(crate) struct State<'a> {
    pub(crate) budget: &'a PodDisruptionBudget,
    /// Selected pods.
    pub(crate) pods: Vec<Arc<Pod>>,
    /// The summed scale of the pods' controllers, when the budget depends on it; or why it is not known.
    pub(crate) scale: Result<i32, String>,
}

/// The status, pods that were to be deleted and were not, and when to look again.
pub(crate) struct Outcome {
    pub(crate) status: PodDisruptionBudgetStatus,
    pub(crate) undeleted: Vec<Arc<Pod>>,
    pub(crate) wake: Option<Timestamp>,
    /// Why the status could not be computed: no disruption is allowed then.
    pub(crate) failure: Option<String>,
}

/// Whether a budget depends on the scale of controllers, not only on the number of pods.
pub(crate) fn needs_scale(budget: &PodDisruptionBudget) -> bool {
    let spec = budget.spec.clone().unwrap_or_default();
    spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrString::String(_)))
}

/// Computes the status.
pub(crate) fn plan(state: State<'_>, now: Timestamp) -> Outcome {
    let before = state.budget.status.clone().unwrap_or_default();
    let pods = &state.pods;
    let numbers = numbers(&state);
    let (disrupted, undeleted, wake) = disrupted(before.disrupted_pods.as_ref(), pods, now);
    let (expected, desired) = match numbers {
        Ok(numbers) => numbers,
        Err(failure) => {
            let mut status = PodDisruptionBudgetStatus { disruptions_allowed: Some(0), ..before };
            condition(&mut status, state.budget, "SyncFailed", &failure, now);
            return Outcome { status, undeleted: Vec::new(), wake: None, failure: Some(failure) };
        }
    };
    let healthy = |pod: &&Arc<Pod>| {
        let leaving = disrupted.contains_key(meta::name(&pod.metadata));
        !meta::is_terminating(&pod.metadata) && !leaving && pods::is_ready(pod)
    };
    let healthy = i32::try_from(pods.iter().filter(healthy).count()).unwrap_or(i32::MAX);
    let allowed = if expected > 0 { (healthy - desired).max(0) } else { 0 };
    let mut status = PodDisruptionBudgetStatus {
        current_healthy: Some(healthy),
        desired_healthy: Some(desired),
        expected_pods: Some(expected),
        disruptions_allowed: Some(allowed),
        disrupted_pods: Some(disrupted).filter(|pods| !pods.is_empty()),
        observed_generation: state.budget.metadata.generation,
        conditions: before.conditions,
    };
    condition(&mut status, state.budget, if allowed > 0 { "SufficientPods" } else { "InsufficientPods" }, "", now);
    Outcome { status, undeleted, wake, failure: None }
}

/// Expected pods, and how many of them must be healthy. Shares are rounded up.
fn numbers(state: &State<'_>) -> Result<(i32, i32), String> {
    let spec = state.budget.spec.clone().unwrap_or_default();
    let count = i32::try_from(state.pods.len()).unwrap_or(i32::MAX);
    match (spec.max_unavailable, spec.min_available) {
        (Some(most), _) => {
            let scale = state.scale.clone()?;
            Ok((scale, (scale - resolve(&most, scale, true)).max(0)))
        }
        (None, Some(IntOrString::Int(least))) => Ok((count, least)),
        (None, Some(least)) => {
            let scale = state.scale.clone()?;
            Ok((scale, resolve(&least, scale, true)))
        }
        (None, None) => Ok((count, 0)),
    }
}

type Disrupted = (BTreeMap<String, Time>, Vec<Arc<Pod>>, Option<Timestamp>);

/// Evictions that are still to be seen; those that were not carried out in time; when the next is to be looked at.
fn disrupted(before: Option<&BTreeMap<String, Time>>, pods: &[Arc<Pod>], now: Timestamp) -> Disrupted {
    let (mut kept, mut undeleted, mut wake) = (BTreeMap::new(), Vec::new(), None::<Timestamp>);
    let Some(before) = before else { return (kept, undeleted, wake) };
    for pod in pods.iter().filter(|pod| !meta::is_terminating(&pod.metadata)) {
        let Some(time) = before.get(meta::name(&pod.metadata)) else { continue };
        match time.0.checked_add(DELETION) {
            Ok(at) if at > now => {
                kept.insert(meta::name(&pod.metadata).to_owned(), time.clone());
                wake = wake.into_iter().chain([at]).min();
            }
            _ => undeleted.push(pod.clone()),
        }
    }
    (kept, undeleted, wake)
}

/// Writes the one condition that budgets have, `DisruptionAllowed`.
fn condition(
    status: &mut PodDisruptionBudgetStatus,
    budget: &PodDisruptionBudget,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    const KIND: &str = "DisruptionAllowed";
    let value = if reason == "SufficientPods" { "True" } else { "False" };
    let conditions = status.conditions.get_or_insert_default();
    let before = conditions.iter().find(|condition| condition.type_ == KIND);
    let since = before.filter(|condition| condition.status == value).map(|own| own.last_transition_time.clone());
    let next = Condition {
        type_: KIND.to_owned(),
        status: value.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: since.unwrap_or_else(|| meta::time(now)),
        observed_generation: budget.metadata.generation,
    };
    match conditions.iter_mut().find(|condition| condition.type_ == KIND) {
        Some(condition) => *condition = next,
        None => conditions.push(next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn now() -> Timestamp {
        Timestamp::from_second(1_000_000).unwrap()
    }

    fn budget(spec: Value, status: Value) -> PodDisruptionBudget {
        serde_json::from_value(json!({"metadata": {"name": "b", "generation": 1}, "spec": spec, "status": status}))
            .unwrap()
    }

    fn pod(name: &str, ready: &str) -> Arc<Pod> {
        Arc::new(
            serde_json::from_value(json!({"metadata": {"name": name},
                "status": {"conditions": [{"type": "Ready", "status": ready}]}}))
            .unwrap(),
        )
    }

    fn counts(spec: Value, pods: &[Arc<Pod>], scale: i32) -> (i32, i32, i32, i32) {
        let budget = budget(spec, json!(null));
        let status = plan(State { budget: &budget, pods: pods.to_vec(), scale: Ok(scale) }, now()).status;
        let n = |n: Option<i32>| n.unwrap();
        (n(status.expected_pods), n(status.desired_healthy), n(status.current_healthy), n(status.disruptions_allowed))
    }

    #[test]
    fn numbers_are_as_upstream() {
        let pods = [pod("a", "True"), pod("b", "True"), pod("c", "False")];
        assert_eq!(counts(json!({"minAvailable": 1}), &pods, 9), (3, 1, 2, 1));
        assert_eq!(counts(json!({"minAvailable": "50%"}), &pods, 5), (5, 3, 2, 0));
        assert_eq!(counts(json!({"maxUnavailable": "30%"}), &pods, 3), (3, 2, 2, 0));
        assert_eq!(counts(json!({"maxUnavailable": 2}), &pods, 3), (3, 1, 2, 1));
        assert_eq!(counts(json!({"minAvailable": 0}), &[], 0), (0, 0, 0, 0));
    }

    #[test]
    fn evictions_count_until_they_are_seen_or_too_old() {
        let at = |seconds| Time(Timestamp::from_second(seconds).unwrap());
        let seen = json!({"disruptedPods": {"a": at(999_950), "b": at(999_000), "gone": at(999_999)}});
        let budget = budget(json!({"minAvailable": 1}), seen);
        let pods = vec![pod("a", "True"), pod("b", "True")];
        let outcome = plan(State { budget: &budget, pods, scale: Ok(0) }, now());
        assert_eq!(outcome.status.disrupted_pods.unwrap().into_keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!((outcome.status.current_healthy, outcome.undeleted.len()), (Some(1), 1));
        assert_eq!(outcome.wake, Some(Timestamp::from_second(1_000_070).unwrap()));
    }

    #[test]
    fn nothing_is_allowed_while_the_scale_is_unknown() {
        let budget = budget(json!({"maxUnavailable": 1}), json!({"disruptionsAllowed": 5}));
        let scale = Err("found no controllers for pod \"a\"".to_owned());
        let status = plan(State { budget: &budget, pods: vec![pod("a", "True")], scale }, now()).status;
        let condition = &status.conditions.unwrap()[0];
        assert_eq!(
            (status.disruptions_allowed, &*condition.reason, &*condition.status),
            (Some(0), "SyncFailed", "False")
        );
    }
}
