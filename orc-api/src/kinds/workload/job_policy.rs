//! Which failures and successes decide a job.

use super::super::tree::*;
use orc_core::validation::{FieldError, FieldErrors, FieldPath, names};
use serde_json::Value;

/// Checks `podFailurePolicy`.
pub(super) fn failure(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if !has(spec, "podFailurePolicy") {
        return;
    }
    let here = path.child("podFailurePolicy");
    let all = here.child("rules");
    let rules = list(get(spec, "podFailurePolicy"), "rules");
    if rules.len() > 20 {
        return e.add(FieldError::too_many(&all, rules.len(), 20));
    }
    let containers: Vec<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|kind| list(at(spec, "template.spec"), kind))
        .map(|c| text(c, "name"))
        .collect();
    for (i, rule) in rules.iter().enumerate() {
        failure_rule(rule, spec, &containers, &all.index(i), e);
    }
}

fn failure_rule(rule: &Value, spec: &Value, containers: &[&str], path: &FieldPath<'_>, e: &mut FieldErrors) {
    let action = path.child("action");
    match text(rule, "action") {
        "" => e.required(&action, "valid values: \"Count\", \"FailIndex\", \"FailJob\", \"Ignore\""),
        "FailIndex" if !has(spec, "backoffLimitPerIndex") => {
            e.invalid(&action, "FailIndex", "requires the backoffLimitPerIndex to be set");
        }
        other => e.supported(&action, other, &["Count", "FailIndex", "FailJob", "Ignore"]),
    }
    let (codes, conditions) = (has(rule, "onExitCodes"), !list(rule, "onPodConditions").is_empty());
    if codes {
        exit_codes(get(rule, "onExitCodes"), containers, &path.child("onExitCodes"), e);
    }
    if conditions {
        let all = path.child("onPodConditions");
        for (j, pattern) in list(rule, "onPodConditions").iter().enumerate() {
            let at = all.index(j);
            let kind = text(pattern, "type");
            e.each(&at.child("type"), kind, names::qualified_name(kind));
            match text(pattern, "status") {
                "" => e.required(&at.child("status"), "valid values: \"False\", \"True\", \"Unknown\""),
                status => e.supported(&at.child("status"), status, &["False", "True", "Unknown"]),
            }
        }
    }
    if codes && conditions {
        let rule = "specifying both OnExitCodes and OnPodConditions is not supported";
        e.add(FieldError::invalid_omitted(path, rule));
    } else if !codes && !conditions {
        let rule = "specifying one of OnExitCodes and OnPodConditions is required";
        e.add(FieldError::invalid_omitted(path, rule));
    }
}

fn exit_codes(codes: &Value, containers: &[&str], path: &FieldPath<'_>, e: &mut FieldErrors) {
    let operator = text(codes, "operator");
    match operator {
        "" => e.required(&path.child("operator"), "valid values: \"In\", \"NotIn\""),
        other => e.supported(&path.child("operator"), other, &["In", "NotIn"]),
    }
    if has(codes, "containerName") && !containers.contains(&text(codes, "containerName")) {
        let rule = "must be one of the container or initContainer names in the pod template";
        e.invalid(&path.child("containerName"), text(codes, "containerName"), rule);
    }
    let values: Vec<i64> = list(codes, "values").iter().filter_map(Value::as_i64).collect();
    let all = path.child("values");
    if values.is_empty() {
        return e.add(FieldError::invalid(&all, get(codes, "values"), "at least one value is required"));
    }
    if values.len() > 255 {
        return e.add(FieldError::too_many(&all, values.len(), 255));
    }
    for (i, value) in values.iter().enumerate() {
        if *value == 0 && operator == "In" {
            e.invalid(&all.index(i), *value, "must not be 0 for the In operator");
        }
        if values[..i].contains(value) {
            e.duplicate(&all.index(i), *value);
        } else if i > 0 && values[i - 1] > *value {
            e.invalid(&all, get(codes, "values"), "must be ordered");
        }
    }
}

/// Checks `successPolicy`.
pub(super) fn success(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if !has(spec, "successPolicy") {
        return;
    }
    let (policy, at) = (get(spec, "successPolicy"), path.child("successPolicy"));
    if text(spec, "completionMode") != "Indexed" {
        return e.invalid(&at, policy, "requires indexed completion mode");
    }
    let rules = list(policy, "rules");
    let all = at.child("rules");
    if rules.is_empty() {
        e.required(&all, "at least one rules must be specified when the successPolicy is specified");
    } else if rules.len() > 20 {
        e.add(FieldError::too_many(&all, rules.len(), 20));
    }
    for (i, rule) in rules.iter().enumerate() {
        let here = all.index(i);
        if !has(rule, "succeededCount") && !has(rule, "succeededIndexes") {
            e.required(&here, "at least one of succeededCount or succeededIndexes must be specified");
        }
        if let Some(count) = int(rule, "succeededCount") {
            e.not_negative(&here.child("succeededCount"), Some(count));
            let completions = int(spec, "completions").unwrap_or(0);
            if count > completions {
                let rule = format!("must be less than or equal to {completions} (the number of specified completions)");
                e.invalid(&here.child("succeededCount"), count, rule);
            }
        }
    }
}
