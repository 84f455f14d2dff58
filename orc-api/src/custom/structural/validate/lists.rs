//! `x-kubernetes-list-type`: sets hold a value once, maps hold a key once.

use super::super::schema::{ListType, Schema};
use super::{with_child, with_index};
use orc_core::validation::{FieldError, FieldErrors, FieldPath};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub(super) fn check(value: &Value, schema: &Schema, path: Option<&FieldPath<'_>>, e: &mut FieldErrors) {
    match value {
        Value::Array(items) => {
            match schema.list_type {
                ListType::Atomic => {}
                ListType::Set => unique(items.iter().map(|item| Some(item.clone())), path, e),
                ListType::Map => unique(items.iter().map(|item| key(item, schema)), path, e),
            }
            let Some(inner) = &schema.items else { return };
            for (i, item) in items.iter().enumerate() {
                with_index(path, i, |path| check(item, inner, Some(path), e));
            }
        }
        Value::Object(map) => {
            for (name, value) in map {
                if let Some(inner) = schema.child(name) {
                    with_child(path, name, |path| check(value, inner, Some(path), e));
                }
            }
        }
        _ => {}
    }
}

/// The key fields of an item; a key field that is absent counts with its default.
pub(crate) fn key(item: &Value, schema: &Schema) -> Option<Value> {
    let fields = item.as_object()?;
    let mut key = Map::new();
    for name in &schema.list_map_keys {
        let preset = || schema.items.as_ref()?.properties.get(name)?.default.as_ref();
        if let Some(value) = fields.get(name).or_else(preset) {
            key.insert(name.clone(), value.clone());
        }
    }
    Some(Value::Object(key))
}

/// Reports each value that occurs more than once, at its second occurrence.
fn unique(values: impl Iterator<Item = Option<Value>>, path: Option<&FieldPath<'_>>, e: &mut FieldErrors) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (i, value) in values.enumerate() {
        let Some(value) = value else { continue };
        let times = seen.entry(value.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            with_index(path, i, |path| e.push(FieldError::duplicate(path, &value)));
        }
    }
}
