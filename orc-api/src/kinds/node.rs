//! Nodes.

use super::pod_spec::resources;
use super::rules::{Generation, Kind};
use super::tree::*;
use orc_core::validation::{FieldError, FieldErrors, FieldPath, Shown, ip, names};
use serde_json::Value;

/// The rules of `nodes`.
pub(super) static NODE: Kind = Kind {
    status: true,
    status_on_create: true,
    generation: Generation::None,
    default,
    validate,
    validate_update,
    validate_sub,
    ..Kind::CLUSTER
};

fn default(node: &mut Value) {
    if let Some(status) = child(node, "status").filter(|s| !has(s, "allocatable") && has(s, "capacity")) {
        let capacity = get(status, "capacity").clone();
        put(status, "allocatable", capacity);
    }
    // The old single range and the list hold the same.
    if let Some(spec) = child(node, "spec") {
        let (one, many) = (text(spec, "podCIDR").to_owned(), texts(spec, "podCIDRs").first().map(|s| s.to_string()));
        match many {
            None if !one.is_empty() => put(spec, "podCIDRs", vec![Value::from(one)]),
            Some(first) if one.is_empty() => put(spec, "podCIDR", first),
            _ => {}
        }
    }
}

fn validate(node: &Value, e: &mut FieldErrors) {
    let meta = FieldPath::new("metadata");
    let spec = get(node, "spec");
    taints(list(spec, "taints"), &meta.child("taints"), e);
    amounts(node, e);
    pod_ranges(spec, e);
}

fn amounts(node: &Value, e: &mut FieldErrors) {
    let status = FieldPath::new("status");
    for side in ["capacity", "allocatable"] {
        let path = status.child(side);
        for (name, value) in entries(get(node, "status"), side) {
            resources::resource_name(name, &path.key(name), e);
            if let Some(amount) = resources::quantity(value) {
                resources::amount(name, amount, &path.key(name), e);
            }
        }
    }
}

fn taints(all: &[Value], path: &FieldPath<'_>, e: &mut FieldErrors) {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (i, taint) in all.iter().enumerate() {
        let at = path.index(i);
        let (key, effect, value) = (text(taint, "key"), text(taint, "effect"), text(taint, "value"));
        e.each(&at.child("key"), key, names::qualified_name(key));
        let broken = names::label_value(value);
        if !broken.is_empty() {
            e.invalid(&at.child("value"), value, broken.join(";"));
        }
        match effect {
            "" => e.required(&at.child("effect"), ""),
            other => e.supported(&at.child("effect"), other, &["NoSchedule", "PreferNoSchedule", "NoExecute"]),
        }
        if seen.contains(&(effect, key)) {
            let mut error = FieldError::duplicate(&at, Shown::from(taint));
            error.detail = "taints must be unique by key and effect pair".to_owned();
            e.add(error);
        }
        seen.push((effect, key));
    }
}

fn pod_ranges(spec: &Value, e: &mut FieldErrors) {
    let path = FieldPath::new("spec");
    let at = path.child("podCIDRs");
    let ranges = texts(spec, "podCIDRs");
    for (i, range) in ranges.iter().enumerate() {
        e.each(&at.index(i), range, ip::cidr(range));
    }
    if ranges.len() > 1 {
        let families: Vec<bool> =
            ranges.iter().filter_map(|r| ip::parse_cidr_sloppy(r)).map(|(a, _)| ip::is_v4(a)).collect();
        let dual = ranges.len() == 2 && families.len() == 2 && families[0] != families[1];
        if !dual {
            let rule = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
            e.invalid(&at, get(spec, "podCIDRs"), rule);
        }
    }
}

fn validate_update(new: &Value, old: &Value, e: &mut FieldErrors) {
    let (spec, was) = (get(new, "spec"), get(old, "spec"));
    let path = FieldPath::new("spec");
    pod_ranges(spec, e);
    if !list(was, "podCIDRs").is_empty() && !same(get(was, "podCIDRs"), get(spec, "podCIDRs")) {
        e.forbidden(&path.child("podCIDRs"), "node updates may not change podCIDR except from \"\" to valid");
    }
    let id = text(was, "providerID");
    if !id.is_empty() && id != text(spec, "providerID") {
        e.forbidden(&path.child("providerID"), "node updates may not change providerID except from \"\" to valid");
    }
    let meta = FieldPath::new("metadata");
    taints(list(spec, "taints"), &meta.child("taints"), e);
    for field in ["configSource"] {
        if has(spec, field) && !same(get(spec, field), get(was, field)) {
            e.forbidden(&path.child(field), "configSource is deprecated and may not be set");
        }
    }
}

fn validate_sub(new: &Value, _old: &Value, _sub: &str, e: &mut FieldErrors) {
    amounts(new, e);
    let mut seen: Vec<&Value> = Vec::new();
    let status = FieldPath::new("status");
    let path = status.child("addresses");
    for (i, address) in list(get(new, "status"), "addresses").iter().enumerate() {
        if seen.contains(&address) {
            e.duplicate(&path.index(i), address);
        }
        seen.push(address);
    }
}
