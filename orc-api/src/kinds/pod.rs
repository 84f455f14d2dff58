//! Pods.

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
    validate_update,
    validate_sub,
    warnings: super::warnings::pod,
    grace,
    fields,
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
            keep(new, old, "spec");
            keep(new, old, "status");
            put(ensure(new, "spec"), "ephemeralContainers", added);
        }
        "resize" => resize(new, old),
        _ => {}
    }
}

/// Of a resize only container resources and resize policies are taken.
fn resize(new: &mut Value, old: &Value) {
    let asked = get(new, "spec").clone();
    keep(new, old, "spec");
    keep(new, old, "status");
    let spec = ensure(new, "spec");
    for kind in ["containers", "initContainers"] {
        for container in items(spec, kind) {
            let name = text(container, "name").to_owned();
            let Some(from) = list(&asked, kind).iter().find(|c| text(c, "name") == name) else { continue };
            keep(container, from, "resources");
            keep(container, from, "resizePolicy");
        }
    }
}

/// The class of service that requests and limits amount to.
pub fn qos(pod: &Value) -> &'static str {
    let spec = get(pod, "spec");
    let mut sums: [BTreeMap<String, Quantity>; 2] = Default::default();
    let mut guaranteed = true;
    let pod_level = has(spec, "resources")
        && (has(get(spec, "resources"), "requests") || has(get(spec, "resources"), "limits"));
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

fn annotation_changes(new: &Value, old: &Value, e: &mut FieldErrors) {
    let metadata = FieldPath::new("metadata");
    let path = metadata.child("annotations");
    let (after, before) = (get(at(new, "metadata.annotations"), MIRROR), get(at(old, "metadata.annotations"), MIRROR));
    if before.is_null() && !after.is_null() {
        e.forbidden(&path.key(MIRROR), "may not add mirror pod annotation");
    } else if before != after {
        e.forbidden(&path.key(MIRROR), "may not remove or update mirror pod annotation");
    }
}

fn validate_update(new: &Value, old: &Value, e: &mut FieldErrors) {
    annotation_changes(new, old, e);
    annotations(new, e);
    let before = e.len();
    changes(new, old, e);
    if e.len() == before {
        // What may change must also be right.
        content_after_change(new, old, e);
    }
}

fn content_after_change(new: &Value, old: &Value, e: &mut FieldErrors) {
    if !same(get(new, "spec"), get(old, "spec")) {
        content(new, e);
    }
}

const MUTABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

fn changes(new: &Value, old: &Value, e: &mut FieldErrors) {
    let (spec, was) = (get(new, "spec"), get(old, "spec"));
    for kind in ["containers", "initContainers"] {
        let (now, then) = (list(spec, kind), list(was, kind));
        let path = SPEC.child(kind);
        if now.len() != then.len() {
            return e.forbidden(&path, "pod updates may not add or remove containers");
        }
        for (i, container) in now.iter().enumerate() {
            let image = text(container, "image");
            let at = path.index(i);
            if image.is_empty() {
                e.required(&at.child("image"), "");
            }
            if image.trim() != image {
                e.invalid(&at.child("image"), image, "must not have leading or trailing whitespace");
            }
        }
    }
    if deadline(spec, was, e) {
        return;
    }
    let mut munged = spec.clone();
    for kind in ["containers", "initContainers"] {
        for (container, before) in items(&mut munged, kind).zip(list(was, kind)) {
            keep(container, before, "image");
        }
    }
    keep(&mut munged, was, "activeDeadlineSeconds");
    tolerations(spec, was, e);
    keep(&mut munged, was, "tolerations");
    let grace = |s: &Value| int(s, "terminationGracePeriodSeconds");
    if grace(was).is_some_and(|g| g < 0) && grace(spec) == Some(1) {
        keep(&mut munged, was, "terminationGracePeriodSeconds");
    }
    scheduling_gates(&mut munged, spec, was, e);
    if !same(&munged, was) {
        e.forbidden(&SPEC, format!("{MUTABLE}\n{}", difference(&munged, was)));
    }
}

/// Gates may be taken away, and while some are left a pod's node selection may narrow.
fn scheduling_gates(munged: &mut Value, spec: &Value, was: &Value, e: &mut FieldErrors) {
    let names = |s: &Value| list(s, "schedulingGates").iter().map(|g| text(g, "name").to_owned()).collect::<Vec<_>>();
    let (now, then) = (names(spec), names(was));
    if let Some(added) = now.iter().find(|g| !then.contains(g)) {
        let rule = "only deletion is allowed, but found new scheduling gate ";
        let at = SPEC.child("schedulingGates");
        e.forbidden(&at, format!("{rule}'{added}'"));
    }
    keep(munged, was, "schedulingGates");
    if then.is_empty() {
        return;
    }
    let selector = |s: &Value| get(s, "nodeSelector").as_object().cloned().unwrap_or_default();
    let (after, before) = (selector(spec), selector(was));
    if before.iter().all(|(k, v)| after.get(k) == Some(v)) {
        keep(munged, was, "nodeSelector");
    } else {
        let at = SPEC.child("nodeSelector");
        e.invalid(&at, get(spec, "nodeSelector"), "only additions are allowed");
    }
    let node = |s: &Value| at(s, "affinity.nodeAffinity").clone();
    if !same(&node(spec), &node(was)) && narrows(&node(spec), &node(was)) {
        keep(munged, was, "affinity");
    }
}

/// Whether a node affinity only adds conditions to the terms it had.
fn narrows(new: &Value, old: &Value) -> bool {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let (Some(after), Some(before)) = (at(new, REQUIRED).as_array(), at(old, REQUIRED).as_array()) else {
        return at(old, REQUIRED).is_null();
    };
    let kept = |now: &Value, then: &Value, field: &str| {
        list(then, field).iter().all(|r| list(now, field).iter().any(|n| same(n, r)))
    };
    after.len() == before.len()
        && after.iter().zip(before).all(|(n, o)| kept(n, o, "matchExpressions") && kept(n, o, "matchFields"))
}

/// Which members differ, in few words.
fn difference(new: &Value, old: &Value) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (key, _) in new.as_object().into_iter().flatten().chain(old.as_object().into_iter().flatten()) {
        if !same(get(new, key), get(old, key)) && !names.contains(&key.as_str()) {
            names.push(key);
        }
    }
    let one = |key: &&str| format!("  {key}: {} -> {}", get(old, key), get(new, key));
    names.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// True when a wrong deadline ends the checks.
fn deadline(spec: &Value, was: &Value, e: &mut FieldErrors) -> bool {
    let path = SPEC.child("activeDeadlineSeconds");
    match (int(spec, "activeDeadlineSeconds"), int(was, "activeDeadlineSeconds")) {
        (Some(now), then) => {
            if !(0..=i64::from(i32::MAX)).contains(&now) {
                e.invalid(&path, now, "must be between 0 and 2147483647, inclusive");
                return true;
            }
            if then.is_some_and(|then| then < now) {
                e.invalid(&path, now, "must be less than or equal to previous value");
                return true;
            }
        }
        (None, Some(_)) => e.invalid(&path, &Value::Null, "must not update from a positive integer to nil value"),
        (None, None) => {}
    }
    false
}

fn tolerations(spec: &Value, was: &Value, e: &mut FieldErrors) {
    let path = SPEC.child("tolerations");
    let bare = |t: &Value| {
        let mut bare = t.clone();
        remove(&mut bare, "tolerationSeconds");
        bare
    };
    let now: Vec<Value> = list(spec, "tolerations").iter().map(bare).collect();
    if list(was, "tolerations").iter().map(bare).any(|old| !now.iter().any(|new| same(new, &old))) {
        return e.forbidden(&path, "existing toleration can not be modified except its tolerationSeconds");
    }
    pod_spec::toleration_list(list(spec, "tolerations"), &path, e);
}

fn validate_sub(new: &Value, old: &Value, sub: &str, e: &mut FieldErrors) {
    match sub {
        "status" => status(new, old, e),
        "ephemeralcontainers" => ephemeral(new, old, e),
        "resize" => {
            content(new, e);
            if text(get(new, "status"), "qosClass") != qos(new) && !same(get(new, "spec"), get(old, "spec")) {
                e.invalid(&SPEC, qos(new), "Pod QOS Class may not change as a result of resizing");
            }
            for kind in ["containers", "initContainers"] {
                resized(new, old, kind, e);
            }
        }
        _ => {}
    }
}

fn resized(new: &Value, old: &Value, kind: &str, e: &mut FieldErrors) {
    let (now, then) = (list(get(new, "spec"), kind), list(get(old, "spec"), kind));
    for (container, before) in now.iter().zip(then) {
        for side in ["requests", "limits"] {
            let (after, was) = (get(get(container, "resources"), side), get(get(before, "resources"), side));
            let names = after.as_object().into_iter().flatten().chain(was.as_object().into_iter().flatten());
            let frozen = names.map(|(n, _)| n).any(|n| {
                !["cpu", "memory"].contains(&n.as_str()) && !same(get(after, n), get(was, n))
            });
            if frozen {
                e.forbidden(&SPEC, "only cpu and memory resources are mutable");
                return;
            }
        }
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
                let what = difference(after, before);
                e.forbidden(&path, format!("existing ephemeral containers \"{name}\" may not be changed\n{what}"));
            }
            Some(_) => {}
        }
    }
}

fn status(new: &Value, old: &Value, e: &mut FieldErrors) {
    annotation_changes(new, old, e);
    annotations(new, e);
    let path = FieldPath::new("status");
    let (now, was) = (get(new, "status"), get(old, "status"));
    if text(get(new, "spec"), "nodeName") != text(get(old, "spec"), "nodeName") {
        e.forbidden(&path.child("nodeName"), "may not be changed directly");
    }
    let nominated = text(now, "nominatedNodeName");
    if nominated != text(was, "nominatedNodeName") && !nominated.is_empty() {
        let at = path.child("nominatedNodeName");
        e.each(&at, nominated, orc_core::validation::names::dns1123_subdomain(nominated));
    }
    let spec = get(old, "spec");
    if text(spec, "restartPolicy") != "Always" {
        for kind in ["containerStatuses", "initContainerStatuses"] {
            transitions(now, was, spec, kind, &path, e);
        }
    }
    let class = text(now, "qosClass");
    if class != text(was, "qosClass") {
        e.invalid(&path.child("qosClass"), class, IMMUTABLE);
    }
    let mut seen = std::collections::BTreeSet::new();
    let ips = path.child("podIPs");
    for (i, entry) in list(now, "podIPs").iter().enumerate() {
        let address = text(entry, "ip");
        e.each(&ips.index(i), address, orc_core::validation::ip::ip(address));
        if !seen.insert(address) {
            e.duplicate(&ips.index(i), address);
        }
    }
}

fn transitions(now: &Value, was: &Value, spec: &Value, kind: &str, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let at_kind = path.child(kind);
    let sidecar = |name: &str| {
        list(spec, "initContainers").iter().any(|c| text(c, "name") == name && text(c, "restartPolicy") == "Always")
    };
    for (i, old) in list(was, kind).iter().enumerate() {
        let ended = at(old, "state.terminated");
        let name = text(old, "name");
        let failed = int(ended, "exitCode").unwrap_or(0) != 0;
        let own = list(spec, "containers").iter().find(|c| text(c, "name") == name);
        let restarts = own.is_some_and(|c| has(c, "restartPolicy"));
        if ended.is_null() || (failed && text(spec, "restartPolicy") == "OnFailure") || sidecar(name) || restarts {
            continue;
        }
        let alive = |s: &&Value| text(s, "name") == name && at(s, "state.terminated").is_null();
        if list(now, kind).iter().any(|s| alive(&s)) {
            e.forbidden(&at_kind.index(i).child("state"), "may not be transitioned to non-terminated state");
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
    vec![
        ("spec.hostNetwork", flag(get(pod, "spec"), "hostNetwork").to_string()),
        ("status.podIP", ip.to_owned()),
    ]
}
