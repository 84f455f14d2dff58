//! Checks of the schemas in definitions: what a schema may say at all, and that it is structural.
//!
//! Not checked here: regular expressions, defaults deeper than their own type, and CEL.

use super::super::tree::*;
use orc_core::validation::{FieldErrors, FieldPath};
use serde_json::Value;

/// Checks the schema of a version.
pub(super) fn root(schema: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let kind = text(schema, "type");
    if flag(schema, "nullable") {
        e.forbidden(&path.child("nullable"), "nullable cannot be true at the root");
    }
    let before = e.len();
    node(schema, path, e);
    if e.len() > before {
        return;
    }
    structural(schema, true, path, e);
    if !kind.is_empty() && kind != "object" {
        e.invalid(&path.child("type"), kind, "must be object at the root");
    }
}

/// What no schema may hold, at any depth.
fn node(schema: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if flag(schema, "uniqueItems") {
        let rule = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        e.forbidden(&path.child("uniqueItems"), rule);
    }
    let additional = get(schema, "additionalProperties");
    if !additional.is_null() {
        if additional == &Value::Bool(false) {
            e.forbidden(&path.child("additionalProperties"), "additionalProperties cannot be set to false");
        }
        if !entries_empty(schema, "properties") {
            let rule = "additionalProperties and properties are mutual exclusive";
            e.forbidden(&path.child("additionalProperties"), rule);
        }
        if additional.is_object() {
            node(additional, &path.child("additionalProperties"), e);
        }
    }
    for field in ["$ref", "id", "definitions", "patternProperties", "dependencies", "additionalItems"] {
        if has(schema, field) {
            e.forbidden(&path.child(field), format!("{field} is not supported"));
        }
    }
    let properties = path.child("properties");
    for (name, property) in entries(schema, "properties") {
        node(property, &properties.key(name), e);
    }
    match get(schema, "items") {
        Value::Null => {}
        Value::Array(_) => e.forbidden(&path.child("items"), "items must be a schema object and not an array"),
        items => node(items, &path.child("items"), e),
    }
    for field in ["allOf", "oneOf", "anyOf"] {
        let all = path.child(field);
        for (i, inner) in list(schema, field).iter().enumerate() {
            node(inner, &all.index(i), e);
        }
    }
    if has(schema, "not") {
        node(get(schema, "not"), &path.child("not"), e);
    }
    list_type(schema, path, e);
    own_default(schema, path, e);
}

fn entries_empty(schema: &Value, field: &str) -> bool {
    entries(schema, field).next().is_none()
}

fn list_type(schema: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    const FIELD: &str = "x-kubernetes-list-type";
    let keys = texts(schema, "x-kubernetes-list-map-keys");
    if has(schema, FIELD) {
        e.supported(&path.child(FIELD), text(schema, FIELD), &["atomic", "map", "set"]);
        if text(schema, "type") != "array" {
            let rule = "must be array if x-kubernetes-list-type is specified";
            e.invalid(&path.child("type"), text(schema, "type"), rule);
        }
        if text(schema, FIELD) == "map" && keys.is_empty() {
            let rule = "must not be empty if x-kubernetes-list-type is map";
            e.required(&path.child("x-kubernetes-list-map-keys"), rule);
        }
    }
    if !keys.is_empty() && text(schema, FIELD) != "map" {
        e.invalid(&path.child(FIELD), text(schema, FIELD), "must be map if x-kubernetes-list-map-keys is non-empty");
    }
}

/// A default must have the type of its schema.
fn own_default(schema: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let (kind, value) = (text(schema, "type"), get(schema, "default"));
    let fits = match kind {
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    };
    if value.is_null() || fits || flag(schema, "x-kubernetes-int-or-string") {
        return;
    }
    let found = match value {
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        number if number.is_f64() => "number",
        _ => "integer",
    };
    let rule = format!(" in body must be of type {kind}: {}", orc_core::validation::go_quote(found));
    e.add(orc_core::validation::FieldError::type_invalid(&path.child("default"), found, rule));
}

/// Every part of the object must be described outside of the logical parts, which only narrow it.
fn structural(schema: &Value, root: bool, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let mixed = flag(schema, "x-kubernetes-int-or-string");
    let open = flag(schema, "x-kubernetes-preserve-unknown-fields");
    for field in ["anyOf", "allOf", "oneOf"] {
        let all = path.child(field);
        // Int-or-string is the one kind whose types may stand in its logical part.
        let excused = mixed && field == "anyOf";
        for (i, inner) in list(schema, field).iter().enumerate() {
            logical(inner, excused, &all.index(i), e);
        }
    }
    if has(schema, "not") {
        logical(get(schema, "not"), false, &path.child("not"), e);
    }
    if text(schema, "type").is_empty() && !mixed && !open {
        let rule = if root { "must not be empty at the root" } else { "must not be empty for specified object fields" };
        e.required(&path.child("type"), rule);
    } else if text(schema, "type").is_empty() && root {
        e.required(&path.child("type"), "must not be empty at the root");
    }
    let properties = path.child("properties");
    for (name, property) in entries(schema, "properties") {
        structural(property, false, &properties.key(name), e);
    }
    if get(schema, "items").is_object() {
        structural(get(schema, "items"), false, &path.child("items"), e);
    }
    if get(schema, "additionalProperties").is_object() {
        structural(get(schema, "additionalProperties"), false, &path.child("additionalProperties"), e);
    }
}

fn logical(schema: &Value, excused: bool, path: &FieldPath<'_>, e: &mut FieldErrors) {
    for field in ["type", "title", "description", "default", "nullable", "additionalProperties"] {
        if has(schema, field) && !(excused && field == "type") {
            e.forbidden(&path.child(field), "must be empty to be structural");
        }
    }
    let properties = path.child("properties");
    for (name, property) in entries(schema, "properties") {
        logical(property, false, &properties.key(name), e);
    }
    for field in ["anyOf", "allOf", "oneOf"] {
        let all = path.child(field);
        for (i, inner) in list(schema, field).iter().enumerate() {
            logical(inner, excused, &all.index(i), e);
        }
    }
}
