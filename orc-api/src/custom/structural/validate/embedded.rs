//! `x-kubernetes-embedded-resource`: a whole object inside another.

use super::super::schema::Schema;
use super::{with_child, with_index};
use crate::kinds::tree::{get, text};
use orc_core::validation::{FieldError, FieldErrors, FieldPath, names};
use serde_json::Value;

pub(super) fn check(value: &Value, schema: &Schema, path: Option<&FieldPath<'_>>, e: &mut FieldErrors) {
    match value {
        Value::Array(items) => {
            let Some(inner) = &schema.items else { return };
            for (i, item) in items.iter().enumerate() {
                with_index(path, i, |path| check(item, inner, Some(path), e));
            }
        }
        Value::Object(map) => {
            if let (true, Some(path)) = (schema.embedded, path) {
                header(value, path, e);
                metadata(get(value, "metadata"), &path.child("metadata"), e);
            }
            for (name, value) in map {
                if let Some(inner) = schema.child(name) {
                    with_child(path, name, |path| check(value, inner, Some(path), e));
                }
            }
        }
        _ => {}
    }
}

fn header(value: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let (version, kind) = (text(value, "apiVersion"), text(value, "kind"));
    if version.is_empty() {
        e.push(FieldError::required(&path.child("apiVersion"), ""));
    } else if version.matches('/').count() > 1 {
        let rule = format!("unexpected GroupVersion string: {version}");
        e.push(FieldError::invalid(&path.child("apiVersion"), version, rule));
    }
    if kind.is_empty() {
        return e.push(FieldError::required(&path.child("kind"), ""));
    }
    let broken = names::dns1035_label(&kind.to_lowercase());
    if !broken.is_empty() {
        let rule = format!("may have mixed case, but should otherwise match: {}", broken.join(","));
        e.push(FieldError::invalid(&path.child("kind"), kind, rule));
    }
}

/// Metadata inside a resource may lack a name, but what is there must be valid.
fn metadata(meta: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    match meta {
        Value::Null => return,
        Value::Object(_) => {}
        other => {
            let found = super::values::type_name(other);
            let rule = format!("must be of type object: {found}");
            return e.push(FieldError::type_invalid(path, other, rule));
        }
    }
    for field in ["name", "generateName"] {
        let name = text(meta, field);
        let rules = if name.is_empty() { Vec::new() } else { names::path_segment(name) };
        for rule in rules {
            e.push(FieldError::invalid(&path.child(field), name, rule));
        }
    }
    let namespace = text(meta, "namespace");
    if !namespace.is_empty() {
        for rule in names::dns1123_label(namespace) {
            e.push(FieldError::invalid(&path.child("namespace"), namespace, rule));
        }
    }
    crate::kinds::meta::labels(get(meta, "labels"), &path.child("labels"), e);
    crate::kinds::meta::annotations(get(meta, "annotations"), &path.child("annotations"), e);
}
