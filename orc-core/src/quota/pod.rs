//! What a pod asks for in sum.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Usage, add, amounts};

/// Which side of `resources`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What is guaranteed.
    Requests,
    /// What may not be passed.
    Limits,
}

impl Side {
    fn field(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Limits => "limits",
        }
    }
}

fn containers<'a>(spec: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    spec.get(list).and_then(Value::as_array).into_iter().flatten()
}

fn of(holder: &Value, side: Side) -> Usage {
    amounts(holder.get("resources").and_then(|resources| resources.get(side.field())))
}

fn raise(max: &mut Usage, to: &Usage) {
    for (name, amount) in to {
        max.entry(name.clone()).and_modify(|have| *have = (*have).max(*amount)).or_insert(*amount);
    }
}

/// What a pod's containers ask for together: the sum of those that run at the same time, or what one init container needs
/// if that is more; pod-level resources instead where they are given. Overhead is not in it.
pub fn total(spec: &Value, side: Side) -> Usage {
    let mut sum = Usage::new();
    for container in containers(spec, "containers") {
        add(&mut sum, &of(container, side));
    }
    let (mut beside, mut peak) = (Usage::new(), Usage::new());
    for container in containers(spec, "initContainers") {
        let mut needs = of(container, side);
        if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
            add(&mut sum, &needs);
            add(&mut beside, &needs);
            needs = beside.clone();
        } else {
            add(&mut needs, &beside);
        }
        raise(&mut peak, &needs);
    }
    raise(&mut sum, &peak);
    let pod_level = |name: &str| matches!(name, "cpu" | "memory") || name.starts_with("hugepages-");
    sum.extend(of(spec, side).into_iter().filter(|(name, _)| pod_level(name)));
    sum
}

/// [`total`] and the pod's overhead; for limits only where there is a limit.
pub fn total_with_overhead(spec: &Value, side: Side) -> Usage {
    let mut sum = total(spec, side);
    for (name, amount) in amounts(spec.get("overhead")) {
        match (side, sum.get_mut(&name)) {
            (_, Some(have)) if side == Side::Requests || !have.is_zero() => *have = *have + amount,
            (Side::Requests, None) => _ = sum.insert(name, amount),
            _ => {}
        }
    }
    sum
}

/// Names of quotas for amounts of one side.
pub(super) fn quota_names(side: Side, name: &str) -> Vec<String> {
    match (side, name) {
        (Side::Limits, "cpu" | "memory" | "ephemeral-storage") => vec![format!("limits.{name}")],
        (Side::Limits, _) => Vec::new(),
        (Side::Requests, "cpu" | "memory" | "ephemeral-storage") => vec![name.to_owned(), format!("requests.{name}")],
        (Side::Requests, huge) if huge.starts_with("hugepages-") => vec![huge.to_owned(), format!("requests.{huge}")],
        // Extended resources have a domain that is not Kubernetes' own.
        (Side::Requests, other) if other.contains('/') && !other.contains("kubernetes.io/") => {
            vec![format!("requests.{other}")]
        }
        _ => Vec::new(),
    }
}

/// What `requests` and `limits` count for.
pub(super) fn charge(requests: &Usage, limits: &Usage) -> Usage {
    let mut out = Usage::new();
    for (side, all) in [(Side::Requests, requests), (Side::Limits, limits)] {
        for (name, amount) in all {
            out.extend(quota_names(side, name).into_iter().map(|name| (name, *amount)));
        }
    }
    out
}

/// Quotas on these want each container to say what it uses.
const MUST_SAY: [&str; 6] = ["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];

pub(super) fn constraints(hard: &[String], pod: &Value) -> Result<(), String> {
    let wanted: Vec<&str> = MUST_SAY.iter().copied().filter(|name| hard.iter().any(|h| h == name)).collect();
    let nothing = Value::Null;
    let spec = pod.get("spec").unwrap_or(&nothing);
    let said_for_all = charge(&of(spec, Side::Requests), &of(spec, Side::Limits));
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in containers(spec, "containers").chain(containers(spec, "initContainers")) {
        let said = charge(&of(container, Side::Requests), &of(container, Side::Limits));
        let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
        for wanted in wanted.iter().filter(|w| !said.contains_key(**w) && !said_for_all.contains_key(**w)) {
            missing.entry(wanted).or_default().insert(name);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let one = |(what, names): (&&str, &BTreeSet<&str>)| {
        format!("{what} for: {}", names.iter().copied().collect::<Vec<_>>().join(","))
    };
    Err(format!("must specify {}", missing.iter().map(one).collect::<Vec<_>>().join("; ")))
}

/// Whether a pod has ended, so that it only counts as an object.
pub(super) fn has_ended(pod: &Value) -> bool {
    matches!(pod.pointer("/status/phase").and_then(Value::as_str), Some("Succeeded" | "Failed"))
}

/// Whether no container asks for cpu or memory.
pub(super) fn is_best_effort(pod: &Value) -> bool {
    if let Some(class) = pod.pointer("/status/qosClass").and_then(Value::as_str).filter(|class| !class.is_empty()) {
        return class == "BestEffort";
    }
    let Some(spec) = pod.get("spec") else { return true };
    let says = |holder: &Value| {
        [Side::Requests, Side::Limits]
            .iter()
            .any(|side| of(holder, *side).iter().any(|(n, a)| matches!(n.as_str(), "cpu" | "memory") && a.sign() > 0))
    };
    !says(spec) && !containers(spec, "containers").chain(containers(spec, "initContainers")).any(says)
}
