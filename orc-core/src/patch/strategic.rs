//! Strategic merge patch: a merge patch that knows, from the schema table, which lists merge and by which key.

use serde_json::{Map, Value};

use super::directives::{self, DELETE_PREFIX, ORDER_PREFIX, PATCH, go_value};
use super::{PatchError, order};
use crate::schema::{Cardinality, Field, MessageRef, PatchStrategy, Shape};

/// Applies a strategic merge patch to an object of a built-in kind.
///
/// # Errors
/// When a directive is malformed or an element lacks its merge key. The document may then be half merged: drop it.
pub fn apply_strategic(document: &mut Value, patch: &Value, message: MessageRef) -> Result<(), PatchError> {
    let (Value::Object(original), Value::Object(patch)) = (document, patch) else {
        return Err(PatchError::Malformed("invalid JSON document".into()));
    };
    merge_map(original, patch, Inner::Message(message))
}

/// What is known of the values in a place.
#[derive(Clone, Copy)]
enum Inner {
    Message(MessageRef),
    /// A map whose values are these.
    MapOf(MessageRef),
    Unknown,
}

impl Inner {
    fn of(field: &Field) -> Self {
        match (field.message(), field.cardinality) {
            (Some(message), _) if message.shape != Shape::Object => Self::Unknown,
            (Some(message), Cardinality::Map) => Self::MapOf(message),
            (Some(message), _) => Self::Message(message),
            (None, _) => Self::Unknown,
        }
    }

    /// What is known of a member: its contents and its strategy.
    fn member(self, key: &str) -> (Self, PatchStrategy) {
        match self {
            Self::Message(message) => {
                message.field(key).map_or((Self::Unknown, PatchStrategy::default()), |f| (Self::of(f), f.patch))
            }
            Self::MapOf(message) => (Self::Message(message), PatchStrategy::default()),
            Self::Unknown => (Self::Unknown, PatchStrategy::default()),
        }
    }
}

fn merge_map(original: &mut Map<String, Value>, patch: &Map<String, Value>, inner: Inner) -> Result<(), PatchError> {
    match directives::of(patch)? {
        None => {}
        Some("replace") => {
            *original = patch.iter().filter(|(key, _)| *key != PATCH).map(|(k, v)| (k.clone(), v.clone())).collect();
            return Ok(());
        }
        Some("delete") => {
            original.clear();
            return Ok(());
        }
        Some(other) => {
            return Err(PatchError::Unmergeable(format!("unknown patch type found: {other}")));
        }
    }
    directives::retain_keys(original, patch)?;
    let mut ordered = Vec::new();
    for (key, value) in patch {
        if let Some(field) = key.strip_prefix(ORDER_PREFIX) {
            merge_ordered(original, patch, field, value, inner)?;
            ordered.push(field);
        }
    }
    for (key, value) in patch {
        if key.starts_with(ORDER_PREFIX) || key == directives::RETAIN_KEYS || ordered.contains(&key.as_str()) {
            continue;
        }
        match key.strip_prefix(DELETE_PREFIX) {
            Some(field) => delete_scalars(original, field, value)?,
            None => merge_member(original, key, value, inner)?,
        }
    }
    Ok(())
}

fn merge_member(original: &mut Map<String, Value>, key: &str, patch: &Value, inner: Inner) -> Result<(), PatchError> {
    if patch.is_null() {
        original.remove(key);
        return Ok(());
    }
    let (inner, strategy) = inner.member(key);
    match (original.get_mut(key), patch) {
        (None | Some(Value::Null), patch) => {
            original.insert(key.to_owned(), directives::taken(patch));
        }
        (Some(Value::Object(original)), Value::Object(patch)) if strategy.replace && !patch.contains_key(PATCH) => {
            original.clone_from(patch);
        }
        (Some(Value::Object(original)), Value::Object(patch)) => merge_map(original, patch, inner)?,
        (Some(Value::Array(original)), Value::Array(patch)) if strategy.merge => {
            let merged = merge_list(std::mem::take(original), patch, inner, strategy.merge_key)?;
            *original = merged;
        }
        (Some(place), patch) => *place = patch.clone(),
    }
    Ok(())
}

/// A list whose order the patch gives.
fn merge_ordered(
    original: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    field: &str,
    order: &Value,
    inner: Inner,
) -> Result<(), PatchError> {
    let malformed = || PatchError::Malformed(format!("invalid patch format of setElementOrder list {field}"));
    let order = order.as_array().ok_or_else(malformed)?;
    let (inner, strategy) = inner.member(field);
    let change = patch.get(field);
    if change.is_some_and(Value::is_null) {
        original.remove(field);
        return Ok(());
    }
    let change = change.map(|change| change.as_array().ok_or_else(malformed)).transpose()?;
    if let Some(change) = change {
        order::validate(field, change, order, strategy.merge_key)?;
    }
    let server = match original.remove(field) {
        Some(Value::Array(items)) => Some(items),
        _ => None,
    };
    if server.is_none() && change.is_none() {
        return Ok(());
    }
    let server = server.unwrap_or_default();
    let mut merged = match change {
        Some(change) if strategy.merge => merge_list(server.clone(), change, inner, strategy.merge_key)?,
        Some(change) => directives::taken(&Value::Array(change.clone())).as_array().cloned().unwrap_or_default(),
        None => server.clone(),
    };
    if let Some(Value::Array(gone)) = patch.get(&format!("{DELETE_PREFIX}{field}")) {
        merged.retain(|item| !gone.contains(item));
    }
    original.insert(field.to_owned(), order::arrange(merged, order, &server, strategy.merge_key).into());
    Ok(())
}

fn delete_scalars(original: &mut Map<String, Value>, field: &str, gone: &Value) -> Result<(), PatchError> {
    let gone = gone.as_array().ok_or_else(|| PatchError::Malformed("invalid patch format of primitive list".into()))?;
    if let Some(Value::Array(items)) = original.get_mut(field) {
        items.retain(|item| !gone.contains(item));
    }
    Ok(())
}

fn merge_list(
    original: Vec<Value>,
    patch: &[Value],
    inner: Inner,
    key: Option<&str>,
) -> Result<Vec<Value>, PatchError> {
    let objects = patch.iter().chain(&original).any(Value::is_object);
    match key {
        None if objects => Err(PatchError::Unmergeable("cannot merge lists without merge key".into())),
        None => Ok(merge_scalars(original, patch)),
        Some(key) => merge_objects(original, patch, inner, key),
    }
}

fn merge_scalars(server: Vec<Value>, patch: &[Value]) -> Vec<Value> {
    let mut merged: Vec<Value> = Vec::with_capacity(server.len() + patch.len());
    for item in server.iter().chain(patch) {
        if !merged.contains(item) {
            merged.push(item.clone());
        }
    }
    order::arrange(merged, patch, &server, None)
}

fn merge_objects(server: Vec<Value>, patch: &[Value], inner: Inner, key: &str) -> Result<Vec<Value>, PatchError> {
    let mut merged = server;
    let (mut plain, mut replace) = (Vec::new(), false);
    for item in patch {
        let Value::Object(map) = item else {
            return Err(no_key(item, key));
        };
        match directives::of(map)? {
            None => plain.push(item.clone()),
            Some("replace") => replace = true,
            Some("delete") if !map.contains_key(key) => return Err(no_key(item, key)),
            Some("delete") => merged.retain(|other| !order::same(other, item, Some(key))),
            Some("merge") => {
                return Err(PatchError::Unmergeable("merging lists cannot yet be specified in the patch".into()));
            }
            Some(other) => {
                return Err(PatchError::Unmergeable(format!("unknown patch type found: {other}")));
            }
        }
    }
    if replace {
        return Ok(plain);
    }
    let server = merged.clone();
    for item in &plain {
        let Value::Object(change) = item else {
            continue;
        };
        if !change.contains_key(key) {
            return Err(no_key(item, key));
        }
        match merged.iter_mut().find(|other| order::same(other, item, Some(key))) {
            Some(Value::Object(original)) => merge_map(original, change, inner)?,
            _ => merged.push(directives::taken(item)),
        }
    }
    Ok(order::arrange(merged, &plain, &server, Some(key)))
}

fn no_key(item: &Value, key: &str) -> PatchError {
    PatchError::Unmergeable(format!("map: {} does not contain declared merge key: {key}", go_value(item)))
}
