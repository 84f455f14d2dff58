//! Checks of label selectors in specs.

use super::super::tree::*;
use orc_core::validation::{FieldErrors, FieldPath, names};
use serde_json::Value;

/// Checks a `LabelSelector`; null is fine.
pub fn label_selector(selector: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let labels = path.child("matchLabels");
    super::super::meta::labels(get(selector, "matchLabels"), &labels, e);
    let expressions = path.child("matchExpressions");
    for (i, requirement) in list(selector, "matchExpressions").iter().enumerate() {
        label_requirement(requirement, &expressions.index(i), e);
    }
}

fn label_requirement(requirement: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let values = texts(requirement, "values");
    match text(requirement, "operator") {
        "In" | "NotIn" => {
            if values.is_empty() {
                e.required(&path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
        }
        "Exists" | "DoesNotExist" => {
            if !values.is_empty() {
                e.forbidden(
                    &path.child("values"),
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                );
            }
        }
        other => e.invalid(&path.child("operator"), other, "not a valid selector operator"),
    }
    let key = text(requirement, "key");
    e.each(&path.child("key"), key, names::qualified_name(key));
    let at = path.child("values");
    for (i, value) in values.iter().enumerate() {
        e.each(&at.index(i), value, names::label_value(value));
    }
}

/// Whether a label selector has neither labels nor expressions.
pub fn selects_all(selector: &Value) -> bool {
    list(selector, "matchExpressions").is_empty() && entries(selector, "matchLabels").next().is_none()
}
