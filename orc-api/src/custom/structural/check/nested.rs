//! What may stand inside `allOf`, `anyOf`, `oneOf` and `not`.

use crate::kinds::tree::{Errors, entries, flag, get, has, list, text};
use orc_core::validation::{FieldErrors, FieldPath};
use serde_json::{Value, json};

const EMPTY: &str = "must be empty to be structural";
const UNDEFINED: &str = "must be undefined to be structural";
const FALSE: &str = "must be false to be structural";

/// Fields that belong outside, with the rule that is reported.
const FORBIDDEN: [(&str, &str); 13] = [
    ("type", EMPTY),
    ("additionalProperties", UNDEFINED),
    ("default", UNDEFINED),
    ("title", EMPTY),
    ("description", EMPTY),
    ("nullable", FALSE),
    ("externalDocs", UNDEFINED),
    ("x-kubernetes-preserve-unknown-fields", FALSE),
    ("x-kubernetes-embedded-resource", FALSE),
    ("x-kubernetes-int-or-string", FALSE),
    ("x-kubernetes-list-type", UNDEFINED),
    ("x-kubernetes-map-type", UNDEFINED),
    ("x-kubernetes-validations", EMPTY),
];

/// Checks the logical parts of a schema.
pub(super) fn logical_parts(schema: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let mixed = flag(schema, "x-kubernetes-int-or-string");
    let first = list(schema, "allOf").first().is_some_and(int_or_string);
    parts(schema, mixed || int_or_string(schema), mixed || first, path, e);
}

/// The one exception: `anyOf: [{type: integer}, {type: string}]`.
fn int_or_string(schema: &Value) -> bool {
    get(schema, "anyOf") == &json!([{"type": "integer"}, {"type": "string"}])
}

fn parts(schema: &Value, skip_any: bool, skip_first: bool, path: &FieldPath<'_>, e: &mut FieldErrors) {
    for field in ["anyOf", "allOf", "oneOf"] {
        let all = path.child(field);
        for (i, inner) in list(schema, field).iter().enumerate() {
            let excused = field == "anyOf" && skip_any && int_or_string(schema);
            if !excused {
                nested(inner, field == "allOf" && i == 0 && skip_first, &all.index(i), e);
            }
        }
    }
    if has(schema, "not") {
        nested(get(schema, "not"), false, &path.child("not"), e);
    }
}

fn nested(schema: &Value, skip_any: bool, path: &FieldPath<'_>, e: &mut FieldErrors) {
    parts(schema, skip_any, false, path, e);
    if get(schema, "items").is_object() {
        nested(get(schema, "items"), false, &path.child("items"), e);
    }
    let properties = path.child("properties");
    for (name, property) in entries(schema, "properties") {
        nested(property, false, &properties.key(name), e);
        if name == "metadata" {
            e.forbidden(&properties.key(name), "must not be specified in a nested context");
        }
    }
    for (field, rule) in FORBIDDEN {
        let given = match get(schema, field) {
            Value::Null | Value::Bool(false) => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            _ => true,
        };
        if given {
            e.forbidden(&path.child(field), rule);
        }
    }
    if !list(schema, "x-kubernetes-list-map-keys").is_empty() {
        e.forbidden(&path.child("x-kubernetes-list-map-keys"), EMPTY);
    }
}

/// Every field that a logical part names must be described outside.
pub(super) fn complete(schema: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    for field in ["anyOf", "allOf", "oneOf"] {
        let all = path.child(field);
        for (i, inner) in list(schema, field).iter().enumerate() {
            described(inner, schema, &all.index(i), path, e);
        }
    }
    if has(schema, "not") {
        described(get(schema, "not"), schema, &path.child("not"), path, e);
    }
    let properties = path.child("properties");
    for (name, property) in entries(schema, "properties") {
        complete(property, &properties.key(name), e);
    }
    for field in ["items", "additionalProperties"] {
        if get(schema, field).is_object() {
            complete(get(schema, field), &path.child(field), e);
        }
    }
}

fn described(part: &Value, outside: &Value, at: &FieldPath<'_>, path: &FieldPath<'_>, e: &mut FieldErrors) {
    for field in ["anyOf", "allOf", "oneOf"] {
        let all = at.child(field);
        for (i, inner) in list(part, field).iter().enumerate() {
            described(inner, outside, &all.index(i), path, e);
        }
    }
    if has(part, "not") {
        described(get(part, "not"), outside, &at.child("not"), path, e);
    }
    let (inside, out) = (at.child("properties"), path.child("properties"));
    for (name, property) in entries(part, "properties") {
        let (inside, out) = (inside.key(name), out.key(name));
        let found = get(get(outside, "properties"), name);
        let found = if found.is_null() { get(outside, "additionalProperties") } else { found };
        if found.is_object() {
            described(property, found, &inside, &out, e);
        } else if !flag(outside, "x-kubernetes-preserve-unknown-fields") || !text(outside, "type").is_empty() {
            e.required(&out, format!("because it is defined in {inside}"));
        }
    }
    if get(part, "items").is_object() {
        let (inside, out) = (at.child("items"), path.child("items"));
        match get(outside, "items") {
            Value::Object(_) => described(get(part, "items"), get(outside, "items"), &inside, &out, e),
            _ => e.required(&out, format!("because it is defined in {inside}")),
        }
    }
}
