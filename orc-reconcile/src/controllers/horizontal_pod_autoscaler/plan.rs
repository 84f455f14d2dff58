//! The pure core: from an autoscaler, its target's scale and the pods' use to a size, a status and what to tell.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricStatus, HPAScalingRules, HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition,
    HorizontalPodAutoscalerStatus, MetricSpec, MetricStatus, MetricTarget, MetricValueStatus, ResourceMetricStatus,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;
use orc_core::quantity::Quantity;

use super::replicas::{Goal, Metric, Proposal, Tolerance, propose};
use super::scaling::{Bounds, History};
use super::source::PodUsage;
use crate::controllers::support::meta;

/// The change under which nothing is changed (`--horizontal-pod-autoscaler-tolerance`).
const TOLERANCE: f64 = 0.1;

/// The scale of the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scale {
    /// `spec.replicas`.
    pub(super) replicas: i32,
    /// `status.selector`.
    pub(super) selector: String,
}

/// What is looked at.
pub(super) struct State<'a> {
    pub(super) autoscaler: &'a HorizontalPodAutoscaler,
    pub(super) scale: Result<Scale, String>,
    /// The pods that the scale's selector selects.
    pub(super) pods: Vec<Arc<Pod>>,
    pub(super) usage: Result<Vec<PodUsage>, String>,
}

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outcome {
    pub(super) status: HorizontalPodAutoscalerStatus,
    /// The size to set, and why.
    pub(super) rescale: Option<(i32, String)>,
    /// Warnings to tell: reason and message.
    pub(super) warnings: Vec<(&'static str, String)>,
}

/// The status with a condition; its time moves with its status only.
pub(super) fn set(
    status: &mut HorizontalPodAutoscalerStatus,
    kind: &str,
    holds: bool,
    (reason, message): (&str, &str),
    now: Timestamp,
) {
    let all = status.conditions.get_or_insert_default();
    let word = if holds { "True" } else { "False" };
    let at = all.iter().position(|one| one.type_ == kind).unwrap_or_else(|| {
        all.push(HorizontalPodAutoscalerCondition { type_: kind.to_owned(), ..Default::default() });
        all.len() - 1
    });
    let one = &mut all[at];
    if one.status != word {
        one.last_transition_time = Some(meta::time(now));
    }
    one.status = word.to_owned();
    one.reason = Some(reason.to_owned());
    one.message = Some(message.to_owned());
}

/// Plans one pass.
pub(super) fn plan(state: &State<'_>, history: &mut History, now: Timestamp) -> Outcome {
    let mut outcome = Outcome { status: state.autoscaler.status.clone().unwrap_or_default(), ..Outcome::default() };
    let scale = match &state.scale {
        Ok(scale) => scale,
        Err(error) => {
            let text = format!("the HPA controller was unable to get the target's current scale: {error}");
            set(&mut outcome.status, "AbleToScale", false, ("FailedGetScale", &text), now);
            outcome.warnings.push(("FailedGetScale", error.clone()));
            return outcome;
        }
    };
    let found = ("SucceededGetScale", "the HPA controller was able to get the target's current scale");
    set(&mut outcome.status, "AbleToScale", true, found, now);
    history.begin(scale.replicas, now);
    outcome.status.current_replicas = Some(scale.replicas);
    let spec = &state.autoscaler.spec;
    let bounds = Bounds { least: spec.min_replicas.unwrap_or(1), most: spec.max_replicas };
    if scale.replicas == 0 && bounds.least != 0 {
        let text = ("ScalingDisabled", "scaling is disabled since the replica count of the target is zero");
        set(&mut outcome.status, "ScalingActive", false, text, now);
        outcome.status.desired_replicas = 0;
        outcome.status.current_metrics = None;
        return outcome;
    }
    if scale.replicas > bounds.most || scale.replicas < bounds.least {
        let (to, why) = if scale.replicas > bounds.most {
            (bounds.most, "Current number of replicas above Spec.MaxReplicas")
        } else {
            (bounds.least, "Current number of replicas below Spec.MinReplicas")
        };
        outcome.rescale = Some((to, why.to_owned()));
        outcome.status.current_metrics = None;
    } else if let Some((desired, metric)) = measure(state, scale, &mut outcome, now) {
        let allowed = history.allow(desired, scale.replicas, bounds, spec.behavior.as_ref(), now);
        set(&mut outcome.status, "AbleToScale", true, allowed.stable, now);
        set(&mut outcome.status, "ScalingLimited", allowed.limited.0, allowed.limited.1, now);
        let why = if desired > scale.replicas {
            format!("{metric} above target")
        } else {
            "All metrics below target".to_owned()
        };
        outcome.rescale = (allowed.replicas != scale.replicas).then_some((allowed.replicas, why));
    } else {
        return outcome;
    }
    outcome.status.desired_replicas = outcome.rescale.as_ref().map_or(scale.replicas, |(to, _)| *to);
    outcome
}

/// The highest size that a metric asks for, with the metric's name. `None` when metrics are missing that could change it.
fn measure(state: &State<'_>, scale: &Scale, outcome: &mut Outcome, now: Timestamp) -> Option<(i32, String)> {
    if scale.selector.is_empty() {
        let text = "selector is required";
        outcome.warnings.push(("SelectorRequired", text.to_owned()));
        outcome.warnings.push(("FailedComputeMetricsReplicas", text.to_owned()));
        let why = ("InvalidSelector", "the HPA target's scale is missing a selector");
        set(&mut outcome.status, "ScalingActive", false, why, now);
        return None;
    }
    let spec = &state.autoscaler.spec;
    let metrics = spec.metrics.as_deref().unwrap_or_default();
    let tolerance = |rules: Option<&HPAScalingRules>| {
        let own = rules.and_then(|rules| rules.tolerance.as_ref());
        own.and_then(|own| Quantity::parse(&own.0).ok()).map_or(TOLERANCE, |own| own.as_f64())
    };
    let behavior = spec.behavior.as_ref();
    let tolerance = Tolerance {
        up: tolerance(behavior.and_then(|behavior| behavior.scale_up.as_ref())),
        down: tolerance(behavior.and_then(|behavior| behavior.scale_down.as_ref())),
    };
    let (mut best, mut statuses, mut failures) = (None, Vec::new(), Vec::new());
    for metric in metrics {
        match one(metric, state, scale, tolerance, now) {
            Ok((proposal, name, status)) => {
                statuses.push(status);
                if best.as_ref().is_none_or(|(replicas, _)| proposal.replicas > *replicas) {
                    best = Some((proposal.replicas, name));
                }
            }
            Err(failure) => failures.push(failure),
        }
    }
    outcome.warnings.extend(failures.iter().cloned());
    let lower = best.as_ref().is_none_or(|(replicas, _)| *replicas < scale.replicas);
    if let Some((reason, error)) = failures.first().filter(|_| lower) {
        let text = format!("the HPA was unable to compute the replica count: {error}");
        set(&mut outcome.status, "ScalingActive", false, (reason, &text), now);
        let text =
            format!("invalid metrics ({} invalid out of {}), first error is: {error}", failures.len(), metrics.len());
        outcome.warnings.push(("FailedComputeMetricsReplicas", text));
        return None;
    }
    let (replicas, name) = best?;
    let text = format!("the HPA was able to successfully calculate a replica count from {name}");
    set(&mut outcome.status, "ScalingActive", true, ("ValidMetricFound", &text), now);
    outcome.status.current_metrics = Some(statuses);
    Some((replicas, name))
}

type Failure = (&'static str, String);

fn one(
    spec: &MetricSpec,
    state: &State<'_>,
    scale: &Scale,
    tolerance: Tolerance,
    now: Timestamp,
) -> Result<(Proposal, String, MetricStatus), Failure> {
    if let Some(source) = spec.resource.as_ref().filter(|_| spec.type_ == "Resource") {
        let (proposal, name, current) = resource(&source.name, None, &source.target, state, scale, tolerance, now)
            .map_err(|error| ("FailedGetResourceMetric", error))?;
        let resource = Some(ResourceMetricStatus { name: source.name.clone(), current });
        return Ok((proposal, name, MetricStatus { type_: spec.type_.clone(), resource, ..Default::default() }));
    }
    if let Some(source) = spec.container_resource.as_ref().filter(|_| spec.type_ == "ContainerResource") {
        let container = Some(source.container.as_str());
        let (proposal, name, current) = resource(&source.name, container, &source.target, state, scale, tolerance, now)
            .map_err(|error| ("FailedGetContainerResourceMetric", error))?;
        let (container, name_of) = (source.container.clone(), source.name.clone());
        let container_resource = Some(ContainerResourceMetricStatus { container, name: name_of, current });
        return Ok((
            proposal,
            name,
            MetricStatus { type_: spec.type_.clone(), container_resource, ..Default::default() },
        ));
    }
    Err(elsewhere(spec, meta::namespace(&state.autoscaler.metadata)))
}

/// Metrics of other APIs, which are not there.
fn elsewhere(spec: &MetricSpec, namespace: &str) -> Failure {
    let custom =
        "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered";
    let external = "unable to fetch metrics from external metrics API: no external metrics API (external.metrics.k8s.io) registered";
    match (&spec.pods, &spec.object, &spec.external) {
        (Some(source), ..) => {
            let text =
                format!("failed to get pods metric value: unable to get metric {}: {custom}", source.metric.name);
            ("FailedGetPodsMetric", text)
        }
        (_, Some(source), _) => {
            let (name, of) = (&source.metric.name, &source.described_object);
            let on = format!("{} on {namespace} {}", of.kind, of.name);
            (
                "FailedGetObjectMetric",
                format!("failed to get object metric value: unable to get metric {name}: {on}/{custom}"),
            )
        }
        (.., Some(source)) => {
            let text = format!("unable to get external metric {namespace}/{}: {external}", source.metric.name);
            ("FailedGetExternalMetric", format!("failed to get {} external metric: {text}", source.metric.name))
        }
        _ => ("InvalidMetricSourceType", format!("unknown metric source type {:?}", spec.type_)),
    }
}

/// A metric of a resource: what it asks for, its name for people, and its value.
fn resource(
    name: &str,
    container: Option<&str>,
    target: &MetricTarget,
    state: &State<'_>,
    scale: &Scale,
    tolerance: Tolerance,
    now: Timestamp,
) -> Result<(Proposal, String, MetricValueStatus), String> {
    let amount =
        target.average_value.as_ref().and_then(|own| Quantity::parse(&own.0).ok()).map(|own| own.milli_value());
    let goal = match (amount, target.average_utilization) {
        (Some(amount), _) => Goal::Average(amount),
        (None, Some(percent)) => Goal::Utilization(percent),
        (None, None) => {
            return Err("invalid resource metric source: neither an average utilization target nor an average value (usage) target was set".to_owned());
        }
    };
    let what = if amount.is_some() { "usage" } else { "utilization" };
    let failed = |error: String| format!("failed to get {name} {what}: {error}");
    let usage = state.usage.as_ref().map_err(|error| {
        let text = format!("unable to fetch metrics from resource metrics API: {error}");
        failed(format!("unable to get metrics for resource {name}: {text}"))
    })?;
    let metric = Metric { resource: name, container, goal };
    let proposal = propose(&metric, usage, &state.pods, scale.replicas, tolerance, now).map_err(failed)?;
    let shown = match (container, amount) {
        (None, Some(_)) => format!("{name} resource"),
        (None, None) => format!("{name} resource utilization (percentage of request)"),
        (Some(container), Some(_)) => format!("{name} container resource of {container}"),
        (Some(container), None) => {
            format!("{name} container resource utilization (percentage of request) of {container}")
        }
    };
    let average_value = Some(Amount(Quantity::from_milli(proposal.average).to_string()));
    let current = MetricValueStatus { average_utilization: proposal.utilization, average_value, value: None };
    Ok((proposal, shown, current))
}
