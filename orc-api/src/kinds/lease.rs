//! Leases.

use super::rules::Kind;
use super::tree::*;
use orc_core::validation::{FieldErrors, FieldPath};
use serde_json::Value;

/// The rules of `leases.coordination.k8s.io`.
pub(super) static LEASE: Kind = Kind {
    create_on_update: true,
    unconditional_update: false,
    prepare_create: drop_gated,
    prepare_update: |new, _| drop_gated(new),
    validate,
    validate_update: |new, _, e| validate(new, e),
    ..Kind::NAMESPACED
};

/// Fields of coordinated leader election, which is behind a gate that is off.
fn drop_gated(lease: &mut Value) {
    if let Some(spec) = child(lease, "spec") {
        remove(spec, "strategy");
        remove(spec, "preferredHolder");
    }
}

fn validate(lease: &Value, e: &mut FieldErrors) {
    let (spec, path) = (get(lease, "spec"), FieldPath::new("spec"));
    if let Some(seconds) = int(spec, "leaseDurationSeconds").filter(|s| *s <= 0) {
        e.invalid(&path.child("leaseDurationSeconds"), seconds, "must be greater than 0");
    }
    e.not_negative(&path.child("leaseTransitions"), int(spec, "leaseTransitions"));
}
