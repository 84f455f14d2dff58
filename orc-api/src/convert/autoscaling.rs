//! HorizontalPodAutoscalers: `autoscaling/v1` says what `autoscaling/v2` says of the CPU, and the rest in annotations.
//!
//! A v1 client that reads an object and writes it back loses nothing, as long as it keeps the annotations
//! (`pkg/apis/autoscaling/v1/conversion.go` and `annotations.go`). Annotations that do not read are dropped.

use orc_core::schema::{self, Field, MessageRef, Schema};
use serde_json::{Map, Value, json};

use super::metrics;
use crate::kinds::tree::{at, child, empty, ensure, get, has, int, list, put, remove, text};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
/// All annotations that stand for fields; the last two are those of a version that is no longer served.
pub(super) const ALL: [&str; 6] = [
    METRICS,
    CURRENT,
    CONDITIONS,
    BEHAVIOR,
    "autoscaling.alpha.kubernetes.io/scale-down-tolerance",
    "autoscaling.alpha.kubernetes.io/scale-up-tolerance",
];

/// The share of the CPU that is aimed at where nothing else is said, in percent.
const USUAL: i64 = 80;

/// Fields of the status that both versions have.
const STATUS: [&str; 4] = ["observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas"];

pub(super) fn to_v2(mut object: Value) -> Value {
    let said = take_annotations(&mut object);
    let read = |name: &str| {
        let text = said.get(name).and_then(Value::as_str)?;
        serde_json::from_str::<Value>(text).ok().filter(|value| !empty(value))
    };
    let spec = ensure(&mut object, "spec");
    let mut wanted = read(METRICS).map(|all| each(&all, metrics::spec_to_v2)).unwrap_or_default();
    if let Some(percent) = int(spec, "targetCPUUtilizationPercentage") {
        wanted.push(cpu(percent));
    }
    if wanted.is_empty() {
        wanted.push(cpu(USUAL));
    }
    remove(spec, "targetCPUUtilizationPercentage");
    put(spec, "metrics", wanted);
    if let Some(behavior) = read(BEHAVIOR).map(|value| renamed(&value, &lower)) {
        put(spec, "behavior", behavior);
    }
    status_to_v2(&mut object, read(CURRENT), read(CONDITIONS));
    put(&mut object, "apiVersion", "autoscaling/v2");
    object
}

fn status_to_v2(object: &mut Value, current: Option<Value>, conditions: Option<Value>) {
    let old = get(object, "status").clone();
    if old.is_null() && current.is_none() && conditions.is_none() {
        return;
    }
    let mut status = shared(&old);
    if let Some(current) = current {
        put(&mut status, "currentMetrics", each(&current, metrics::status_to_v2));
    } else if let Some(percent) = int(&old, "currentCPUUtilizationPercentage") {
        let metric = json!({"name": "cpu", "current": {"averageUtilization": percent}});
        put(&mut status, "currentMetrics", json!([{"type": "Resource", "resource": metric}]));
    }
    if let Some(conditions) = conditions.filter(Value::is_array) {
        put(&mut status, "conditions", conditions);
    }
    put(object, "status", status);
}

pub(super) fn from_v2(mut object: Value) -> Value {
    // What an earlier conversion left is never passed on: only what the fields say now.
    take_annotations(&mut object);
    let mut said = Map::new();
    if let Some(spec) = child(&mut object, "spec") {
        let all = list(spec, "metrics").to_vec();
        let first = all.iter().find(|metric| is_cpu(metric));
        if let Some(percent) = first.and_then(|metric| int(at(metric, "resource.target"), "averageUtilization")) {
            put(spec, "targetCPUUtilizationPercentage", percent);
        }
        let aims = |metric: &&Value| !(is_cpu(metric) && has(at(metric, "resource.target"), "averageUtilization"));
        let others: Vec<Value> = all.iter().filter(aims).map(metrics::spec_to_v1).collect();
        tell(&mut said, METRICS, others, "MetricSpec");
        if has(spec, "behavior") {
            said.insert(BEHAVIOR.to_owned(), behavior(get(spec, "behavior")).into());
        }
        remove(spec, "metrics");
        remove(spec, "behavior");
    }
    if let Some(status) = object.get("status").filter(|status| !status.is_null()).cloned() {
        let mut plain = shared(&status);
        let all = list(&status, "currentMetrics");
        let now = |metric: &Value| int(at(metric, "resource.current"), "averageUtilization");
        // The last one wins here, where for the target it is the first one.
        if let Some(percent) = all.iter().filter(|metric| is_cpu(metric)).filter_map(now).next_back() {
            put(&mut plain, "currentCPUUtilizationPercentage", percent);
        }
        tell(&mut said, CURRENT, all.iter().map(metrics::status_to_v1).collect(), "MetricStatus");
        tell(&mut said, CONDITIONS, list(&status, "conditions").to_vec(), "HorizontalPodAutoscalerCondition");
        put(&mut object, "status", plain);
    }
    if !said.is_empty() {
        let annotations = ensure(ensure(&mut object, "metadata"), "annotations");
        said.into_iter().for_each(|(name, text)| put(annotations, &name, text));
    }
    put(&mut object, "apiVersion", "autoscaling/v1");
    object
}

/// Whether a metric, wanted or current, is of the CPU of whole pods.
fn is_cpu(metric: &Value) -> bool {
    text(metric, "type") == "Resource" && text(get(metric, "resource"), "name") == "cpu"
}

fn cpu(percent: i64) -> Value {
    let target = json!({"type": "Utilization", "averageUtilization": percent});
    json!({"type": "Resource", "resource": {"name": "cpu", "target": target}})
}

fn shared(status: &Value) -> Value {
    let mut out = json!({});
    for name in STATUS.into_iter().filter(|name| has(status, name)) {
        put(&mut out, name, get(status, name).clone());
    }
    out
}

fn each(all: &Value, convert: fn(&Value) -> Value) -> Vec<Value> {
    all.as_array().into_iter().flatten().map(convert).collect()
}

/// Takes out the annotations that stand for fields.
fn take_annotations(object: &mut Value) -> Map<String, Value> {
    let mut taken = Map::new();
    let Some(metadata) = child(object, "metadata") else { return taken };
    let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) else { return taken };
    for name in ALL {
        taken.extend(annotations.remove(name).map(|text| (name.to_owned(), text)));
    }
    if annotations.is_empty() {
        remove(metadata, "annotations");
    }
    taken
}

/// Notes a list under an annotation, as Go writes it: with the zeros that its types always write, fields in their order.
fn tell(said: &mut Map<String, Value>, name: &str, mut all: Vec<Value>, kind: &str) {
    let Some(message) =
        Schema::builtin().message(&format!("k8s.io.api.autoscaling.v1.{kind}")).filter(|_| !all.is_empty())
    else {
        return;
    };
    all.iter_mut().for_each(|value| schema::canonical(value, message));
    let texts: Vec<String> = all.iter().map(|value| ordered(value, message)).collect();
    said.insert(name.to_owned(), format!("[{}]", texts.join(",")).into());
}

/// The JSON text of a message with its fields in the order of the type.
fn ordered(value: &Value, message: MessageRef) -> String {
    let Some(map) = value.as_object() else { return value.to_string() };
    let field = |field: &Field| {
        let value = map.get(field.json)?;
        let text = match (field.message(), value) {
            (Some(inner), Value::Object(_)) => ordered(value, inner),
            (Some(inner), Value::Array(items)) => {
                format!("[{}]", items.iter().map(|item| ordered(item, inner)).collect::<Vec<_>>().join(","))
            }
            _ => value.to_string(),
        };
        Some(format!("{}:{text}", Value::from(field.json)))
    };
    format!("{{{}}}", message.fields.iter().filter_map(field).collect::<Vec<_>>().join(","))
}

/// The behaviour as the annotation holds it: Kubernetes writes its inner type there, whose fields have Go's names.
fn behavior(value: &Value) -> String {
    let rule = |side: &str| {
        let rules = get(value, side);
        if rules.is_null() {
            return "null".to_owned();
        }
        let policy = |policy: &Value| {
            let (kind, number, period) = (get(policy, "type"), get(policy, "value"), get(policy, "periodSeconds"));
            format!("{{\"Type\":{kind},\"Value\":{number},\"PeriodSeconds\":{period}}}")
        };
        let policies = match get(rules, "policies") {
            Value::Array(all) => format!("[{}]", all.iter().map(policy).collect::<Vec<_>>().join(",")),
            _ => "null".to_owned(),
        };
        format!(
            "{{\"StabilizationWindowSeconds\":{},\"SelectPolicy\":{},\"Policies\":{policies},\"Tolerance\":{}}}",
            get(rules, "stabilizationWindowSeconds"),
            get(rules, "selectPolicy"),
            get(rules, "tolerance"),
        )
    };
    format!("{{\"ScaleUp\":{},\"ScaleDown\":{}}}", rule("scaleUp"), rule("scaleDown"))
}

/// Go's name of a field as JSON spells it.
fn lower(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|first| first.to_ascii_lowercase().to_string() + chars.as_str()).unwrap_or_default()
}

/// The value under other names all the way down, without what is null.
fn renamed(value: &Value, name: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::Object(map) => {
            let fields = map.iter().filter(|(_, value)| !value.is_null());
            fields.map(|(key, value)| (name(key), renamed(value, name))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(|item| renamed(item, name)).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_v1_cannot_say_goes_there_and_back() {
        let pods = json!({"type": "Pods", "pods": {"metric": {"name": "rps", "selector": {"matchLabels": {"a": "b"}}},
            "target": {"type": "AverageValue", "averageValue": "5"}}});
        let object = json!({"type": "Object", "object": {"describedObject": {"kind": "Service", "name": "s",
            "apiVersion": "v1"}, "metric": {"name": "m"}, "target": {"type": "Value", "value": "7"}}});
        let up = json!({"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "tolerance": "100m",
            "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]});
        let v2 = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "h", "annotations": {"mine": "x"}},
            "spec": {"maxReplicas": 3, "minReplicas": 1, "metrics": [pods, object, cpu(55)],
                "behavior": {"scaleUp": up}},
            "status": {"desiredReplicas": 2, "currentReplicas": 1, "conditions": [{"type": "AbleToScale",
                "status": "True", "lastTransitionTime": "2024-01-01T00:00:00Z"}], "currentMetrics": [{"type": "Resource",
                "resource": {"name": "cpu", "current": {"averageUtilization": 44, "averageValue": "300m"}}}]}});
        let v1 = from_v2(v2.clone());
        assert_eq!(v1["spec"]["targetCPUUtilizationPercentage"], 55);
        assert_eq!(v1["status"]["currentCPUUtilizationPercentage"], 44);
        let annotations = &v1["metadata"]["annotations"];
        assert_eq!(
            annotations[CURRENT],
            r#"[{"type":"Resource","resource":{"name":"cpu","currentAverageUtilization":44,"currentAverageValue":"300m"}}]"#
        );
        assert!(annotations[BEHAVIOR].as_str().unwrap().starts_with(r#"{"ScaleUp":{"StabilizationWindowSeconds":0,"#));
        assert_eq!(to_v2(v1), v2);
    }

    #[test]
    fn the_cpu_is_the_usual_aim_and_what_does_not_read_is_dropped() {
        let v1 = json!({"apiVersion": "autoscaling/v1", "metadata": {"annotations": {METRICS: "abc", BEHAVIOR: "{}"}},
            "spec": {"maxReplicas": 2}});
        let v2 = to_v2(v1);
        assert_eq!(v2["spec"], json!({"maxReplicas": 2, "metrics": [cpu(USUAL)]}));
        assert_eq!(v2["metadata"], json!({}));
    }
}
