//! One metric of a HorizontalPodAutoscaler, wanted or current, in the form of `autoscaling/v1` (as its annotations hold it)
//! and of `autoscaling/v2`.

use serde_json::{Value, json};

use crate::kinds::tree::{get, has, put, text};

/// The parts that a metric of a type has, one of which is there.
const PARTS: [&str; 5] = ["object", "pods", "resource", "containerResource", "external"];

/// Puts a field under another name, where it is there.
fn moved(from: &Value, name: &str, to: &mut Value, other: &str) {
    if has(from, name) {
        put(to, other, get(from, name).clone());
    }
}

/// The same metric with each part turned over.
fn parts(metric: &Value, turn: fn(&str, &Value) -> Value) -> Value {
    let mut out = json!({"type": text(metric, "type")});
    for part in PARTS.into_iter().filter(|part| has(metric, part)) {
        put(&mut out, part, turn(part, get(metric, part)));
    }
    out
}

pub(super) fn spec_to_v1(metric: &Value) -> Value {
    parts(metric, |part, source| to_v1(part, source, "target", "target"))
}

pub(super) fn status_to_v1(metric: &Value) -> Value {
    parts(metric, |part, source| to_v1(part, source, "current", "current"))
}

/// `amounts` is where v2 has the numbers, `prefix` how v1 begins their names.
fn to_v1(part: &str, source: &Value, amounts: &str, prefix: &str) -> Value {
    let (metric, amounts, mut out) = (get(source, "metric"), get(source, amounts), json!({}));
    match part {
        "resource" | "containerResource" => {
            moved(source, "name", &mut out, "name");
            moved(source, "container", &mut out, "container");
            moved(amounts, "averageUtilization", &mut out, &format!("{prefix}AverageUtilization"));
        }
        "object" => {
            moved(source, "describedObject", &mut out, "target");
            moved(metric, "selector", &mut out, "selector");
        }
        "pods" => moved(metric, "selector", &mut out, "selector"),
        _ => moved(metric, "selector", &mut out, "metricSelector"),
    }
    moved(metric, "name", &mut out, "metricName");
    moved(amounts, "value", &mut out, &format!("{prefix}Value"));
    moved(amounts, "averageValue", &mut out, &average(part, prefix));
    out
}

/// v1's name of the average, which is odd for objects.
fn average(part: &str, prefix: &str) -> String {
    if part == "object" { "averageValue".to_owned() } else { format!("{prefix}AverageValue") }
}

pub(super) fn spec_to_v2(metric: &Value) -> Value {
    parts(metric, |part, source| {
        let mut target = to_v2_amounts(part, source, "target");
        let kind = match part {
            "resource" | "containerResource" if has(&target, "averageUtilization") => "Utilization",
            "object" if !has(&target, "averageValue") => "Value",
            "external" if has(&target, "value") => "Value",
            _ => "AverageValue",
        };
        // v1 writes the value of an object even where there is only an average: a zero stands for none.
        if part == "object" && kind == "AverageValue" && get(&target, "value") == "0" {
            crate::kinds::tree::remove(&mut target, "value");
        }
        put(&mut target, "type", kind);
        to_v2(part, source, "target", target)
    })
}

pub(super) fn status_to_v2(metric: &Value) -> Value {
    parts(metric, |part, source| to_v2(part, source, "current", to_v2_amounts(part, source, "current")))
}

fn to_v2_amounts(part: &str, source: &Value, prefix: &str) -> Value {
    let mut out = json!({});
    moved(source, &format!("{prefix}AverageUtilization"), &mut out, "averageUtilization");
    moved(source, &format!("{prefix}Value"), &mut out, "value");
    moved(source, &average(part, prefix), &mut out, "averageValue");
    out
}

fn to_v2(part: &str, source: &Value, name: &str, amounts: Value) -> Value {
    let mut out = json!({});
    if part.to_ascii_lowercase().ends_with("resource") {
        moved(source, "name", &mut out, "name");
        moved(source, "container", &mut out, "container");
    } else {
        let mut metric = json!({"name": text(source, "metricName")});
        moved(source, if part == "external" { "metricSelector" } else { "selector" }, &mut metric, "selector");
        put(&mut out, "metric", metric);
        moved(source, "target", &mut out, "describedObject");
    }
    put(&mut out, name, amounts);
    out
}
