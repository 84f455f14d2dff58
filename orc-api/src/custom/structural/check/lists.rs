//! `x-kubernetes-list-type`, its keys, and `x-kubernetes-map-type`.

use crate::kinds::tree::{Errors, flag, get, has, text, texts};
use orc_core::validation::{FieldErrors, FieldPath};
use serde_json::Value;
use std::collections::BTreeSet;

const LIST: &str = "x-kubernetes-list-type";
const KEYS: &str = "x-kubernetes-list-map-keys";
const MAP: &str = "x-kubernetes-map-type";

pub(super) fn check(schema: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    map_type(schema, path, e);
    let keys = texts(schema, KEYS);
    let kind = text(schema, LIST);
    if has(schema, LIST) {
        e.supported(&path.child(LIST), kind, &["atomic", "map", "set"]);
        if text(schema, "type") != "array" {
            let rule = "must be array if x-kubernetes-list-type is specified";
            e.invalid(&path.child("type"), text(schema, "type"), rule);
        }
    }
    if !keys.is_empty() && kind != "map" {
        e.invalid(&path.child(LIST), kind, "must be map if x-kubernetes-list-map-keys is non-empty");
    }
    match kind {
        "map" => map_list(schema, &keys, path, e),
        "set" => set_list(schema, path, e),
        _ => {}
    }
}

fn map_type(schema: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if !has(schema, MAP) {
        return;
    }
    e.supported(&path.child(MAP), text(schema, MAP), &["atomic", "granular"]);
    if text(schema, "type") != "object" {
        let rule = "must be object if x-kubernetes-map-type is specified";
        e.invalid(&path.child("type"), text(schema, "type"), rule);
    }
}

fn map_list(schema: &Value, keys: &[&str], path: &FieldPath<'_>, e: &mut FieldErrors) {
    let (items, here, at) = (get(schema, "items"), path.child("items"), path.child(KEYS));
    if keys.is_empty() {
        e.required(&at, "must not be empty if x-kubernetes-list-type is map");
    }
    if !items.is_object() {
        return e.required(&here, "must have a schema if x-kubernetes-list-type is map");
    }
    if text(items, "type") != "object" {
        let rule = "must be object if parent array's x-kubernetes-list-type is map";
        e.invalid(&here.child("type"), text(items, "type"), rule);
    }
    if flag(items, "nullable") {
        e.forbidden(&here.child("nullable"), "cannot be nullable when x-kubernetes-list-type is map");
    }
    let (properties, required) = (here.child("properties"), texts(items, "required"));
    let mut seen = BTreeSet::new();
    for (i, key) in keys.iter().enumerate() {
        if !seen.insert(*key) {
            e.invalid(&at.index(i), *key, "must not contain duplicate entries");
        }
        let property = get(get(items, "properties"), key);
        if property.is_null() {
            e.invalid(&at.index(i), *key, "entries must all be names of item properties");
            continue;
        }
        let of_key = properties.key(key);
        if ["", "array", "object"].contains(&text(property, "type")) && !flag(property, "x-kubernetes-int-or-string") {
            let rule = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            e.invalid(&of_key.child("type"), text(property, "type"), rule);
        }
        if flag(property, "nullable") {
            e.forbidden(&of_key.child("nullable"), "cannot be nullable when x-kubernetes-list-type is map");
        }
        if !required.contains(key) && !has(property, "default") {
            let rule =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            e.required(&of_key.child("default"), rule);
        }
    }
}

fn set_list(schema: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let (items, here) = (get(schema, "items"), path.child("items"));
    if !items.is_object() {
        return;
    }
    if flag(items, "nullable") {
        e.forbidden(&here.child("nullable"), "cannot be nullable when x-kubernetes-list-type is set");
    }
    let rule = "must be atomic as item of a list with x-kubernetes-list-type=set";
    match text(items, "type") {
        "object" if text(items, MAP) != "atomic" => e.invalid(&here.child(MAP), text(items, MAP), rule),
        "array" if !["atomic", ""].contains(&text(items, LIST)) => {
            e.invalid(&here.child(LIST), text(items, LIST), rule)
        }
        _ => {}
    }
}
