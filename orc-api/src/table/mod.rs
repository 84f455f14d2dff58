//! The Table form: columns from the catalogue, cells by kind.

mod cluster;
mod network;
mod pods;
mod policy;
mod storage;
mod workloads;

use jiff::Timestamp;
use orc_core::catalogue::ResourceInfo;
use serde_json::{Value, json};

/// `columnDefinitions` of a resource in a version.
pub fn columns(info: &ResourceInfo, version: &str) -> Value {
    let columns = info.version(version).map(|v| v.columns.as_slice()).unwrap_or_default();
    let entry = |column: &orc_core::catalogue::Column| {
        json!({"name": column.name, "type": column.kind, "format": column.format, "description": column.description,
            "priority": column.priority})
    };
    columns.iter().map(entry).collect::<Vec<_>>().into()
}

/// The cells of one object, one for each column.
pub fn cells(info: &ResourceInfo, version: &str, object: &Value, now: Timestamp) -> Vec<Value> {
    let columns = info.version(version).map(|v| v.columns.as_slice()).unwrap_or_default();
    let row = Row { object, now };
    let id = if info.group.is_empty() { info.plural.clone() } else { format!("{}.{}", info.plural, info.group) };
    let kind = [pods::cell, workloads::cell, network::cell, storage::cell, cluster::cell, policy::cell];
    let cell =
        |column: &str| kind.iter().find_map(|cell| cell(&id, column, &row)).unwrap_or_else(|| common(column, &row));
    columns.iter().map(|column| cell(&column.name)).collect()
}

/// The conditions of one object's row: pods that have ended say so.
pub fn conditions(info: &ResourceInfo, object: &Value) -> Option<Value> {
    (info.group.is_empty() && info.plural == "pods").then(|| pods::conditions(object)).flatten()
}

/// What many kinds have.
fn common(column: &str, row: &Row<'_>) -> Value {
    match column {
        "Name" => row.get("/metadata/name").clone(),
        "Age" => row.age("/metadata/creationTimestamp").into(),
        "Created At" => row.get("/metadata/creationTimestamp").clone(),
        "Containers" => row.template_containers("name").into(),
        "Images" => row.template_containers("image").into(),
        "Selector" => row.selector("/spec/selector").into(),
        _ => Value::Null,
    }
}

/// One object on its way into a row.
struct Row<'a> {
    object: &'a Value,
    now: Timestamp,
}

impl<'a> Row<'a> {
    fn get(&self, pointer: &str) -> &'a Value {
        self.object.pointer(pointer).unwrap_or(&Value::Null)
    }

    fn text(&self, pointer: &str) -> &'a str {
        self.get(pointer).as_str().unwrap_or_default()
    }

    /// The text, or a word in its place when there is none.
    fn text_or(&self, pointer: &str, none: &'a str) -> &'a str {
        Some(self.text(pointer)).filter(|text| !text.is_empty()).unwrap_or(none)
    }

    fn number(&self, pointer: &str) -> i64 {
        self.get(pointer).as_i64().unwrap_or_default()
    }

    fn list(&self, pointer: &str) -> &'a [Value] {
        self.get(pointer).as_array().map(Vec::as_slice).unwrap_or_default()
    }

    fn len(&self, pointer: &str) -> usize {
        self.get(pointer).as_object().map_or_else(|| self.list(pointer).len(), serde_json::Map::len)
    }

    fn age(&self, pointer: &str) -> String {
        age(Some(self.get(pointer)), self.now)
    }

    /// `ready/wanted`.
    fn share(&self, part: &str, whole: &str) -> Value {
        format!("{}/{}", self.number(part), self.number(whole)).into()
    }

    fn template_containers(&self, field: &str) -> String {
        let own =
            if self.get("/spec/jobTemplate").is_null() { "/spec/template" } else { "/spec/jobTemplate/spec/template" };
        let own = if self.get("/template").is_null() { own } else { "/template" };
        join(self.list(&format!("{own}/spec/containers")).iter().filter_map(|c| c.get(field)?.as_str()), ",")
    }

    fn selector(&self, pointer: &str) -> String {
        let value = self.get(pointer);
        let plain = !value.is_null() && value.get("matchLabels").is_none() && value.get("matchExpressions").is_none();
        let wrapped = if plain { json!({"matchLabels": value}) } else { value.clone() };
        let text = orc_core::labels::Selector::from_value(&wrapped).map(|s| s.to_string()).unwrap_or_default();
        if text.is_empty() { "<none>".to_owned() } else { text }
    }
}

fn join<T: ToString>(items: impl Iterator<Item = T>, by: &str) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(by)
}

fn none_if_empty(text: String) -> String {
    if text.is_empty() { "<none>".to_owned() } else { text }
}

/// A map as `a=b,c=d`.
fn pairs(value: &Value) -> String {
    let map = value.as_object().into_iter().flatten();
    none_if_empty(join(map.map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())), ","))
}

/// How long ago a time was, as kubectl prints it; `<unknown>` without one.
pub fn age(time: Option<&Value>, now: Timestamp) -> String {
    let Some(time) = time.and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok()) else {
        return "<unknown>".to_owned();
    };
    human(now.duration_since(time).as_secs())
}

/// A duration in at most two units (`duration.HumanDuration` of apimachinery).
pub fn human(seconds: i64) -> String {
    let (minute, hour, day, year) = (60, 3600, 86_400, 86_400 * 365);
    let two = |big: i64, unit: &str, small: i64, lesser: &str| match small {
        0 => format!("{big}{unit}"),
        small => format!("{big}{unit}{small}{lesser}"),
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1..=0 => "0s".to_owned(),
        s if s < 2 * minute => format!("{s}s"),
        s if s < 10 * minute => two(s / minute, "m", s % minute, "s"),
        s if s < 3 * hour => format!("{}m", s / minute),
        s if s < 8 * hour => two(s / hour, "h", s % hour / minute, "m"),
        s if s < 2 * day => format!("{}h", s / hour),
        s if s < 8 * day => two(s / day, "d", s % day / hour, "h"),
        s if s < 2 * year => format!("{}d", s / day),
        s if s < 8 * year => two(s / year, "y", s % year / day, "d"),
        s => format!("{}y", s / year),
    }
}
