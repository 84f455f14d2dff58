//! Reading pod specs, and saying who set what.

use serde_json::Value;

/// Containers of all sorts, as upstream visits them: init, then main, then ephemeral ones.
pub(super) fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    let list = |name: &str| spec.get(name).and_then(Value::as_array).into_iter().flatten();
    list("initContainers").chain(list("containers")).chain(list("ephemeralContainers"))
}

/// The value below `a.b.c`; null counts as absent.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, name| value.get(name)).filter(|value| !value.is_null())
}

pub(super) fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn is_true(value: &Value, path: &str) -> bool {
    at(value, path).and_then(Value::as_bool) == Some(true)
}

pub(super) fn name(container: &Value) -> &str {
    text(container, "name")
}

pub(super) fn list<'a>(value: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> {
    at(value, path).and_then(Value::as_array).into_iter().flatten()
}

/// `"a", "b"`
pub(super) fn quoted<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    names.into_iter().map(|name| format!("{:?}", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// `one` or `many`, by count.
pub(super) fn plural<'a>(one: &'a str, many: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { many }
}

/// `container "a"` or `containers "a", "b"`
pub(super) fn named(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names))
}

/// `pod and containers "a", "b"`: those who set something; none when nobody did.
pub(super) fn setters(pod: bool, containers: &[&str]) -> Option<String> {
    let mut all: Vec<String> = Vec::new();
    if pod {
        all.push("pod".to_owned());
    }
    if !containers.is_empty() {
        all.push(named(containers));
    }
    (!all.is_empty()).then(|| all.join(" and "))
}

/// The names of the containers for which something holds.
pub(super) fn those(spec: &Value, holds: impl Fn(&Value) -> bool) -> Vec<&str> {
    containers(spec).filter(|container| holds(container)).map(name).collect()
}

/// Windows pods are free of the rules about Linux.
pub(super) fn is_windows(spec: &Value) -> bool {
    text(spec, "os.name") == "windows"
}
