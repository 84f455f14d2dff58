//! What the schema of a definition may say.
//!
//! The texts and paths are Kubernetes' own. Three steps, each only when those before found nothing, as a schema that
//! breaks an earlier one would be reported twice by a later one:
//! `nodes` (what no schema may hold), `structure` (every field is described outside of logical parts), and the
//! defaults, which must be pruned and valid themselves. CEL rules are compiled by [`crate::custom::rules`].

mod lists;
mod nested;
mod nodes;
mod structure;

use super::schema::Schema;
use super::{prune, validate};
use crate::kinds::tree::{Errors, flag};
use orc_core::validation::{FieldErrors, FieldPath};
use serde_json::Value;

/// Checks an `openAPIV3Schema` that stands at `path`; CEL rules excepted.
pub fn check(schema: &Value, path: &FieldPath<'_>) -> FieldErrors {
    let mut errors = FieldErrors::new();
    if flag(schema, "nullable") {
        errors.forbidden(&path.child("nullable"), "nullable cannot be true at the root");
    }
    nodes::check(schema, path, &mut errors);
    if !errors.is_empty() {
        return errors;
    }
    structure::check(schema, path, &mut errors);
    if !errors.is_empty() {
        errors.sort_by_key(ToString::to_string);
        return errors;
    }
    match Schema::parse(schema) {
        Ok(tree) => defaults(&tree, path, false, &mut errors),
        Err(error) => errors.invalid(path, "", error.to_string()),
    }
    errors
}

/// Each default must be pruned, and valid where it stands. Defaults inside metadata are only checked by type.
fn defaults(schema: &Schema, path: &FieldPath<'_>, inside_meta: bool, e: &mut FieldErrors) {
    if let Some(preset) = &schema.default {
        let here = path.child("default");
        let mut pruned = preset.clone();
        prune::prune(&mut pruned, schema, schema.embedded);
        if !inside_meta && pruned != *preset {
            e.invalid(&here, preset, "must not have unknown fields");
        }
        let embedded = validate::validate_embedded(preset, schema, Some(&here));
        match embedded.is_empty() {
            true => e.extend(validate::validate_default(preset, schema, &here)),
            false => e.extend(embedded),
        }
    }
    if let Some(items) = &schema.items {
        defaults(items, &path.child("items"), inside_meta, e);
    }
    let properties = path.child("properties");
    for (name, inner) in &schema.properties {
        let meta = schema.embedded && matches!(name.as_str(), "metadata" | "apiVersion" | "kind");
        defaults(inner, &properties.key(name), inside_meta || meta, e);
    }
}
