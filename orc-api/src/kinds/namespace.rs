//! Namespaces.

use super::rules::{Kind, keep};
use super::tree::*;
use orc_core::validation::{FieldErrors, FieldPath, names};
use serde_json::{Value, json};

/// The rules of `namespaces`.
pub(super) static NAMESPACE: Kind = Kind {
    status: true,
    name: names::dns1123_label,
    default,
    prepare_create,
    prepare_update,
    prepare_sub,
    validate,
    validate_sub,
    ..Kind::CLUSTER
};

const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Every namespace can be selected by its name.
fn default(namespace: &mut Value) {
    let name = text(get(namespace, "metadata"), "name").to_owned();
    if !name.is_empty() {
        put(ensure(ensure(namespace, "metadata"), "labels"), NAME_LABEL, name);
    }
}

fn prepare_create(namespace: &mut Value) {
    default(namespace);
    put(namespace, "status", json!({"phase": "Active"}));
    let spec = ensure(namespace, "spec");
    let mut finalizers = list(spec, "finalizers").to_vec();
    if !finalizers.iter().any(|f| f == "kubernetes") {
        finalizers.push("kubernetes".into());
    }
    put(spec, "finalizers", finalizers);
}

fn prepare_update(new: &mut Value, old: &Value) {
    keep(new, old, "spec");
    keep(new, old, "status");
}

fn prepare_sub(new: &mut Value, old: &Value, sub: &str) {
    if sub == "finalize" {
        keep(new, old, "status");
    }
}

fn finalizers(namespace: &Value, e: &mut FieldErrors) {
    let spec = FieldPath::new("spec");
    let path = spec.child("finalizers");
    for name in texts(get(namespace, "spec"), "finalizers") {
        super::meta::finalizer_name(name, &path, e);
    }
}

fn validate(namespace: &Value, e: &mut FieldErrors) {
    finalizers(namespace, e);
}

fn validate_sub(new: &Value, _old: &Value, sub: &str, e: &mut FieldErrors) {
    if sub == "finalize" {
        return finalizers(new, e);
    }
    let status = FieldPath::new("status");
    let path = status.child("Phase");
    let phase = text(get(new, "status"), "phase");
    let deleting = has(get(new, "metadata"), "deletionTimestamp");
    if !deleting && phase != "Active" {
        e.invalid(&path, phase, "may only be 'Active' if `deletionTimestamp` is empty");
    } else if deleting && phase != "Terminating" {
        e.invalid(&path, phase, "may only be 'Terminating' if `deletionTimestamp` is not empty");
    }
}
