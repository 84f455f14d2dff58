//! NodeMetrics and PodMetrics, and their tables as metrics-server prints them.

use http::header::ACCEPT;
use jiff::{SignedDuration, Timestamp};
use orc_core::Doc;
use orc_core::quantity::Quantity;
use orc_store::local::rules::timestamp;
use serde_json::{Value, json};

use super::sample::{History, Rate};
use crate::http::Query;

/// Which kind is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    Nodes,
    Pods,
}

impl Shape {
    fn kind(self) -> &'static str {
        if self == Self::Nodes { "NodeMetrics" } else { "PodMetrics" }
    }
}

/// A sample older than this says nothing any more: a few rounds were missed.
const OLD: SignedDuration = SignedDuration::from_secs(60);

fn head(shape: Shape, of: &Doc, now: Timestamp) -> Value {
    let mut metadata = json!({"name": of.name(), "creationTimestamp": timestamp(now)});
    if shape == Shape::Pods {
        metadata["namespace"] = of.namespace().into();
    }
    if let Some(labels) = of.at(&["metadata", "labels"]) {
        metadata["labels"] = labels.clone();
    }
    json!({"kind": shape.kind(), "apiVersion": "metrics.k8s.io/v1beta1", "metadata": metadata})
}

fn usage(rate: &Rate) -> Value {
    json!({"cpu": format!("{}n", rate.nano_cores), "memory": format!("{}Ki", rate.memory / 1024)})
}

fn put_window(object: &mut Value, rate: &Rate) {
    object["timestamp"] = timestamp(rate.at).into();
    object["window"] = window(rate.window).into();
}

/// A duration as Go writes it, in seconds and milliseconds.
fn window(window: SignedDuration) -> String {
    let millis = window.as_millis();
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let (seconds, thousandths) = (rest / 1000, rest % 1000);
    let fraction =
        if thousandths == 0 { String::new() } else { format!(".{thousandths:03}").trim_end_matches('0').to_owned() };
    if minutes == 0 { format!("{seconds}{fraction}s") } else { format!("{minutes}m{seconds}{fraction}s") }
}

/// The metrics of a node, where they are known.
pub(super) fn of_node(node: &Doc, history: &History, now: Timestamp) -> Option<Value> {
    let rate = history.node().filter(|rate| now.duration_since(rate.at) < OLD)?;
    let mut object = head(Shape::Nodes, node, now);
    put_window(&mut object, &rate);
    object["usage"] = usage(&rate);
    Some(object)
}

/// The metrics of a pod, where they are known for all its running containers.
pub(super) fn of_pod(pod: &Doc, history: &History, now: Timestamp) -> Option<Value> {
    let containers = history.pod(pod.str_at(&["metadata", "uid"])?)?;
    // The oldest container says how fresh the whole is, as in metrics-server.
    let oldest = containers.values().min_by_key(|rate| rate.at).filter(|rate| now.duration_since(rate.at) < OLD)?;
    let mut object = head(Shape::Pods, pod, now);
    put_window(&mut object, oldest);
    object["containers"] = containers.iter().map(|(name, rate)| json!({"name": name, "usage": usage(rate)})).collect();
    Some(object)
}

/// The form that a client wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Object,
    Table { bare: bool },
}

impl Form {
    pub(super) fn of(request: &http::request::Parts, query: &Query) -> Self {
        let accept = request.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let first = accept.split(',').next().unwrap_or_default();
        let table = first.split(';').any(|part| part.trim() == "as=Table");
        if table { Self::Table { bare: query.get("includeObject") == Some("None") } } else { Self::Object }
    }

    pub(super) fn one(self, object: Value) -> Value {
        match self {
            Self::Object => object,
            Self::Table { bare } => table(&[object], bare),
        }
    }

    pub(super) fn list(self, shape: Shape, items: Vec<Value>) -> Value {
        match self {
            Self::Table { bare } => table(&items, bare),
            Self::Object => {
                let kind = format!("{}List", shape.kind());
                json!({"kind": kind, "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}, "items": items})
            }
        }
    }
}

/// A table has columns once it has rows: they are the resources that are measured.
fn table(items: &[Value], bare: bool) -> Value {
    let column = |name: &str, format: &str, description: &str| json!({"name": name, "type": "string", "format": format, "description": description, "priority": 0});
    let mut columns = Vec::new();
    if !items.is_empty() {
        columns.push(column("Name", "name", "Name of the resource"));
        columns.extend(["cpu", "memory"].map(|name| column(name, "quantity", "")));
        columns.push(column("Window", "duration", ""));
    }
    let rows = items.iter().map(|item| {
        let cells = json!([item["metadata"]["name"], total(item, "cpu"), total(item, "memory"), item["window"]]);
        let object = if bare { Value::Null } else { partial(item) };
        json!({"cells": cells, "object": object})
    });
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "columnDefinitions": columns,
        "rows": rows.collect::<Vec<_>>()})
}

fn partial(item: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item["metadata"]})
}

/// The use of a node, or of all containers of a pod together.
fn total(item: &Value, resource: &str) -> String {
    let of = |usage: &Value| Quantity::parse(usage[resource].as_str().unwrap_or("0")).ok();
    let containers = item["containers"].as_array().into_iter().flatten().map(|one| &one["usage"]);
    let all = containers.chain(item.get("usage"));
    all.filter_map(of).reduce(Quantity::add).map(|sum| sum.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_written_as_go_writes_it() {
        let all = [(15_000, "15s"), (15_030, "15.03s"), (75_001, "1m15.001s"), (500, "0.5s")];
        for (millis, text) in all {
            assert_eq!(window(SignedDuration::from_millis(millis)), text);
        }
    }

    #[test]
    fn a_table_sums_containers() {
        let item = json!({"metadata": {"name": "p"}, "window": "15s", "containers": [
            {"usage": {"cpu": "250000000n", "memory": "10Ki"}}, {"usage": {"cpu": "1n", "memory": "2Ki"}}]});
        let made = table(&[item], false);
        assert_eq!(made["rows"][0]["cells"], json!(["p", "250000001n", "12Ki", "15s"]));
        let names: Vec<&Value> = made["columnDefinitions"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
        assert_eq!(names, ["Name", "cpu", "memory", "Window"]);
        assert_eq!(table(&[], false)["columnDefinitions"], json!([]));
    }
}
