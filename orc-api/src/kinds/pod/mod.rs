//! Pods.

mod resize;
mod status;
mod update;

use super::rules::{Generation, Kind, keep};
use super::tree::*;
use super::{meta, pod_spec};
use orc_core::quantity::Quantity;
use orc_core::validation::{FieldErrors, FieldPath};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The rules of `pods`.
pub(super) static POD: Kind = Kind {
    status: true,
    generation: Generation::Spec,
    default,
    prepare_create,
    prepare_update,
    prepare_sub,
    validate,
    validate_update: update::validate,
    validate_sub,
    warnings: super::warnings::pod,
    grace,
    fields,
    revalidates_meta: true,
    ..Kind::NAMESPACED
};

const SPEC: FieldPath<'static> = FieldPath::new("spec");
const MIRROR: &str = "kubernetes.io/config.mirror";

fn default(pod: &mut Value) {
    let spec = ensure(pod, "spec");
    pod_spec::default(spec);
    pod_spec::default_for_pod(spec);
}

fn prepare_create(pod: &mut Value) {
    let mut status = json!({"phase": "Pending", "qosClass": qos(pod)});
    if !list(get(pod, "spec"), "schedulingGates").is_empty() {
        status["conditions"] = json!([{
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
        }]);
    }
    put(pod, "status", status);
    match_label_keys(pod);
}

/// Turns `matchLabelKeys` into parts of the selectors beside them: the new pod's own values are known only now.
fn match_label_keys(pod: &mut Value) {
    let labels = meta::labels_of(pod).clone();
    let spec = ensure(pod, "spec");
    for constraint in items(spec, "topologySpreadConstraints") {
        merge_keys(constraint, "matchLabelKeys", "In", &labels);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(affinity) = child_at(spec, &format!("affinity.{kind}")) else { continue };
        for term in items(affinity, "requiredDuringSchedulingIgnoredDuringExecution") {
            merge_keys(term, "matchLabelKeys", "In", &labels);
            merge_keys(term, "mismatchLabelKeys", "NotIn", &labels);
        }
        for weighted in items(affinity, "preferredDuringSchedulingIgnoredDuringExecution") {
            if let Some(term) = child(weighted, "podAffinityTerm") {
                merge_keys(term, "matchLabelKeys", "In", &labels);
                merge_keys(term, "mismatchLabelKeys", "NotIn", &labels);
            }
        }
    }
}

fn merge_keys(term: &mut Value, field: &str, operator: &str, labels: &serde_json::Map<String, Value>) {
    let keys: Vec<String> = texts(term, field).into_iter().map(str::to_owned).collect();
    if keys.is_empty() || !has(term, "labelSelector") {
        return;
    }
    let mut added = Vec::new();
    for key in keys {
        if let Some(value) = labels.get(&key) {
            added.push(json!({"key": key, "operator": operator, "values": [value]}));
        }
    }
    let selector = ensure(term, "labelSelector");
    let mut all = list(selector, "matchExpressions").to_vec();
    all.extend(added);
    if !all.is_empty() {
        put(selector, "matchExpressions", all);
    }
}

fn prepare_update(new: &mut Value, old: &Value) {
    keep(new, old, "status");
}

fn prepare_sub(new: &mut Value, old: &Value, sub: &str) {
    match sub {
        "status" => {
            // Who owns a pod and when it is deleted are not the node's to say.
            let metadata = ensure(new, "metadata");
            let before = get(old, "metadata");
            keep(metadata, before, "deletionTimestamp");
            keep(metadata, before, "ownerReferences");
            if text(get(new, "status"), "qosClass").is_empty() {
                let class = text(get(old, "status"), "qosClass").to_owned();
                put(ensure(new, "status"), "qosClass", class);
            }
        }
        "ephemeralcontainers" => {
            let added = at(new, "spec.ephemeralContainers").clone();
            keep_but_managers(new, old);
            put(ensure(new, "spec"), "ephemeralContainers", added);
        }
        "resize" => resize::prepare(new, old),
        _ => {}
    }
}

/// Takes everything back from the old pod, but who manages what.
fn keep_but_managers(new: &mut Value, old: &Value) {
    let managers = at(new, "metadata.managedFields").clone();
    ["metadata", "spec", "status"].into_iter().for_each(|part| keep(new, old, part));
    if !managers.is_null() {
        put(ensure(new, "metadata"), "managedFields", managers);
    }
}

/// The class of service that requests and limits amount to.
pub fn qos(pod: &Value) -> &'static str {
    let spec = get(pod, "spec");
    let mut sums: [BTreeMap<String, Quantity>; 2] = Default::default();
    let mut guaranteed = true;
    let pod_level =
        has(spec, "resources") && (has(get(spec, "resources"), "requests") || has(get(spec, "resources"), "limits"));
    let containers: Vec<&Value> = if pod_level {
        vec![spec]
    } else {
        list(spec, "containers").iter().chain(list(spec, "initContainers")).collect()
    };
    for container in containers {
        let resources = get(container, "resources");
        let mut limited = 0;
        for (sum, side) in sums.iter_mut().zip(["requests", "limits"]) {
            for (name, amount) in entries(resources, side).filter(|(n, _)| ["cpu", "memory"].contains(n)) {
                let amount = pod_spec::resources::quantity(amount).unwrap_or_default();
                if amount.sign() <= 0 {
                    continue;
                }
                limited += i32::from(side == "limits");
                let entry = sum.entry(name.to_owned()).or_insert(Quantity::ZERO);
                *entry = entry.add(amount);
            }
        }
        guaranteed &= limited == 2;
    }
    let [requests, limits] = sums;
    if requests.is_empty() && limits.is_empty() {
        return "BestEffort";
    }
    if guaranteed && requests == limits { "Guaranteed" } else { "Burstable" }
}

fn validate(pod: &Value, e: &mut FieldErrors) {
    annotations(pod, e);
    content(pod, e);
    if !list(get(pod, "spec"), "ephemeralContainers").is_empty() {
        e.forbidden(&SPEC.child("ephemeralContainers"), "cannot be set on create");
    }
}

fn content(pod: &Value, e: &mut FieldErrors) {
    let name = text(get(pod, "metadata"), "name");
    pod_spec::validate(get(pod, "spec"), name, pod_spec::Scope::Pod, &SPEC, e);
}

fn annotations(pod: &Value, e: &mut FieldErrors) {
    let all = at(pod, "metadata.annotations");
    let metadata = FieldPath::new("metadata");
    let path = metadata.child("annotations");
    if has(all, MIRROR) && text(get(pod, "spec"), "nodeName").is_empty() {
        e.invalid(&path.key(MIRROR), text(all, MIRROR), "must set spec.nodeName if mirror pod annotation is set");
    }
}

fn validate_sub(new: &Value, old: &Value, sub: &str, e: &mut FieldErrors) {
    match sub {
        "status" => status::validate(new, old, e),
        "ephemeralcontainers" => ephemeral(new, old, e),
        "resize" => {
            content(new, e);
            resize::validate(new, old, e);
        }
        _ => {}
    }
}

fn ephemeral(new: &Value, old: &Value, e: &mut FieldErrors) {
    content(new, e);
    let path = SPEC.child("ephemeralContainers");
    let now = list(get(new, "spec"), "ephemeralContainers");
    for before in list(get(old, "spec"), "ephemeralContainers") {
        let name = text(before, "name");
        match now.iter().find(|c| text(c, "name") == name) {
            None => e.forbidden(&path, format!("existing ephemeral containers \"{name}\" may not be removed\n")),
            Some(after) if !same(after, before) => {
                let what = update::difference(after, before);
                e.forbidden(&path, format!("existing ephemeral containers \"{name}\" may not be changed\n{what}"));
            }
            Some(_) => {}
        }
    }
}

/// The spec's grace period unless the request says one; none is left to wait once a pod is on no node or has ended.
fn grace(pod: &Value, requested: Option<i64>) -> Option<i64> {
    let spec = get(pod, "spec");
    let period = requested.or_else(|| int(spec, "terminationGracePeriodSeconds")).unwrap_or(30);
    let period = if period < 0 { 1 } else { period };
    let phase = text(get(pod, "status"), "phase");
    if text(spec, "nodeName").is_empty() || ["Failed", "Succeeded"].contains(&phase) { Some(0) } else { Some(period) }
}

fn fields(pod: &Value) -> Vec<(&'static str, String)> {
    let ip = list(get(pod, "status"), "podIPs").first().map_or("", |entry| text(entry, "ip"));
    let ip = if ip.is_empty() { text(get(pod, "status"), "podIP") } else { ip };
    vec![("spec.hostNetwork", flag(get(pod, "spec"), "hostNetwork").to_string()), ("status.podIP", ip.to_owned())]
}
