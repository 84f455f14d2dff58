//! Checks of affinity and of the node selectors that persistent volumes use too.

use super::super::tree::*;
use super::labels::label_selector;
use orc_core::validation::{FieldErrors, FieldPath, names};
use serde_json::Value;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Checks `affinity`; null is fine.
pub(super) fn affinity(value: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if has(value, "nodeAffinity") {
        let (node, at) = (get(value, "nodeAffinity"), path.child("nodeAffinity"));
        if has(node, REQUIRED) {
            node_selector(get(node, REQUIRED), &at.child(REQUIRED), e);
        }
        let all = at.child(PREFERRED);
        for (i, term) in list(node, PREFERRED).iter().enumerate() {
            let here = all.index(i);
            weight(term, &here, e);
            node_selector_term(get(term, "preference"), &here.child("preference"), e);
        }
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let (pods, at) = (get(value, kind), path.child(kind));
        let required = at.child(REQUIRED);
        for (i, term) in list(pods, REQUIRED).iter().enumerate() {
            pod_term(term, &required.index(i), e);
        }
        let preferred = at.child(PREFERRED);
        for (i, term) in list(pods, PREFERRED).iter().enumerate() {
            let here = preferred.index(i);
            weight(term, &here, e);
            pod_term(get(term, "podAffinityTerm"), &here.child("podAffinityTerm"), e);
        }
    }
}

fn weight(term: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let weight = int(term, "weight").unwrap_or(0);
    if !(1..=100).contains(&weight) {
        e.invalid(&path.child("weight"), weight, "must be in the range 1-100");
    }
}

/// Checks a node selector.
pub fn node_selector(selector: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let (terms, at) = (list(selector, "nodeSelectorTerms"), path.child("nodeSelectorTerms"));
    if terms.is_empty() {
        return e.required(&at, "must have at least one node selector term");
    }
    for (i, term) in terms.iter().enumerate() {
        node_selector_term(term, &at.index(i), e);
    }
}

/// Checks one term of a node selector.
pub fn node_selector_term(term: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let all = path.child("matchExpressions");
    for (i, requirement) in list(term, "matchExpressions").iter().enumerate() {
        node_requirement(requirement, &all.index(i), e);
    }
    let all = path.child("matchFields");
    for (i, requirement) in list(term, "matchFields").iter().enumerate() {
        node_field(requirement, &all.index(i), e);
    }
}

fn node_requirement(requirement: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let values = texts(requirement, "values");
    let at = path.child("values");
    match text(requirement, "operator") {
        "In" | "NotIn" => {
            if values.is_empty() {
                e.required(&at, "must be specified when `operator` is 'In' or 'NotIn'");
            }
        }
        "Exists" | "DoesNotExist" => {
            if !values.is_empty() {
                e.forbidden(&at, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
        }
        "Gt" | "Lt" => {
            if values.len() != 1 {
                e.required(&at, "must be specified single value when `operator` is 'Lt' or 'Gt'");
            }
        }
        other => e.invalid(&path.child("operator"), other, "not a valid selector operator"),
    }
    let key = text(requirement, "key");
    e.each(&path.child("key"), key, names::qualified_name(key));
    for (i, value) in values.iter().enumerate() {
        e.each(&at.index(i), value, names::label_value(value));
    }
}

fn node_field(requirement: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let values = texts(requirement, "values");
    match text(requirement, "operator") {
        "In" | "NotIn" => {
            if values.len() != 1 {
                let rule = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                e.required(&path.child("values"), rule);
            }
        }
        other => e.invalid(&path.child("operator"), other, "not a valid selector operator"),
    }
    let at = path.child("values");
    match text(requirement, "key") {
        "metadata.name" => {
            for (i, value) in values.iter().enumerate() {
                e.each(&at.index(i), value, names::dns1123_subdomain(value));
            }
        }
        other => e.invalid(&path.child("key"), other, "not a valid field selector key"),
    }
}

fn pod_term(term: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    label_selector(get(term, "labelSelector"), &path.child("labelSelector"), e);
    label_selector(get(term, "namespaceSelector"), &path.child("namespaceSelector"), e);
    let at = path.child("namespaces");
    for (i, name) in texts(term, "namespaces").into_iter().enumerate() {
        e.each(&at.index(i), name, names::dns1123_label(name));
    }
    let selector = !get(term, "labelSelector").is_null();
    for field in ["matchLabelKeys", "mismatchLabelKeys"] {
        let at = path.child(field);
        if !list(term, field).is_empty() && !selector {
            e.forbidden(&at, "must not be specified when labelSelector is not set");
        }
        for (i, key) in texts(term, field).into_iter().enumerate() {
            e.each(&at.index(i), key, names::qualified_name(key));
        }
    }
    let key = text(term, "topologyKey");
    if key.is_empty() {
        e.required(&path.child("topologyKey"), "can not be empty");
    }
    e.each(&path.child("topologyKey"), key, names::qualified_name(key));
}
