//! JSON merge patch, RFC 7386, and the difference of two trees in that form.

use serde_json::{Map, Value};

use super::PatchError;

/// Applies a merge patch to an object.
///
/// # Errors
/// When the patch is not an object: it would replace the whole document by something that is no API object.
pub fn apply_merge(document: &mut Value, patch: &Value) -> Result<(), PatchError> {
    if !patch.is_object() {
        return Err(PatchError::Malformed("Invalid JSON Patch".into()));
    }
    merge(document, patch);
    Ok(())
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(map) = target else { return };
    for (key, change) in changes {
        if change.is_null() {
            map.remove(key);
        } else {
            merge(map.entry(key.as_str()).or_insert(Value::Null), change);
        }
    }
}

/// The merge patch that turns `old` into `new`; an empty object if they are equal. A null member of `new` counts as
/// missing, as a merge patch cannot write one.
pub fn diff(old: &Value, new: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return new.clone();
    };
    let mut changes = Map::new();
    for key in old.keys() {
        if new.get(key).is_none_or(Value::is_null) {
            changes.insert(key.clone(), Value::Null);
        }
    }
    for (key, value) in new.iter().filter(|(_, value)| !value.is_null()) {
        match old.get(key) {
            Some(before) if before == value => {}
            Some(before) => {
                let change = diff(before, value);
                // An empty difference of unequal objects: they differ only in nulls.
                if change != Value::Object(Map::new()) || !before.is_object() {
                    changes.insert(key.clone(), change);
                }
            }
            None => drop(changes.insert(key.clone(), value.clone())),
        }
    }
    Value::Object(changes)
}
