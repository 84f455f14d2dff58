//! The directives of a strategic merge patch: keys that say how to merge instead of what.

use serde_json::{Map, Value};

use super::PatchError;

/// In a map or a list element: `replace`, `delete`, `merge`.
pub(super) const PATCH: &str = "$patch";
/// In a map: the only keys to keep.
pub(super) const RETAIN_KEYS: &str = "$retainKeys";
/// Before a field's name: values to remove from a list of scalars.
pub(super) const DELETE_PREFIX: &str = "$deleteFromPrimitiveList/";
/// Before a field's name: the order of a merged list's elements.
pub(super) const ORDER_PREFIX: &str = "$setElementOrder/";

/// The directive of a map, if it has one.
pub(super) fn of(map: &Map<String, Value>) -> Result<Option<&str>, PatchError> {
    match map.get(PATCH) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(PatchError::Unmergeable(format!("unknown patch type found: {}", go_value(other)))),
    }
}

/// What a patch's value comes to where there is nothing to merge with: no nulls, no directives, no deleted elements.
pub(super) fn taken(patch: &Value) -> Value {
    match patch {
        Value::Object(map) if map.get(PATCH).and_then(Value::as_str) == Some("delete") => Value::Object(Map::new()),
        Value::Object(map) => {
            let kept = map.iter().filter(|(key, value)| !is_directive(key) && !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), taken(value))).collect())
        }
        Value::Array(items) => {
            let special = |item: &&Value| item.get(PATCH).and_then(Value::as_str).is_none_or(|d| d == "merge");
            Value::Array(items.iter().filter(special).map(taken).collect())
        }
        scalar => scalar.clone(),
    }
}

fn is_directive(key: &str) -> bool {
    key == PATCH || key == RETAIN_KEYS || key.starts_with(DELETE_PREFIX) || key.starts_with(ORDER_PREFIX)
}

/// Applies `$retainKeys`: drops the other keys of the original.
pub(super) fn retain_keys(original: &mut Map<String, Value>, patch: &Map<String, Value>) -> Result<(), PatchError> {
    let Some(keys) = patch.get(RETAIN_KEYS) else {
        return Ok(());
    };
    let bad = || PatchError::Malformed("invalid patch format of retainKeys".into());
    let keys: Vec<&str> =
        keys.as_array().ok_or_else(bad)?.iter().map(|k| k.as_str().ok_or_else(bad)).collect::<Result<_, _>>()?;
    if patch.iter().any(|(key, value)| !is_directive(key) && !value.is_null() && !keys.contains(&key.as_str())) {
        return Err(bad());
    }
    original.retain(|key, _| keys.contains(&key.as_str()));
    Ok(())
}

/// A value as Go's `%v` prints it, for messages.
pub(super) fn go_value(value: &Value) -> String {
    let join = |items: Vec<String>| items.join(" ");
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", join(items.iter().map(go_value).collect())),
        Value::Object(map) => {
            format!("map[{}]", join(map.iter().map(|(k, v)| format!("{k}:{}", go_value(v))).collect()))
        }
        scalar => scalar.to_string(),
    }
}
