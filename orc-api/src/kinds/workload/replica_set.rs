//! Replica sets and replication controllers.

use super::super::rules::Kind;
use super::super::tree::*;
use super::*;
use std::collections::BTreeMap;

/// The rules of `replicasets.apps`.
pub(in crate::kinds) static REPLICA_SET: Kind = Kind {
    default,
    validate: |object, e| set(get(object, "spec"), e),
    validate_update: |new, old, e| {
        set(get(new, "spec"), e);
        e.immutable(&SPEC.child("selector"), at(new, "spec.selector"), at(old, "spec.selector"));
    },
    validate_sub: |new, _, _, e| status(get(new, "status"), e),
    warnings: super::super::warnings::workload,
    ..Kind::NAMESPACED.with_status()
};

/// The rules of `replicationcontrollers`.
pub(in crate::kinds) static REPLICATION_CONTROLLER: Kind = Kind {
    default: controller_default,
    validate: |object, e| controller(get(object, "spec"), e),
    validate_update: |new, _, e| controller(get(new, "spec"), e),
    validate_sub: |new, _, _, e| status(get(new, "status"), e),
    warnings: super::super::warnings::workload,
    ..Kind::NAMESPACED.with_status()
};

fn default(object: &mut Value) {
    put_default(ensure(object, "spec"), "replicas", 1);
    default_template(object);
}

/// A controller without selector or labels takes both from its template.
fn controller_default(object: &mut Value) {
    let labels = at(object, "spec.template.metadata.labels").clone();
    if labels.as_object().is_some_and(|l| !l.is_empty()) {
        let spec = ensure(object, "spec");
        if empty(get(spec, "selector")) {
            put(spec, "selector", labels.clone());
        }
        let metadata = ensure(object, "metadata");
        if empty(get(metadata, "labels")) {
            put(metadata, "labels", labels);
        }
    }
    default(object);
}

fn set(spec: &Value, e: &mut FieldErrors) {
    e.not_negative(&SPEC.child("replicas"), int(spec, "replicas"));
    e.not_negative(&SPEC.child("minReadySeconds"), int(spec, "minReadySeconds"));
    selector_and_template(spec, Some("empty selector is invalid for deployment"), true, e);
    match orc_core::labels::Selector::from_value(get(spec, "selector")) {
        Ok(selector) => {
            template_matches(spec, &selector, e);
            always_template(spec, e);
        }
        Err(_) => e.invalid(&SPEC.child("selector"), get(spec, "selector"), "invalid label selector"),
    }
}

fn controller(spec: &Value, e: &mut FieldErrors) {
    e.not_negative(&SPEC.child("minReadySeconds"), int(spec, "minReadySeconds"));
    let map: BTreeMap<String, String> =
        entries(spec, "selector").map(|(k, v)| (k.to_owned(), v.as_str().unwrap_or("").to_owned())).collect();
    if map.is_empty() {
        e.required(&SPEC.child("selector"), "");
    }
    match int(spec, "replicas") {
        None => e.required(&SPEC.child("replicas"), ""),
        replicas => e.not_negative(&SPEC.child("replicas"), replicas),
    }
    if !has(spec, "template") {
        return e.required(&SPEC.child("template"), "");
    }
    let labels = at(spec, "template.metadata.labels");
    let template = SPEC.child("template");
    let metadata = template.child("metadata");
    if !map.iter().all(|(k, v)| labels.get(k).and_then(Value::as_str) == Some(v)) {
        e.invalid(&metadata.child("labels"), labels, "`selector` does not match template `labels`");
    }
    always_template(spec, e);
}

fn status(status: &Value, e: &mut FieldErrors) {
    counters(
        status,
        &["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"],
        e,
    );
    let over = "cannot be greater than status.replicas";
    at_most(status, "fullyLabeledReplicas", "replicas", over, e);
    at_most(status, "readyReplicas", "replicas", over, e);
    at_most(status, "availableReplicas", "replicas", over, e);
    at_most(status, "availableReplicas", "readyReplicas", "cannot be greater than readyReplicas", e);
}
