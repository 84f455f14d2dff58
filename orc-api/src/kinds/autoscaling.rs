//! Horizontal pod autoscalers, in the form of `autoscaling/v2`.

use super::pod_spec::{labels::label_selector, resources};
use super::rules::Kind;
use super::tree::*;
use orc_core::validation::{FieldErrors, FieldPath, names};
use serde_json::{Value, json};

const SPEC: FieldPath<'static> = FieldPath::new("spec");

/// The rules of `horizontalpodautoscalers.autoscaling`.
pub(super) static AUTOSCALER: Kind = Kind {
    status: true,
    default,
    validate: |object, e| content(get(object, "spec"), e),
    validate_update: |new, _, e| content(get(new, "spec"), e),
    validate_sub: |new, _, _, e| {
        let path = FieldPath::new("status");
        for field in ["currentReplicas", "desiredReplicas"] {
            e.not_negative(&path.child(field), int(get(new, "status"), field));
        }
    },
    ..Kind::NAMESPACED
};

fn default(object: &mut Value) {
    let version_one = text(object, "apiVersion") == "autoscaling/v1";
    let spec = ensure(object, "spec");
    put_default(spec, "minReplicas", 1);
    if version_one {
        return put_default(spec, "targetCPUUtilizationPercentage", 80);
    }
    if list(spec, "metrics").is_empty() {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        put(spec, "metrics", json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]));
    }
    let Some(behavior) = child(spec, "behavior") else { return };
    if let Some(up) = child(behavior, "scaleUp") {
        put_default(up, "stabilizationWindowSeconds", 0);
        put_default(up, "selectPolicy", "Max");
        if !has(up, "policies") {
            put(
                up,
                "policies",
                json!([
                    {"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15},
                ]),
            );
        }
    }
    if let Some(down) = child(behavior, "scaleDown") {
        put_default(down, "selectPolicy", "Max");
        if !has(down, "policies") {
            put(down, "policies", json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]));
        }
    }
    // Either half asks for the other with its own defaults.
    if !has(behavior, "scaleUp") {
        put(
            behavior,
            "scaleUp",
            json!({"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [
                {"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15},
            ]}),
        );
    }
    if !has(behavior, "scaleDown") {
        put(
            behavior,
            "scaleDown",
            json!({"selectPolicy": "Max", "policies": [
                {"type": "Percent", "value": 100, "periodSeconds": 15},
            ]}),
        );
    }
}

fn content(spec: &Value, e: &mut FieldErrors) {
    let (least, most) = (int(spec, "minReplicas"), int(spec, "maxReplicas").unwrap_or(0));
    if let Some(least) = least.filter(|n| *n < 1) {
        e.invalid(&SPEC.child("minReplicas"), least, "must be greater than or equal to 1");
    }
    if most < 1 {
        e.required(&SPEC.child("maxReplicas"), "must be set and greater than 0");
    }
    if least.is_some_and(|least| most < least) {
        e.invalid(&SPEC.child("maxReplicas"), most, "must be greater than or equal to `minReplicas`");
    }
    reference(get(spec, "scaleTargetRef"), &SPEC.child("scaleTargetRef"), e);
    metrics(spec, least, e);
    behavior(get(spec, "behavior"), &SPEC.child("behavior"), e);
}

fn reference(value: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    for field in ["kind", "name"] {
        match text(value, field) {
            "" => e.required(&path.child(field), ""),
            text => e.each(&path.child(field), text, names::path_segment(text)),
        }
    }
}

fn metrics(spec: &Value, least: Option<i64>, e: &mut FieldErrors) {
    let path = SPEC.child("metrics");
    let mut outside = false;
    for (i, metric) in list(spec, "metrics").iter().enumerate() {
        self::metric(metric, &path.index(i), e);
        outside |= ["Object", "External"].contains(&text(metric, "type"));
    }
    if least == Some(0) && !outside {
        e.forbidden(&path, "must specify at least one Object or External metric to support scaling to zero replicas");
    }
}

const TYPES: &[(&str, &str)] = &[
    ("ContainerResource", "containerResource"),
    ("External", "external"),
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
];

fn metric(metric: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let kind = text(metric, "type");
    let Some((_, field)) = TYPES.iter().find(|(name, _)| *name == kind) else {
        if kind.is_empty() {
            return e.required(&path.child("type"), "must specify a metric source type");
        }
        let all: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
        // Said twice: the type is not known, and no field belongs to it.
        e.supported(&path.child("type"), kind, &all);
        return e.supported(&path.child("type"), kind, &all);
    };
    let given: Vec<&str> = TYPES.iter().map(|(_, f)| *f).filter(|f| has(metric, f)).collect();
    if !given.contains(field) {
        e.required(&path.child(field), "must populate information for the given metric source");
    }
    for other in given.iter().filter(|f| *f != field) {
        e.forbidden(&path.child(other), "must populate the given metric source only");
    }
    for source in given {
        self::source(source, get(metric, source), &path.child(source), e);
    }
}

fn source(kind: &str, value: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let at = path.child("target");
    let target = get(value, "target");
    match kind {
        "resource" | "containerResource" => {
            if text(value, "name").is_empty() {
                e.required(&path.child("name"), "must specify a resource name");
            }
            if kind == "containerResource" && text(value, "container").is_empty() {
                e.required(&path.child("container"), "must specify a container");
            }
            self::target(target, &at, e);
            let (utilization, average) = (has(target, "averageUtilization"), has(target, "averageValue"));
            if !utilization && !average {
                let rule = "must set either a target raw value or a target utilization";
                e.required(&at.child("averageUtilization"), rule);
            } else if utilization && average {
                let rule = "may not set both a target raw value and a target utilization";
                e.forbidden(&at.child("averageValue"), rule);
            }
        }
        _ => {
            if kind == "object" {
                reference(get(value, "describedObject"), &path.child("describedObject"), e);
            }
            let (metric, here) = (get(value, "metric"), path.child("metric"));
            match text(metric, "name") {
                "" => e.required(&here.child("name"), "must specify a metric name"),
                name => e.each(&here.child("name"), name, names::path_segment(name)),
            }
            label_selector(get(metric, "selector"), &here.child("selector"), e);
            self::target(target, &at, e);
            let (plain, average) = (has(target, "value"), has(target, "averageValue"));
            if kind == "pods" && !average {
                e.required(&at.child("averageValue"), "must specify a positive target averageValue");
            } else if kind != "pods" && !plain && !average {
                e.required(&at.child("averageValue"), "must set either a target value or averageValue");
            } else if kind == "external" && plain && average {
                let rule = "may not set both a target value for metric and a per-pod target";
                e.forbidden(&at.child("value"), rule);
            }
        }
    }
}

fn target(target: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    match text(target, "type") {
        "" => e.required(&path.child("type"), "must specify a metric target type"),
        kind => e.supported(&path.child("type"), kind, &["AverageValue", "Utilization", "Value"]),
    }
    for field in ["value", "averageValue"] {
        if let Some(amount) = Some(get(target, field)).filter(|v| !v.is_null()).and_then(resources::quantity)
            && amount.sign() <= 0
        {
            e.invalid(&path.child(field), amount.to_string(), "must be positive");
        }
    }
    if let Some(percent) = int(target, "averageUtilization").filter(|p| *p < 1) {
        e.invalid(&path.child("averageUtilization"), percent, "must be greater than 0");
    }
}

fn behavior(value: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    for side in ["scaleUp", "scaleDown"] {
        if has(value, side) {
            rules(get(value, side), &path.child(side), e);
        }
    }
}

fn rules(value: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if let Some(window) = int(value, "stabilizationWindowSeconds") {
        let at = path.child("stabilizationWindowSeconds");
        e.not_negative(&at, Some(window));
        if window > 3600 {
            e.invalid(&at, window, "must be less than or equal to 3600");
        }
    }
    if has(value, "selectPolicy") {
        e.supported(&path.child("selectPolicy"), text(value, "selectPolicy"), &["Disabled", "Max", "Min"]);
    }
    let (policies, all) = (list(value, "policies"), path.child("policies"));
    if policies.is_empty() {
        e.required(&all, "must specify at least one Policy");
    }
    for (i, policy) in policies.iter().enumerate() {
        let at = all.index(i);
        e.supported(&at.child("type"), text(policy, "type"), &["Percent", "Pods"]);
        for field in ["value", "periodSeconds"] {
            let number = int(policy, field).unwrap_or(0);
            if number <= 0 {
                e.invalid(&at.child(field), number, "must be greater than zero");
            } else if field == "periodSeconds" && number > 1800 {
                e.invalid(&at.child(field), number, "must be less than or equal to 1800");
            }
        }
    }
}
