//! How many replicas a metric asks for (`replica_calculator.go`): the ratio of use to target, with pods that say nothing yet
//! counted so that they never make the outcome more drastic.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use orc_core::quantity::Quantity;

use super::source::PodUsage;
use crate::controllers::support::{meta, pods};

/// How long after its start a pod's CPU use may be that of starting (`--horizontal-pod-autoscaler-cpu-initialization-period`).
const INITIALIZATION: SignedDuration = SignedDuration::from_mins(5);
/// How long after its start a pod that was never ready counts as unready
/// (`--horizontal-pod-autoscaler-initial-readiness-delay`).
const READINESS_DELAY: SignedDuration = SignedDuration::from_secs(30);

/// Under which change nothing is changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tolerance {
    pub(super) up: f64,
    pub(super) down: f64,
}

impl Tolerance {
    fn holds(self, ratio: f64) -> bool {
        (1.0 - self.down..=1.0 + self.up).contains(&ratio)
    }
}

/// What a metric is measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// A percentage of what the pods request.
    Utilization(i32),
    /// An amount a pod, in thousandths.
    Average(i64),
}

/// One metric of resources.
pub(super) struct Metric<'a> {
    pub(super) resource: &'a str,
    /// One container of each pod; `None` for all of them together.
    pub(super) container: Option<&'a str>,
    pub(super) goal: Goal,
}

/// The outcome of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proposal {
    pub(super) replicas: i32,
    /// Percent of the requests.
    pub(super) utilization: Option<i32>,
    /// The mean a pod, in thousandths.
    pub(super) average: i64,
}

struct Value {
    at: Timestamp,
    window: SignedDuration,
    amount: i64,
}

/// Pods by what their metrics are worth.
#[derive(Default)]
struct Groups {
    ready: usize,
    /// Not ready, or pending: their use is none of a pod at work.
    unready: Vec<String>,
    /// Running, and nothing is known of their use.
    missing: Vec<String>,
    /// Ended or ending.
    ignored: Vec<String>,
}

/// Calculates.
///
/// # Errors
/// A text for people: what keeps the metric from being used.
pub(super) fn propose(
    metric: &Metric<'_>,
    usage: &[PodUsage],
    pods: &[Arc<Pod>],
    current: i32,
    tolerance: Tolerance,
    now: Timestamp,
) -> Result<Proposal, String> {
    let mut values = values(metric, usage)?;
    if pods.is_empty() {
        return Err("no pods returned by selector while calculating replica count".to_owned());
    }
    let groups = group(pods, &values, metric.resource, now);
    for name in groups.ignored.iter().chain(&groups.unready) {
        values.remove(name);
    }
    let requests = match metric.goal {
        Goal::Utilization(_) => requests(pods, metric)?,
        Goal::Average(_) => BTreeMap::new(),
    };
    if values.is_empty() {
        return Err("did not receive metrics for targeted pods (pods might be unready)".to_owned());
    }
    let mut amounts: BTreeMap<String, i64> = values.into_iter().map(|(name, value)| (name, value.amount)).collect();
    let first = ratio(metric.goal, &amounts, &requests)?;
    let told = |replicas| Proposal { replicas, utilization: first.utilization, average: first.average };
    let rebalance = !groups.unready.is_empty() && first.ratio > 1.0;
    if !rebalance && groups.missing.is_empty() {
        let wanted = if tolerance.holds(first.ratio) { current } else { ceil(first.ratio * groups.ready as f64) };
        return Ok(told(wanted));
    }
    for name in &groups.missing {
        // Above the target a missing pod is taken to use nothing, below it to use all it may.
        let amount = match metric.goal {
            _ if first.ratio >= 1.0 => 0,
            Goal::Utilization(target) => requests.get(name).copied().unwrap_or(0) * i64::from(target.max(100)) / 100,
            Goal::Average(target) => target,
        };
        amounts.insert(name.clone(), amount);
    }
    if rebalance {
        amounts.extend(groups.unready.iter().map(|name| (name.clone(), 0)));
    }
    let second = ratio(metric.goal, &amounts, &requests)?.ratio;
    let turned = first.ratio < 1.0 && second > 1.0 || first.ratio > 1.0 && second < 1.0;
    if turned || tolerance.holds(second) {
        return Ok(told(current));
    }
    let wanted = ceil(second * amounts.len() as f64);
    let against = second < 1.0 && wanted > current || second > 1.0 && wanted < current;
    Ok(told(if against { current } else { wanted }))
}

fn ceil(replicas: f64) -> i32 {
    // A cast of floats saturates.
    replicas.ceil() as i32
}

/// The value of the metric for each pod.
fn values(metric: &Metric<'_>, usage: &[PodUsage]) -> Result<BTreeMap<String, Value>, String> {
    let Metric { resource, container, .. } = metric;
    let mut all = BTreeMap::new();
    for one in usage {
        let amount = match container {
            None => one.containers.values().map(|amounts| amounts.get(*resource).copied()).sum::<Option<i64>>(),
            Some(name) => match one.containers.get(*name) {
                Some(amounts) => amounts.get(*resource).copied(),
                None => return Err(format!("container {name} not present in metrics for pod {}", one.pod)),
            },
        };
        // A pod without the resource in one of its containers is as one without metrics.
        let value = amount.map(|amount| Value { at: one.at, window: one.window, amount });
        all.extend(value.map(|value| (one.pod.clone(), value)));
    }
    if all.is_empty() {
        return Err(format!(
            "unable to get metrics for resource {resource}: no metrics returned from resource metrics API"
        ));
    }
    Ok(all)
}

fn group(all: &[Arc<Pod>], values: &BTreeMap<String, Value>, resource: &str, now: Timestamp) -> Groups {
    let mut groups = Groups::default();
    for pod in all {
        let name = meta::name(&pod.metadata).to_owned();
        if meta::is_terminating(&pod.metadata) || pods::phase(pod) == "Failed" {
            groups.ignored.push(name);
        } else if pods::phase(pod) == "Pending" {
            groups.unready.push(name);
        } else {
            match values.get(&name) {
                None => groups.missing.push(name),
                Some(value) if resource == "cpu" && is_unready(pod, value, now) => groups.unready.push(name),
                Some(_) => groups.ready += 1,
            }
        }
    }
    groups
}

/// Whether a pod's CPU use is not yet that of a pod at work.
fn is_unready(pod: &Pod, value: &Value, now: Timestamp) -> bool {
    let started = pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0);
    let (Some(condition), Some(started)) = (pods::condition(pod, "Ready"), started) else { return true };
    let changed = condition.last_transition_time.as_ref().map_or(Timestamp::MIN, |time| time.0);
    let unready = condition.status == "False";
    if now.duration_since(started) < INITIALIZATION {
        // A whole window of its use must lie behind the last change.
        unready || value.at.duration_since(changed) < value.window
    } else {
        unready && changed.duration_since(started) < READINESS_DELAY
    }
}

/// What the pods request, in thousandths.
fn requests(all: &[Arc<Pod>], metric: &Metric<'_>) -> Result<BTreeMap<String, i64>, String> {
    all.iter().map(|pod| Ok((meta::name(&pod.metadata).to_owned(), request(pod, metric)?))).collect()
}

fn request(pod: &Pod, metric: &Metric<'_>) -> Result<i64, String> {
    let Some(spec) = &pod.spec else { return Ok(0) };
    let milli = |requests: Option<&BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>| {
        Quantity::parse(&requests?.get(metric.resource)?.0).ok().map(|amount| amount.milli_value())
    };
    let whole = spec.resources.as_ref().filter(|_| metric.container.is_none());
    if let Some(amount) = milli(whole.and_then(|resources| resources.requests.as_ref())) {
        return Ok(amount);
    }
    // Sidecars run as long as the pod does.
    let sidecars = spec.init_containers.iter().flatten().filter(|one| one.restart_policy.as_deref() == Some("Always"));
    let mut sum = 0_i64;
    for container in spec.containers.iter().chain(sidecars) {
        if metric.container.is_some_and(|name| name != container.name) {
            continue;
        }
        let amount = milli(container.resources.as_ref().and_then(|resources| resources.requests.as_ref()));
        let missing = || {
            let (resource, name) = (metric.resource, meta::name(&pod.metadata));
            format!("missing request for {resource} in container {} of Pod {name}", container.name)
        };
        sum = sum.saturating_add(amount.ok_or_else(missing)?);
    }
    Ok(sum)
}

struct Measured {
    ratio: f64,
    utilization: Option<i32>,
    average: i64,
}

fn ratio(goal: Goal, amounts: &BTreeMap<String, i64>, requests: &BTreeMap<String, i64>) -> Result<Measured, String> {
    let mean =
        |sum: i128, count: usize| i64::try_from(sum / i128::try_from(count.max(1)).unwrap_or(1)).unwrap_or(i64::MAX);
    match goal {
        Goal::Average(target) => {
            let average = mean(amounts.values().map(|amount| i128::from(*amount)).sum(), amounts.len());
            Ok(Measured { ratio: average as f64 / target.max(1) as f64, utilization: None, average })
        }
        Goal::Utilization(target) => {
            let known = amounts
                .iter()
                .filter_map(|(name, amount)| Some((i128::from(*amount), i128::from(*requests.get(name)?))));
            let (used, requested, count) = known.fold((0, 0, 0), |(used, requested, count), (amount, request)| {
                (used + amount, requested + request, count + 1)
            });
            if requested == 0 {
                return Err("no metrics returned matched known pods".to_owned());
            }
            let percent = i32::try_from(used * 100 / requested).unwrap_or(i32::MAX);
            let ratio = f64::from(percent) / f64::from(target.max(1));
            Ok(Measured { ratio, utilization: Some(percent), average: mean(used, count) })
        }
    }
}
