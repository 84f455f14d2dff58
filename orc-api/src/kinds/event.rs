//! Events, as the core group and as `events.k8s.io` show them.
//!
//! Both are one storage resource; the newer group says `regarding`, `note` and `deprecated...` for `involvedObject`,
//! `message` and the old counters, and checks more.

use super::rules::Kind;
use super::tree::*;
use orc_core::validation::{FieldErrors, FieldPath, names};
use serde_json::Value;

/// The rules of `events` in the core group's form.
pub(super) static CORE: Kind = Kind {
    create_on_update: true,
    // Only the newer group checks names beyond what a path can hold.
    name: names::path_segment,
    validate: |event, e| legacy(event, "reportingComponent", e),
    validate_update: |event, _, e| legacy(event, "reportingComponent", e),
    ..Kind::NAMESPACED
};

/// The rules of `events` in the form of `events.k8s.io/v1`.
pub(super) static NEW: Kind =
    Kind { name: names::dns1123_subdomain, validate: strict, validate_update: strict_update, ..CORE };

/// The value under the field's name in either group.
fn either<'a>(event: &'a Value, field: &str, newer: &str) -> &'a Value {
    let value = get(event, field);
    if value.is_null() { get(event, newer) } else { value }
}

fn message(event: &Value) -> &str {
    either(event, "message", "note").as_str().unwrap_or("")
}

fn involved(event: &Value) -> &Value {
    either(event, "involvedObject", "regarding")
}

fn legacy(event: &Value, reporter: &str, e: &mut FieldErrors) {
    let namespace = text(get(event, "metadata"), "namespace");
    let other = text(involved(event), "namespace");
    let path = FieldPath::new("involvedObject");
    // An event of the newer form may be about something in another namespace.
    let agree = match (has(event, "eventTime"), other) {
        (true, "") => ["default", "kube-system"].contains(&namespace),
        (false, "") => ["", "default"].contains(&namespace),
        (newer, other) => newer || namespace == other,
    };
    if !agree {
        e.invalid(&path.child("namespace"), other, "does not match event.namespace");
    }
    if has(event, "eventTime") {
        let name = either(event, "reportingController", "reportingComponent").as_str().unwrap_or("");
        let path = FieldPath::new(reporter);
        if name.is_empty() {
            e.required(&path, "");
        }
        e.each(&path, name, names::qualified_name(name));
        for field in ["reportingInstance", "action", "reason"] {
            bounded(text(event, field), field, 128, true, e);
        }
        bounded(message(event), "message", 1024, false, e);
    }
    e.each(&FieldPath::new("namespace"), namespace, names::dns1123_subdomain(namespace));
}

fn bounded(value: &str, field: &str, limit: usize, must: bool, e: &mut FieldErrors) {
    let path = FieldPath::new(field);
    if must && value.is_empty() {
        e.required(&path, "");
    }
    if value.len() > limit {
        e.invalid(&path, "", format!("can have at most {limit} characters"));
    }
}

fn strict(event: &Value, e: &mut FieldErrors) {
    legacy(event, "reportingController", e);
    series(event, e);
    if !has(event, "eventTime") {
        e.required(&FieldPath::new("eventTime"), "");
    }
    let kind = text(event, "type");
    if !["Normal", "Warning"].contains(&kind) {
        e.invalid(&FieldPath::new("type"), "", format!("has invalid value: {kind}"));
    }
    const OLD: &[(&str, &str)] = &[
        ("firstTimestamp", "deprecatedFirstTimestamp"),
        ("lastTimestamp", "deprecatedLastTimestamp"),
        ("count", "deprecatedCount"),
        ("source", "deprecatedSource"),
    ];
    for (field, newer) in OLD {
        if !empty(either(event, field, newer)) {
            e.invalid(&FieldPath::new(field), "", "needs to be unset");
        }
    }
}

fn series(event: &Value, e: &mut FieldErrors) {
    if !has(event, "series") {
        return;
    }
    let (series, path) = (get(event, "series"), FieldPath::new("series"));
    if int(series, "count").unwrap_or(0) < 2 {
        e.invalid(&path.child("count"), "", "should be at least 2");
    }
    if !has(series, "lastObservedTime") {
        e.required(&path.child("lastObservedTime"), "");
    }
}

fn strict_update(new: &Value, old: &Value, e: &mut FieldErrors) {
    const FIXED: &[(&str, &str)] = &[
        ("involvedObject", "regarding"),
        ("reason", "reason"),
        ("message", "note"),
        ("source", "deprecatedSource"),
        ("firstTimestamp", "deprecatedFirstTimestamp"),
        ("lastTimestamp", "deprecatedLastTimestamp"),
        ("count", "deprecatedCount"),
        ("type", "type"),
    ];
    legacy(new, "reportingController", e);
    if !same(get(new, "series"), get(old, "series")) {
        series(new, e);
    }
    for (field, newer) in FIXED {
        e.immutable(&FieldPath::new(field), either(new, field, newer), either(old, field, newer));
    }
    for field in ["eventTime", "action", "related", "reportingController", "reportingInstance"] {
        e.immutable(&FieldPath::new(field), get(new, field), get(old, field));
    }
}
