use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::plan::{Outcome, Scale, State, plan};
use super::replicas::{Goal, Metric, Tolerance, propose};
use super::scaling::History;
use super::source::PodUsage;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

/// A pod that requests 100m and has been ready for long.
fn pod(name: &str) -> Arc<Pod> {
    of(
        json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}}}]},
        "status": {"phase": "Running", "startTime": at(-9000).to_string(),
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": at(-8990).to_string()}]}}),
    )
}

fn of(pod: Value) -> Arc<Pod> {
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn uses(name: &str, milli: i64) -> PodUsage {
    let containers = [("c".to_owned(), [("cpu".to_owned(), milli)].into())].into();
    PodUsage { pod: name.to_owned(), at: at(-5), window: SignedDuration::from_secs(15), containers }
}

const TOLERANCE: Tolerance = Tolerance { up: 0.1, down: 0.1 };

fn wanted(goal: Goal, usage: &[PodUsage], pods: &[Arc<Pod>]) -> Result<i32, String> {
    let metric = Metric { resource: "cpu", container: None, goal };
    let current = i32::try_from(pods.len()).unwrap();
    propose(&metric, usage, pods, current, TOLERANCE, at(0)).map(|proposal| proposal.replicas)
}

#[test]
fn the_ratio_of_use_to_target_gives_the_size() {
    let pods = [pod("a"), pod("b")];
    let both = |milli| [uses("a", milli), uses("b", milli)];
    for (milli, replicas) in [(100, 4), (50, 2), (54, 2), (46, 2), (60, 3), (20, 1), (1, 1)] {
        assert_eq!(wanted(Goal::Utilization(50), &both(milli), &pods), Ok(replicas), "{milli}m");
        assert_eq!(wanted(Goal::Average(50), &both(milli), &pods), Ok(replicas), "{milli}m");
    }
}

#[test]
fn pods_that_say_nothing_never_make_it_more_drastic() {
    let pods = [pod("a"), pod("b"), pod("c")];
    // Up: a missing pod is taken to use nothing. 200m over 300m is 66%: 1.33 times 50%, of three pods.
    assert_eq!(wanted(Goal::Utilization(50), &[uses("a", 100), uses("b", 100)], &pods), Ok(4));
    // Down: it is taken to use all it requests, which turns the direction: nothing happens.
    assert_eq!(wanted(Goal::Utilization(50), &[uses("a", 40), uses("b", 40)], &pods), Ok(3));
    let unready = |name: &str| {
        let mut pod = Pod::clone(&pod(name));
        pod.status.as_mut().unwrap().phase = Some("Pending".to_owned());
        Arc::new(pod)
    };
    let starting = [pod("a"), unready("b"), unready("c")];
    assert_eq!(wanted(Goal::Utilization(50), &[uses("a", 300)], &starting), Ok(6), "300m of 300m, twice the target");
    assert_eq!(wanted(Goal::Utilization(50), &[uses("a", 80)], &starting), Ok(3), "it would turn the direction");
    let mut gone = Pod::clone(&pods[0]);
    gone.metadata.deletion_timestamp = serde_json::from_value(json!(at(0).to_string())).unwrap();
    assert_eq!(
        wanted(Goal::Utilization(50), &[uses("a", 900), uses("b", 50)], &[Arc::new(gone), pods[1].clone()]),
        Ok(2)
    );
}

#[test]
fn the_use_of_starting_is_not_the_use_of_work() {
    let fresh = of(
        json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}}}]},
        "status": {"phase": "Running", "startTime": at(-30).to_string(),
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": at(-10).to_string()}]}}),
    );
    let text = wanted(Goal::Utilization(50), &[uses("a", 500)], &[fresh]).unwrap_err();
    assert_eq!(text, "did not receive metrics for targeted pods (pods might be unready)");
}

#[test]
fn what_is_missing_is_told() {
    let none = of(json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}]},
        "status": pod("a").status}));
    let told = |usage: &[PodUsage], pods: &[Arc<Pod>]| wanted(Goal::Utilization(50), usage, pods).unwrap_err();
    assert_eq!(told(&[uses("a", 1)], &[none]), "missing request for cpu in container c of Pod a");
    assert_eq!(
        told(&[], &[pod("a")]),
        "unable to get metrics for resource cpu: no metrics returned from resource metrics API"
    );
    assert_eq!(told(&[uses("a", 1)], &[]), "no pods returned by selector while calculating replica count");
    let metric = Metric { resource: "cpu", container: Some("x"), goal: Goal::Average(1) };
    let told = propose(&metric, &[uses("a", 1)], &[pod("a")], 1, TOLERANCE, at(0)).unwrap_err();
    assert_eq!(told, "container x not present in metrics for pod a");
}

fn autoscaler(spec: &Value) -> HorizontalPodAutoscaler {
    let mut whole = json!({"maxReplicas": 10, "minReplicas": 1, "scaleTargetRef": {"kind": "Deployment", "name": "d"},
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]});
    for (name, value) in spec.as_object().unwrap() {
        whole[name] = value.clone();
    }
    serde_json::from_value(json!({"metadata": {"name": "h", "namespace": "d"}, "spec": whole})).unwrap()
}

fn pass(spec: &Value, replicas: i32, milli: i64, history: &mut History, second: i64) -> Outcome {
    let autoscaler = autoscaler(spec);
    let names: Vec<String> = (0..replicas).map(|i| i.to_string()).collect();
    let mut usage: Vec<PodUsage> = names.iter().map(|name| uses(name, milli)).collect();
    usage.iter_mut().for_each(|one| one.at = at(second));
    let state = State {
        autoscaler: &autoscaler,
        scale: Ok(Scale { replicas, selector: "a=b".to_owned() }),
        pods: names.iter().map(|name| pod(name)).collect(),
        usage: Ok(usage),
    };
    plan(&state, history, at(second))
}

fn condition<'a>(outcome: &'a Outcome, kind: &str) -> (&'a str, &'a str) {
    let all = outcome.status.conditions.as_ref().unwrap();
    let one = all.iter().find(|one| one.type_ == kind).unwrap();
    (&one.status, one.reason.as_deref().unwrap())
}

#[test]
fn going_up_is_limited_and_told() {
    let mut history = History::default();
    let outcome = pass(&json!({}), 1, 1000, &mut history, 0);
    let why = "cpu resource utilization (percentage of request) above target".to_owned();
    assert_eq!(outcome.rescale, Some((4, why)));
    assert_eq!(condition(&outcome, "ScalingLimited"), ("True", "ScaleUpLimit"));
    assert_eq!(condition(&outcome, "ScalingActive"), ("True", "ValidMetricFound"));
    assert_eq!((outcome.status.current_replicas, outcome.status.desired_replicas), (Some(1), 4));
    let current = &outcome.status.current_metrics.as_ref().unwrap()[0].resource.as_ref().unwrap().current;
    assert_eq!((current.average_utilization, current.average_value.as_ref().unwrap().0.as_str()), (Some(1000), "1"));
    let outcome = pass(&json!({}), 8, 1000, &mut history, 15);
    assert_eq!(outcome.rescale.as_ref().unwrap().0, 10);
    assert_eq!(condition(&outcome, "ScalingLimited"), ("True", "TooManyReplicas"));
}

#[test]
fn going_down_waits_for_the_window() {
    let mut history = History::default();
    let outcome = pass(&json!({}), 6, 10, &mut history, 0);
    assert_eq!((outcome.rescale, condition_of(&mut history, 60)), (None, None));
    let outcome = pass(&json!({}), 6, 10, &mut history, 301);
    assert_eq!(outcome.rescale, Some((2, "All metrics below target".to_owned())));
}

fn condition_of(history: &mut History, second: i64) -> Option<i32> {
    let outcome = pass(&json!({}), 6, 10, history, second);
    assert_eq!(condition(&outcome, "AbleToScale"), ("True", "ScaleDownStabilized"));
    outcome.rescale.map(|(to, _)| to)
}

#[test]
fn policies_bound_the_change_of_a_period() {
    let pods = |value: i32| {
        json!({"policies": [{"type": "Pods", "value": value, "periodSeconds": 60}], "selectPolicy": "Max",
        "stabilizationWindowSeconds": 0})
    };
    let spec = json!({"behavior": {"scaleUp": pods(2), "scaleDown": pods(1)}});
    let behavior = autoscaler(&spec).spec.behavior;
    let mut history = History::default();
    let outcome = pass(&spec, 2, 1000, &mut history, 0);
    assert_eq!(outcome.rescale.unwrap().0, 4);
    history.scaled(2, 4, behavior.as_ref(), at(0));
    let outcome = pass(&spec, 4, 1000, &mut history, 30);
    assert_eq!((outcome.rescale.as_ref(), condition(&outcome, "ScalingLimited")), (None, ("True", "ScaleUpLimit")));
    assert_eq!(pass(&spec, 4, 1000, &mut history, 61).rescale.unwrap().0, 6);
    assert_eq!(pass(&spec, 6, 1, &mut history, 200).rescale.unwrap().0, 5);
    let disabled = json!({"behavior": {"scaleUp": pods(2), "scaleDown": {"selectPolicy": "Disabled", "stabilizationWindowSeconds": 0}}});
    assert_eq!(pass(&disabled, 6, 1, &mut History::default(), 0).rescale, None);
}

#[test]
fn bounds_and_a_target_of_zero_come_before_metrics() {
    let outcome = pass(&json!({}), 12, 1, &mut History::default(), 0);
    assert_eq!(outcome.rescale, Some((10, "Current number of replicas above Spec.MaxReplicas".to_owned())));
    let outcome = pass(&json!({"minReplicas": 3}), 1, 1, &mut History::default(), 0);
    assert_eq!(outcome.rescale, Some((3, "Current number of replicas below Spec.MinReplicas".to_owned())));
    let outcome = pass(&json!({}), 0, 1, &mut History::default(), 0);
    assert_eq!((outcome.rescale.as_ref(), condition(&outcome, "ScalingActive")), (None, ("False", "ScalingDisabled")));
}

#[test]
fn metrics_of_other_apis_are_refused_unless_another_one_asks_for_more() {
    let pods = json!({"type": "Pods", "pods": {"metric": {"name": "qps"}, "target": {"type": "AverageValue", "averageValue": "1"}}});
    let outcome = pass(&json!({"metrics": [pods]}), 2, 50, &mut History::default(), 0);
    assert_eq!(condition(&outcome, "ScalingActive"), ("False", "FailedGetPodsMetric"));
    let reasons: Vec<&str> = outcome.warnings.iter().map(|(reason, _)| *reason).collect();
    assert_eq!(reasons, ["FailedGetPodsMetric", "FailedComputeMetricsReplicas"]);
    assert!(outcome.warnings[1].1.contains("1 invalid out of 1"), "{:?}", outcome.warnings);
    let cpu = autoscaler(&json!({})).spec.metrics.unwrap().remove(0);
    let both = json!({"metrics": [pods, cpu]});
    assert_eq!(pass(&both, 2, 100, &mut History::default(), 0).rescale.map(|(to, _)| to), Some(4));
    assert_eq!(pass(&both, 2, 10, &mut History::default(), 0).rescale, None, "the other one might have asked for more");
}

#[test]
fn a_target_that_is_not_found_is_told() {
    let autoscaler = autoscaler(&json!({}));
    let state =
        State { autoscaler: &autoscaler, scale: Err("gone".to_owned()), pods: Vec::new(), usage: Ok(Vec::new()) };
    let outcome = plan(&state, &mut History::default(), at(0));
    assert_eq!(condition(&outcome, "AbleToScale"), ("False", "FailedGetScale"));
    assert_eq!(outcome.warnings, [("FailedGetScale", "gone".to_owned())]);
}

proptest! {
    /// Whatever is used and however often it is looked at: the size stays within its bounds, and no pass goes up by more than
    /// the limit, nor down before the window has passed.
    #[test]
    fn the_size_stays_within_bounds(
        uses in proptest::collection::vec(0_i64..2000, 1..40),
        least in 1..5_i32,
        span in 0..15_i32,
        start in 1..20_i32,
    ) {
        let spec = json!({"minReplicas": least, "maxReplicas": least + span});
        let (mut history, mut replicas) = (History::default(), start);
        for (i, milli) in uses.into_iter().enumerate() {
            let outcome = pass(&spec, replicas, milli, &mut history, i64::try_from(i).unwrap() * 5);
            if let Some((to, _)) = outcome.rescale {
                prop_assert!((least..=least + span).contains(&to));
                prop_assert_ne!(to, replicas);
                let inside = (least..=least + span).contains(&replicas);
                prop_assert!(!inside || to <= (replicas * 2).max(4));
                prop_assert!(!inside || to > replicas, "down within the window");
                replicas = to;
            }
        }
    }

    /// More use never asks for fewer pods.
    #[test]
    fn more_use_asks_for_no_less(low in 0_i64..500, more in 0_i64..500, count in 1_usize..8, target in 1..200_i32) {
        let pods: Vec<Arc<Pod>> = (0..count).map(|i| pod(&i.to_string())).collect();
        let of = |milli| (0..count).map(|i| uses(&i.to_string(), milli)).collect::<Vec<_>>();
        let asked = |milli| wanted(Goal::Utilization(target), &of(milli), &pods).unwrap();
        prop_assert!(asked(low) <= asked(low + more));
    }
}
