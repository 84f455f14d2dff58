//! Resource names and amounts in requests and limits.

use super::super::tree::*;
use orc_core::quantity::Quantity;
use orc_core::validation::{FieldErrors, FieldPath, Shown, names};
use serde_json::Value;

/// The amount in a JSON value; none where it is not a quantity.
pub fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text.trim()).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        Value::Null => Some(Quantity::ZERO),
        _ => None,
    }
}

/// Whether a name is one of Kubernetes' own: without prefix, or under `kubernetes.io/`.
pub fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether a resource may only be requested whole and up to its limit.
pub fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && names::qualified_name(&format!("requests.{name}")).is_empty()
}

/// Whether a name is a size of huge pages.
pub fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

const STANDARD: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.loadbalancers",
    "services.nodeports",
    "storage",
    "requests.storage",
];

/// Checks that a name is a resource of any kind.
pub fn resource_name(name: &str, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let before = e.len();
    e.each(path, name, names::qualified_name(name));
    let standard = STANDARD.contains(&name) || is_huge_page(name) || name.starts_with("requests.hugepages-");
    if e.len() == before && !name.contains('/') && !standard {
        e.invalid(path, name, "must be a standard resource type or fully qualified");
    }
}

fn container_resource_name(name: &str, path: &FieldPath<'_>, e: &mut FieldErrors) {
    resource_name(name, path, e);
    if !name.contains('/') {
        if !(["cpu", "memory", "ephemeral-storage"].contains(&name) || is_huge_page(name)) {
            e.invalid(path, name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        e.invalid(path, name, "doesn't follow extended resource name standard");
    }
}

/// Checks an amount: not negative, and whole where the resource is counted.
pub fn amount(name: &str, amount: Quantity, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if amount.sign() < 0 {
        e.invalid(path, amount.to_string(), NEGATIVE);
    }
    let counted = [
        "pods",
        "services",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    ];
    if (counted.contains(&name) || is_extended(name)) && amount.milli_value() % 1000 != 0 {
        e.invalid(path, Shown::from(amount.to_string()), "must be an integer");
    }
}

/// Which resources a spec may name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A container.
    Container,
    /// A whole pod.
    Pod,
}

/// Checks requests and limits; `claims` are the pod's resource claims.
pub fn requirements(resources: &Value, level: Level, claims: &[&str], path: &FieldPath<'_>, e: &mut FieldErrors) {
    let (limits, requests) = (path.child("limits"), path.child("requests"));
    let mut huge_without = false;
    let mut computes = false;
    for (name, value) in entries(resources, "limits") {
        let at = limits.key(name);
        named(name, level, &at, e);
        if let Some(q) = quantity(value) {
            amount(name, q, &at, e);
        }
        huge_without |= is_huge_page(name);
        computes |= ["cpu", "memory"].contains(&name);
        if let Some(q) = quantity(value)
            && is_huge_page(name)
        {
            whole_pages(name, q, &at, e);
        }
    }
    for (name, value) in entries(resources, "requests") {
        let at = requests.key(name);
        named(name, level, &at, e);
        let Some(q) = quantity(value) else { continue };
        amount(name, q, &at, e);
        huge_without |= is_huge_page(name);
        computes |= ["cpu", "memory"].contains(&name);
        let limit = get(resources, "limits").get(name).and_then(quantity);
        compare(name, q, limit, path, &requests, e);
    }
    if huge_without && !computes {
        e.forbidden(path, "HugePages require cpu or memory");
    }
    claim_names(resources, claims, &path.child("claims"), e);
}

fn named(name: &str, level: Level, at: &FieldPath<'_>, e: &mut FieldErrors) {
    match level {
        Level::Container => container_resource_name(name, at, e),
        Level::Pod if ["cpu", "memory"].contains(&name) || is_huge_page(name) => {}
        Level::Pod => {
            e.add(orc_core::validation::FieldError::not_supported(at, name, &["cpu", "hugepages-", "memory"]))
        }
    }
}

/// Huge pages come in whole pages.
fn whole_pages(name: &str, amount: Quantity, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let size = name.strip_prefix("hugepages-").and_then(|s| Quantity::parse(s).ok());
    match size {
        Some(size) if size.value() > 0 && amount.value() % size.value() != 0 => {
            e.invalid(path, amount.to_string(), "must be a multiple of the page size");
        }
        _ => {}
    }
}

fn compare(
    name: &str,
    request: Quantity,
    limit: Option<Quantity>,
    path: &FieldPath<'_>,
    requests: &FieldPath<'_>,
    e: &mut FieldErrors,
) {
    // Resources that are never overcommitted: extended ones and huge pages.
    let exact = is_extended(name) || is_huge_page(name);
    match limit {
        Some(limit) if exact && request != limit => {
            e.invalid(requests, request.to_string(), format!("must be equal to {name} limit of {limit}"));
        }
        Some(limit) if !exact && request > limit => {
            e.invalid(requests, request.to_string(), format!("must be less than or equal to {name} limit of {limit}"));
        }
        None if exact => e.required(&path.child("limits"), "Limit must be set for non overcommitable resources"),
        _ => {}
    }
}

fn claim_names(resources: &Value, known: &[&str], path: &FieldPath<'_>, e: &mut FieldErrors) {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (i, claim) in list(resources, "claims").iter().enumerate() {
        let at = path.index(i);
        let (name, request) = (text(claim, "name"), text(claim, "request"));
        if name.is_empty() {
            e.required(&at.child("name"), "");
        } else if seen.contains(&(name, request)) {
            e.duplicate(&at, name);
        } else {
            if !known.contains(&name) {
                let mut error = orc_core::validation::FieldError::not_found(&at, name);
                error.detail = match known {
                    [] => "must be one of the names in pod.spec.resourceClaims which is empty".to_owned(),
                    some => format!("must be one of the names in pod.spec.resourceClaims: {}", some.join(", ")),
                };
                e.add(error);
            }
            seen.push((name, request));
        }
    }
}
