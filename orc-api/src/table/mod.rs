//! The Table form: columns from the catalogue, cells by kind.

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
    columns.iter().map(|column| cell(&column.name, object, now)).collect()
}

fn cell(column: &str, object: &Value, now: Timestamp) -> Value {
    match column {
        "Name" => object.pointer("/metadata/name").cloned().unwrap_or_default(),
        "Age" => age(object.pointer("/metadata/creationTimestamp"), now).into(),
        _ => Value::Null,
    }
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
