//! A schema is structural: types are given, and logical parts only narrow what is described outside of them.

use super::nested;
use crate::kinds::tree::{Errors, entries, flag, get, has, list, text};
use orc_core::validation::{FieldErrors, FieldPath};
use serde_json::Value;

/// Where a schema stands, which decides the text about a missing type.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Item,
    Field,
}

const OPEN: &str = "x-kubernetes-preserve-unknown-fields";
const EMBEDDED: &str = "x-kubernetes-embedded-resource";
const MIXED: &str = "x-kubernetes-int-or-string";

pub(super) fn check(schema: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    node(schema, Level::Root, path, e);
    nested::complete(schema, path, e);
}

fn node(schema: &Value, level: Level, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let items = get(schema, "items");
    if text(schema, "type") == "array" && items.is_null() {
        e.required(&path.child("items"), "must be specified");
    }
    if items.is_object() {
        node(items, Level::Item, &path.child("items"), e);
    }
    let properties = path.child("properties");
    for (name, property) in entries(schema, "properties") {
        node(property, Level::Field, &properties.key(name), e);
    }
    let additional = get(schema, "additionalProperties");
    if !additional.is_null() && level == Level::Root {
        e.forbidden(&path.child("additionalProperties"), "must not be used at the root");
    }
    if additional.is_object() {
        node(additional, Level::Field, &path.child("additionalProperties"), e);
    }
    extensions(schema, path, e);
    nested::logical_parts(schema, path, e);
    kind(schema, level, path, e);
    resource(schema, level, path, e);
}

fn extensions(schema: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    for field in [OPEN, EMBEDDED] {
        if flag(schema, MIXED) && flag(schema, field) {
            e.invalid(&path.child(field), true, "must be false if x-kubernetes-int-or-string is true");
        }
    }
}

fn kind(schema: &Value, level: Level, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let (kind, at) = (text(schema, "type"), path.child("type"));
    if flag(schema, EMBEDDED) && kind != "object" {
        let rule = "must be object if x-kubernetes-embedded-resource is true";
        match kind {
            "" => e.required(&at, rule),
            kind => e.invalid(&at, kind, rule),
        }
    } else if kind.is_empty() && !flag(schema, MIXED) && !flag(schema, OPEN) {
        e.required(
            &at,
            match level {
                Level::Root => "must not be empty at the root",
                Level::Item => "must not be empty for specified array items",
                Level::Field => "must not be empty for specified object fields",
            },
        );
    } else if kind.is_empty() && level == Level::Root {
        e.required(&at, "must not be empty at the root");
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        e.invalid(&at, kind, "must be object at the root");
    }
}

/// The type header and the metadata of resources.
fn resource(schema: &Value, level: Level, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let (embedded, fields) = (flag(schema, EMBEDDED), get(schema, "properties"));
    let properties = path.child("properties");
    if embedded && has(schema, "additionalProperties") {
        e.forbidden(&path.child("additionalProperties"), "must not be used if x-kubernetes-embedded-resource is set");
    }
    if embedded && !flag(schema, OPEN) && entries(schema, "properties").next().is_none() {
        let rule =
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        e.required(&properties, rule);
    }
    if level != Level::Root && !embedded {
        return;
    }
    for name in ["kind", "apiVersion"] {
        let field = get(fields, name);
        if !field.is_null() && text(field, "type") != "string" {
            e.invalid(&properties.key(name).child("type"), text(field, "type"), "must be string");
        }
    }
    let (metadata, here) = (get(fields, "metadata"), properties.key("metadata"));
    if metadata.is_null() {
        return;
    }
    if text(metadata, "type") != "object" {
        e.invalid(&here.child("type"), text(metadata, "type"), "must be object");
    }
    if level == Level::Root && !only_names(metadata) {
        let rule = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        e.forbidden(&here, rule);
    }
}

/// Whether a schema of root metadata says nothing but `type`, `default` and rules of names.
fn only_names(metadata: &Value) -> bool {
    let fields = metadata.as_object().into_iter().flatten();
    let rest_is_plain = fields.clone().all(|(field, value)| {
        value.is_null() || ["type", "default", "properties", "description", "title"].contains(&field.as_str())
    });
    let described = metadata.get("description").is_some() || metadata.get("title").is_some();
    rest_is_plain
        && !described
        && entries(metadata, "properties").all(|(name, _)| name == "name" || name == "generateName")
        && list(metadata, "required").is_empty()
}
