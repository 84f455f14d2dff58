//! Kinds that configure the API server itself: flow control, API services, device claims.

use super::device_selector;
use super::rules::{Generation, Kind};
use super::tree::*;
use orc_core::validation::{FieldErrors, FieldPath, names};
use serde_json::Value;
use std::collections::BTreeSet;

const SPEC: FieldPath<'static> = FieldPath::new("spec");

/// The rules of `flowschemas`.
pub(super) static FLOW_SCHEMA: Kind = Kind {
    default: |object| put_number(ensure(object, "spec"), "matchingPrecedence", 1000),
    validate: |object, e| flow(get(object, "spec"), e),
    validate_update: |new, _, e| flow(get(new, "spec"), e),
    ..Kind::CLUSTER.with_status()
};

/// The rules of `prioritylevelconfigurations`.
pub(super) static PRIORITY_LEVEL: Kind = Kind {
    default: level_default,
    validate: level,
    validate_update: |new, _, e| level(new, e),
    ..Kind::CLUSTER.with_status()
};

/// The rules of `apiservices`.
pub(super) static API_SERVICE: Kind = Kind {
    // The core group's is `v1.`, which is no DNS name.
    name: names::path_segment,
    status: true,
    unconditional_update: false,
    default: |object| {
        if let Some(service) = child_at(object, "spec.service") {
            put_default(service, "port", 443);
        }
    },
    validate: api_service,
    validate_update: |new, _, e| api_service(new, e),
    ..Kind::CLUSTER
};

/// The rules of `resourceclaims`.
pub(super) static RESOURCE_CLAIM: Kind = Kind {
    status: true,
    default: |object| devices_default(ensure(object, "spec")),
    validate: |object, e| devices(get(object, "spec"), &SPEC, e),
    validate_update: |new, old, e| e.immutable(&SPEC, get(new, "spec"), get(old, "spec")),
    ..Kind::NAMESPACED
};

/// The rules of `resourceclaimtemplates`.
pub(super) static RESOURCE_CLAIM_TEMPLATE: Kind = Kind {
    default: |object| devices_default(ensure(ensure(object, "spec"), "spec")),
    validate: |object, e| devices(at(object, "spec.spec"), &SPEC.child("spec"), e),
    validate_update: |new, old, e| e.immutable(&SPEC, get(new, "spec"), get(old, "spec")),
    ..Kind::NAMESPACED
};

/// The rules of `deviceclasses`.
pub(super) static DEVICE_CLASS: Kind = Kind {
    validate: |object, e| device_selector::selectors(get(object, "spec"), &SPEC, e),
    validate_update: |new, _, e| device_selector::selectors(get(new, "spec"), &SPEC, e),
    ..Kind::CLUSTER.with_generation(Generation::Spec)
};

fn flow(spec: &Value, e: &mut FieldErrors) {
    let precedence = int(spec, "matchingPrecedence").unwrap_or(0);
    let path = SPEC.child("matchingPrecedence");
    if precedence <= 0 {
        e.invalid(&path, precedence, "must be a positive value");
    } else if precedence > 10_000 {
        e.invalid(&path, precedence, "must not be greater than 10000");
    }
    if has(spec, "distinguisherMethod") {
        let here = SPEC.child("distinguisherMethod");
        e.supported(&here.child("type"), text(get(spec, "distinguisherMethod"), "type"), &["ByNamespace", "ByUser"]);
    }
    let reference = SPEC.child("priorityLevelConfiguration");
    match text(get(spec, "priorityLevelConfiguration"), "name") {
        "" => e.required(&reference.child("name"), "must reference a priority level"),
        name => e.each(&reference.child("name"), name, names::dns1123_subdomain(name)),
    }
    let all = SPEC.child("rules");
    for (i, rule) in list(spec, "rules").iter().enumerate() {
        flow_rule(rule, &all.index(i), e);
    }
}

const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

fn flow_rule(rule: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let subjects = path.child("subjects");
    if list(rule, "subjects").is_empty() {
        e.required(&subjects, "subjects must contain at least one value");
    }
    for (i, subject) in list(rule, "subjects").iter().enumerate() {
        let at = subjects.index(i);
        let (kind, field) = match text(subject, "kind") {
            "ServiceAccount" => ("ServiceAccount", "serviceAccount"),
            "User" => ("User", "user"),
            "Group" => ("Group", "group"),
            other => {
                e.supported(&at.child("kind"), other, &["Group", "ServiceAccount", "User"]);
                continue;
            }
        };
        if !has(subject, field) {
            e.required(&at.child(field), format!("{field} is required when subject kind is '{kind}'"));
        } else if text(get(subject, field), "name").is_empty() {
            e.required(&at.child(field).child("name"), "");
        }
    }
    if list(rule, "resourceRules").is_empty() && list(rule, "nonResourceRules").is_empty() {
        e.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    let all = path.child("resourceRules");
    for (i, inner) in list(rule, "resourceRules").iter().enumerate() {
        let at = all.index(i);
        verbs(inner, &at.child("verbs"), e);
        for field in ["apiGroups", "resources"] {
            if list(inner, field).is_empty() {
                let what = if field == "apiGroups" {
                    "resource rules must supply at least one api group"
                } else {
                    "resource rules must supply at least one resource"
                };
                e.required(&at.child(field), what);
            }
        }
        if list(inner, "namespaces").is_empty() && !flag(inner, "clusterScope") {
            let text = "resource rules that are not cluster scoped must supply at least one namespace";
            e.required(&at.child("namespaces"), text);
        }
    }
    let all = path.child("nonResourceRules");
    for (i, inner) in list(rule, "nonResourceRules").iter().enumerate() {
        let at = all.index(i);
        verbs(inner, &at.child("verbs"), e);
        if list(inner, "nonResourceURLs").is_empty() {
            e.required(&at.child("nonResourceURLs"), "nonResourceURLs must contain at least one value");
        }
    }
}

fn verbs(rule: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let verbs = texts(rule, "verbs");
    if verbs.is_empty() {
        e.required(path, "verbs must contain at least one value");
    } else if verbs.contains(&"*") {
        if verbs.len() > 1 {
            e.invalid(path, get(rule, "verbs"), "if '*' is present, must not specify other verbs");
        }
    } else if verbs.iter().any(|verb| !VERBS.contains(verb)) {
        e.add(orc_core::validation::FieldError::not_supported(path, get(rule, "verbs"), VERBS));
    }
}

fn level_default(object: &mut Value) {
    let version_one = text(object, "apiVersion").ends_with("/v1") || !has(object, "apiVersion");
    if let Some(limited) = child_at(object, "spec.limited").filter(|_| version_one) {
        put_default(limited, "nominalConcurrencyShares", 30);
    }
    if let Some(exempt) = child_at(object, "spec.exempt") {
        put_default(exempt, "nominalConcurrencyShares", 0);
        put_default(exempt, "lendablePercent", 0);
    }
    if let Some(limited) = child_at(object, "spec.limited") {
        put_default(limited, "lendablePercent", 0);
        if let Some(queuing) = child_at(limited, "limitResponse.queuing") {
            for (field, value) in [("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)] {
                put_number(queuing, field, value);
            }
        }
    }
}

fn level(object: &Value, e: &mut FieldErrors) {
    let (spec, name) = (get(object, "spec"), text(get(object, "metadata"), "name"));
    let kind = text(spec, "type");
    let exempt = kind == "Exempt";
    if exempt != (name == "exempt") {
        e.invalid(&SPEC.child("type"), kind, "must be 'Exempt' if and only if `name` is 'exempt'");
    }
    match kind {
        "Exempt" => {
            if has(spec, "limited") {
                e.forbidden(&SPEC.child("limited"), "must be nil if the type is not Limited");
            }
        }
        "Limited" => {
            if has(spec, "exempt") {
                e.forbidden(&SPEC.child("exempt"), "must be nil if the type is Limited");
            }
            if !has(spec, "limited") {
                e.required(&SPEC.child("limited"), "must not be empty when type is Limited");
            } else {
                limited(get(spec, "limited"), &SPEC.child("limited"), e);
            }
        }
        other => e.supported(&SPEC.child("type"), other, &["Exempt", "Limited"]),
    }
}

fn limited(value: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let shares = int(value, "nominalConcurrencyShares").unwrap_or(0);
    if shares < 0 {
        e.invalid(&path.child("nominalConcurrencyShares"), shares, "must be a non-negative integer");
    }
    let (response, at) = (get(value, "limitResponse"), path.child("limitResponse"));
    match text(response, "type") {
        "Reject" => {
            if has(response, "queuing") {
                e.forbidden(&at.child("queuing"), "must be nil if limited.limitResponse.type is not Limited");
            }
        }
        "Queue" => {
            if !has(response, "queuing") {
                e.required(&at.child("queuing"), "must not be empty if limited.limitResponse.type is Limited");
            } else {
                queuing(get(response, "queuing"), &at.child("queuing"), e);
            }
        }
        other => e.supported(&at.child("type"), other, &["Queue", "Reject"]),
    }
    if let Some(percent) = int(value, "lendablePercent").filter(|p| !(0..=100).contains(p)) {
        e.invalid(&path.child("lendablePercent"), percent, "must be between 0 and 100, inclusive");
    }
    if let Some(percent) = int(value, "borrowingLimitPercent").filter(|p| *p < 0) {
        e.invalid(&path.child("borrowingLimitPercent"), percent, "if specified, must be a non-negative integer");
    }
}

fn queuing(value: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let of = |field: &str| int(value, field).unwrap_or(0);
    if of("queueLengthLimit") <= 0 {
        e.invalid(&path.child("queueLengthLimit"), of("queueLengthLimit"), "must be positive");
    }
    let (queues, hand) = (of("queues"), of("handSize"));
    if queues <= 0 {
        e.invalid(&path.child("queues"), queues, "must be positive");
    } else if queues > 10_000_000 {
        e.invalid(&path.child("queues"), queues, "must not be greater than 10000000");
    }
    if hand <= 0 {
        e.invalid(&path.child("handSize"), hand, "must be positive");
    } else if hand > queues {
        e.invalid(&path.child("handSize"), hand, format!("should not be greater than queues ({queues})"));
    }
}

fn api_service(object: &Value, e: &mut FieldErrors) {
    let spec = get(object, "spec");
    let (group, version) = (text(spec, "group"), text(spec, "version"));
    let name = text(get(object, "metadata"), "name");
    let wanted = format!("{version}.{group}");
    if name != wanted.trim_end_matches('.') && name != wanted {
        let metadata = FieldPath::new("metadata");
        let quoted = orc_core::validation::go_quote(&wanted);
        e.invalid(&metadata.child("name"), name, format!("must be `spec.version+\".\"+spec.group`: {quoted}"));
    }
    let local = !has(spec, "service");
    if !group.is_empty() {
        e.each(&SPEC.child("group"), group, names::dns1123_subdomain(group));
    }
    e.each(&SPEC.child("version"), version, names::dns1035_label(version));
    for (field, limit) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1_000)] {
        let priority = int(spec, field).unwrap_or(0);
        if priority <= 0 || priority > limit {
            e.invalid(&SPEC.child(field), priority, format!("must be positive and less than {limit}"));
        }
    }
    if local {
        if flag(spec, "insecureSkipTLSVerify") {
            let text = "local APIServices may not have insecureSkipTLSVerify";
            e.invalid(&SPEC.child("insecureSkipTLSVerify"), true, text);
        }
        if !text(spec, "caBundle").is_empty() {
            e.invalid(&SPEC.child("caBundle"), text(spec, "caBundle"), "local APIServices may not have caBundle");
        }
        return;
    }
    let (service, at) = (get(spec, "service"), SPEC.child("service"));
    for field in ["namespace", "name"] {
        if text(service, field).is_empty() {
            e.required(&at.child(field), "");
        }
    }
    let port = int(service, "port").unwrap_or(443);
    if !(1..=65535).contains(&port) {
        e.invalid(&at.child("port"), port, "port is not valid: must be between 1 and 65535, inclusive");
    }
    if flag(spec, "insecureSkipTLSVerify") && !text(spec, "caBundle").is_empty() {
        e.invalid(&SPEC.child("insecureSkipTLSVerify"), true, "may not be true if caBundle is present");
    }
}

fn devices_default(spec: &mut Value) {
    let Some(devices) = child(spec, "devices") else { return };
    let fill = |request: &mut Value| {
        put_text(request, "allocationMode", "ExactCount");
        if text(request, "allocationMode") == "ExactCount" {
            put_number(request, "count", 1);
        }
        for toleration in items(request, "tolerations") {
            put_text(toleration, "operator", "Equal");
        }
    };
    for request in items(devices, "requests") {
        if let Some(exactly) = child(request, "exactly") {
            fill(exactly);
        }
        items(request, "firstAvailable").for_each(fill);
    }
}

fn devices(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let here = path.child("devices");
    let all = here.child("requests");
    let mut seen = BTreeSet::new();
    for (i, request) in list(get(spec, "devices"), "requests").iter().enumerate() {
        let at = all.index(i);
        let name = text(request, "name");
        if name.is_empty() {
            e.required(&at.child("name"), "");
        } else {
            e.each(&at.child("name"), name, names::dns1123_label(name));
        }
        let (exactly, first) = (has(request, "exactly"), !list(request, "firstAvailable").is_empty());
        match (exactly, first) {
            (false, false) => e.required(&at, "exactly one of `exactly` or `firstAvailable` is required"),
            (true, true) => e.invalid(&at, request, "exactly one of `exactly` or `firstAvailable` is required"),
            (true, false) => device_request(get(request, "exactly"), &at.child("exactly"), e),
            (false, true) => {
                let inner = at.child("firstAvailable");
                for (j, sub) in list(request, "firstAvailable").iter().enumerate() {
                    device_request(sub, &inner.index(j), e);
                }
            }
        }
        if !seen.insert(name) {
            e.duplicate(&at, name);
        }
    }
}

fn device_request(request: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    match text(request, "deviceClassName") {
        "" => e.required(&path.child("deviceClassName"), ""),
        name => e.each(&path.child("deviceClassName"), name, names::dns1123_subdomain(name)),
    }
    device_selector::selectors(request, path, e);
    let count = int(request, "count").unwrap_or(0);
    match text(request, "allocationMode") {
        "All" => {
            if count != 0 {
                e.invalid(&path.child("count"), count, "must not be specified when allocationMode is 'All'");
            }
        }
        "ExactCount" => {
            if count <= 0 {
                e.invalid(&path.child("count"), count, "must be greater than zero");
            }
        }
        other => e.supported(&path.child("allocationMode"), other, &["All", "ExactCount"]),
    }
}
