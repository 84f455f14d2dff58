//! Selectors of devices: CEL expressions over what a driver says of a device.
//!
//! The rules of `validateCELSelector` in Kubernetes' `pkg/apis/resource/validation`; the variable `device` as
//! `k8s.io/dynamic-resource-allocation/cel` declares it.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use super::tree::*;
use crate::cel::{Environment, ObjectType, Opaque, Program, Type};
use orc_core::validation::{FieldError, FieldErrors, FieldPath};
use serde_json::Value;

/// Selectors of one request or class.
const MAX: usize = 32;
/// Characters of an expression.
const MAX_LENGTH: usize = 10 * 1024;
/// What one evaluation may cost at most.
const MAX_COST: u64 = 1_000_000;
/// Attributes and capacities of a device, together.
const MAX_ATTRIBUTES: u64 = 32;
/// Characters of a domain, and of a driver's name.
const MAX_DOMAIN: u64 = 63;
/// Characters of a name in a domain.
const MAX_NAME: u64 = 32;

static DEVICE: LazyLock<Environment> = LazyLock::new(|| {
    let map = |key: u64, value: Type| Type::Map(Arc::new(Type::String(key)), Arc::new(value), MAX_ATTRIBUTES);
    let by_domain = |value: Type| map(MAX_DOMAIN, map(MAX_NAME, value));
    let fields = [
        ("driver", Type::String(MAX_DOMAIN)),
        ("attributes", by_domain(Type::Dyn)),
        ("capacity", by_domain(Type::Opaque(Opaque::Quantity))),
        ("allowMultipleAllocations", Type::Bool),
    ];
    let fields: BTreeMap<String, Type> = fields.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect();
    Environment::new()
        .with("device", Type::Object(Arc::new(ObjectType { name: "kubernetes.DRADevice".into(), fields })))
});

/// Checks `selectors` of a device request or class.
pub(super) fn selectors(owner: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let (all, path) = (list(owner, "selectors"), path.child("selectors"));
    if all.len() > MAX {
        return e.add(FieldError::too_many(&path, all.len(), MAX));
    }
    for (i, selector) in all.iter().enumerate() {
        let at = path.index(i);
        let here = at.child("cel");
        if has(selector, "cel") {
            expression(text(get(selector, "cel"), "expression"), &here.child("expression"), e);
        } else {
            e.required(&here, "");
        }
    }
}

fn expression(source: &str, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if source.len() > MAX_LENGTH {
        return e.add(FieldError::too_long(path, MAX_LENGTH));
    }
    match Program::compile(source, &DEVICE) {
        Err(error) => e.invalid(path, source, format!("compilation failed: {error}")),
        Ok(program) if !matches!(program.kind(), Type::Bool | Type::Dyn) => {
            e.invalid(path, source, "must evaluate to bool or the unknown type");
        }
        Ok(program) if program.estimated_cost() > MAX_COST => {
            e.forbidden(path, "too complex, exceeds cost limit");
        }
        Ok(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wrong(source: &str) -> String {
        let mut errors = FieldErrors::new();
        let path = FieldPath::new("spec");
        selectors(&json!({"selectors": [{"cel": {"expression": source}}]}), &path, &mut errors);
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn expressions_are_compiled_against_a_device() {
        assert_eq!(wrong("device.driver == 'a' && device.attributes['d'].model == 'x'"), "");
        assert_eq!(wrong("device.capacity['d'].memory.compareTo(quantity('1Gi')) >= 0"), "");
        assert!(wrong("device.zap").contains("compilation failed: "));
        assert!(wrong("device.driver").contains("must evaluate to bool"));
    }
}
