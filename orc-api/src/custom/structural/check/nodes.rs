//! What no schema may hold, at any depth.

use super::super::parse::MAX_DEPTH;
use super::super::schema::SchemaType;
use super::lists;
use crate::cel::pattern::Pattern;
use crate::kinds::tree::{Errors, entries, flag, get, has, list, text};
use orc_core::validation::{FieldErrors, FieldPath};
use serde_json::Value;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const UNSUPPORTED: [&str; 6] = ["$ref", "id", "definitions", "patternProperties", "dependencies", "additionalItems"];

pub(super) fn check(schema: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    node(schema, path, 0, e);
}

fn node(schema: &Value, path: &FieldPath<'_>, depth: usize, e: &mut FieldErrors) {
    if depth > MAX_DEPTH {
        return e.forbidden(path, format!("must not be nested more than {MAX_DEPTH} deep"));
    }
    own(schema, path, e);
    additional(schema, path, depth, e);
    let properties = path.child("properties");
    for (name, property) in entries(schema, "properties") {
        node(property, &properties.key(name), depth + 1, e);
    }
    match get(schema, "items") {
        Value::Null => {}
        Value::Array(_) => e.forbidden(&path.child("items"), "items must be a schema object and not an array"),
        items => node(items, &path.child("items"), depth + 1, e),
    }
    for field in ["allOf", "oneOf", "anyOf"] {
        let all = path.child(field);
        for (i, inner) in list(schema, field).iter().enumerate() {
            node(inner, &all.index(i), depth + 1, e);
        }
    }
    if has(schema, "not") {
        node(get(schema, "not"), &path.child("not"), depth + 1, e);
    }
    lists::check(schema, path, e);
}

fn own(schema: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if flag(schema, "uniqueItems") {
        let rule = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        e.forbidden(&path.child("uniqueItems"), rule);
    }
    for field in UNSUPPORTED {
        if has(schema, field) {
            e.forbidden(&path.child(field), format!("{field} is not supported"));
        }
    }
    let kind = text(schema, "type");
    if !kind.is_empty() && SchemaType::from_word(kind).is_none() {
        if kind == "null" {
            e.forbidden(&path.child("type"), "type cannot be set to null, use nullable as an alternative");
        } else {
            e.supported(&path.child("type"), kind, &TYPES);
        }
    }
    if get(schema, "x-kubernetes-preserve-unknown-fields") == &Value::Bool(false) {
        e.invalid(&path.child("x-kubernetes-preserve-unknown-fields"), false, "must be true or undefined");
    }
    let pattern = text(schema, "pattern");
    if let Some(error) = Pattern::compile(pattern).err() {
        let rule = format!("must be a valid regular expression, but isn't: {error}");
        e.invalid(&path.child("pattern"), pattern, rule);
    }
}

fn additional(schema: &Value, path: &FieldPath<'_>, depth: usize, e: &mut FieldErrors) {
    let (value, here) = (get(schema, "additionalProperties"), path.child("additionalProperties"));
    if value.is_null() {
        return;
    }
    if value == &Value::Bool(false) {
        e.forbidden(&here, "additionalProperties cannot be set to false");
    }
    if entries(schema, "properties").next().is_some() {
        e.forbidden(&here, "additionalProperties and properties are mutual exclusive");
    }
    if value.is_object() {
        node(value, &here, depth + 1, e);
    }
}
