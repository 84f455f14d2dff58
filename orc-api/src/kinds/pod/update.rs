//! Which changes of a pod are allowed.

use super::super::pod_spec;
use super::super::rules::keep;
use super::super::tree::*;
use super::{MIRROR, SPEC, annotations, content};
use orc_core::validation::{FieldErrors, FieldPath};
use serde_json::Value;

pub(super) fn annotation_changes(new: &Value, old: &Value, e: &mut FieldErrors) {
    let metadata = FieldPath::new("metadata");
    let path = metadata.child("annotations");
    let (after, before) = (get(at(new, "metadata.annotations"), MIRROR), get(at(old, "metadata.annotations"), MIRROR));
    if before.is_null() && !after.is_null() {
        e.forbidden(&path.key(MIRROR), "may not add mirror pod annotation");
    } else if before != after {
        e.forbidden(&path.key(MIRROR), "may not remove or update mirror pod annotation");
    }
}

/// Checks a change of a pod: its image, deadline, tolerations and gates may change, little else.
pub(super) fn validate(new: &Value, old: &Value, e: &mut FieldErrors) {
    annotations(new, e);
    content(new, e);
    annotation_changes(new, old, e);
    annotations(new, e);
    changes(new, old, e);
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
pub(super) fn difference(new: &Value, old: &Value) -> String {
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
