//! Leases.

use super::rules::Kind;
use super::tree::*;
use orc_core::validation::{FieldErrors, FieldPath};
use serde_json::Value;

/// The rules of `leases.coordination.k8s.io`.
pub(super) static LEASE: Kind =
    Kind { create_on_update: true, unconditional_update: false, validate, validate_update: |new, _, e| validate(new, e), ..Kind::NAMESPACED };

fn validate(lease: &Value, e: &mut FieldErrors) {
    let (spec, path) = (get(lease, "spec"), FieldPath::new("spec"));
    if let Some(seconds) = int(spec, "leaseDurationSeconds").filter(|s| *s <= 0) {
        e.invalid(&path.child("leaseDurationSeconds"), seconds, "must be greater than 0");
    }
    e.not_negative(&path.child("leaseTransitions"), int(spec, "leaseTransitions"));
    if has(spec, "strategy") && text(spec, "strategy").is_empty() {
        e.invalid(&path.child("strategy"), "", "must not be empty");
    }
    if has(spec, "holderIdentity") && text(spec, "holderIdentity").is_empty() {
        e.invalid(&path.child("holderIdentity"), "", "must not be empty");
    }
}
