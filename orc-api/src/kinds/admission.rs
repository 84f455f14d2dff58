//! Configuration of admission: webhooks and policies.
//!
//! CEL expressions are compiled by [`expressions`].

use super::pod_spec::labels::label_selector;
use super::rules::{Generation, Kind};
use super::tree::*;
use crate::admission::expressions;
use orc_core::validation::{FieldError, FieldErrors, FieldPath, names};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const SPEC: FieldPath<'static> = FieldPath::new("spec");

/// The rules of `validatingwebhookconfigurations`.
pub(super) static VALIDATING: Kind = Kind {
    default: |object| webhooks_default(object, false),
    validate: |object, e| webhooks(object, false, e),
    validate_update: |new, _, e| webhooks(new, false, e),
    ..Kind::CLUSTER.with_generation(Generation::Content)
};

/// The rules of `mutatingwebhookconfigurations`.
pub(super) static MUTATING: Kind = Kind {
    default: |object| webhooks_default(object, true),
    validate: |object, e| webhooks(object, true, e),
    validate_update: |new, _, e| webhooks(new, true, e),
    ..Kind::CLUSTER.with_generation(Generation::Content)
};

/// The rules of `validatingadmissionpolicies`.
pub(super) static POLICY: Kind = Kind {
    default: policy_default,
    validate: |object, e| policy(get(object, "spec"), e),
    validate_update: |new, _, e| policy(get(new, "spec"), e),
    ..Kind::CLUSTER.with_status()
};

/// The rules of `mutatingadmissionpolicies`.
pub(super) static MUTATING_POLICY: Kind = Kind {
    status: false,
    default: policy_default,
    validate: |object, e| mutating_policy(get(object, "spec"), e),
    validate_update: |new, _, e| mutating_policy(get(new, "spec"), e),
    ..Kind::CLUSTER.with_generation(Generation::Spec)
};

/// The rules of `validatingadmissionpolicybindings`.
pub(super) static BINDING: Kind = Kind {
    default: binding_default,
    validate: |object, e| binding(get(object, "spec"), true, e),
    validate_update: |new, _, e| binding(get(new, "spec"), true, e),
    ..Kind::CLUSTER.with_generation(Generation::Spec)
};

/// The rules of `mutatingadmissionpolicybindings`.
pub(super) static MUTATING_BINDING: Kind = Kind {
    validate: |object, e| binding(get(object, "spec"), false, e),
    validate_update: |new, _, e| binding(get(new, "spec"), false, e),
    ..BINDING
};

fn webhooks_default(object: &mut Value, mutating: bool) {
    for hook in items(object, "webhooks") {
        put_default(hook, "failurePolicy", "Fail");
        put_default(hook, "matchPolicy", "Equivalent");
        put_default(hook, "namespaceSelector", json!({}));
        put_default(hook, "objectSelector", json!({}));
        put_default(hook, "timeoutSeconds", 10);
        if mutating {
            put_default(hook, "reinvocationPolicy", "Never");
        }
        for rule in items(hook, "rules") {
            put_default(rule, "scope", "*");
        }
        if let Some(service) = child_at(hook, "clientConfig.service") {
            put_default(service, "port", 443);
        }
    }
}

fn webhooks(object: &Value, mutating: bool, e: &mut FieldErrors) {
    let all = FieldPath::new("webhooks");
    let mut seen = BTreeSet::new();
    for (i, hook) in list(object, "webhooks").iter().enumerate() {
        let at = all.index(i);
        webhook(hook, mutating, &at, e);
        let versions = texts(hook, "admissionReviewVersions");
        let here = at.child("admissionReviewVersions");
        if versions.is_empty() {
            e.required(&here, "must specify one of v1, v1beta1");
        } else if !versions.iter().any(|v| ["v1", "v1beta1"].contains(v)) {
            e.invalid(&here, get(hook, "admissionReviewVersions"), "must include at least one of v1, v1beta1");
        }
        let name = text(hook, "name");
        if !name.is_empty() && !seen.insert(name) {
            e.duplicate(&at.child("name"), name);
        }
    }
}

fn webhook(hook: &Value, mutating: bool, path: &FieldPath<'_>, e: &mut FieldErrors) {
    qualified(text(hook, "name"), &path.child("name"), e);
    label_selector(get(hook, "namespaceSelector"), &path.child("namespaceSelector"), e);
    label_selector(get(hook, "objectSelector"), &path.child("objectSelector"), e);
    let rules = path.child("rules");
    for (i, rule) in list(hook, "rules").iter().enumerate() {
        rule_with_operations(rule, &rules.index(i), e);
    }
    optional(hook, "failurePolicy", &["Fail", "Ignore"], path, e);
    optional(hook, "matchPolicy", &["Equivalent", "Exact"], path, e);
    match text(hook, "sideEffects") {
        "" => e.required(&path.child("sideEffects"), "must specify one of None, NoneOnDryRun"),
        effects => e.supported(&path.child("sideEffects"), effects, &["None", "NoneOnDryRun"]),
    }
    if let Some(seconds) = int(hook, "timeoutSeconds").filter(|s| !(1..=30).contains(s)) {
        e.invalid(&path.child("timeoutSeconds"), seconds, "the timeout value must be between 1 and 30 seconds");
    }
    if mutating {
        optional(hook, "reinvocationPolicy", &["IfNeeded", "Never"], path, e);
    }
    client(get(hook, "clientConfig"), &path.child("clientConfig"), e);
    conditions(hook, path, e);
    expressions::check_webhook(hook, path, e);
}

fn optional(value: &Value, field: &str, all: &[&str], path: &FieldPath<'_>, e: &mut FieldErrors) {
    if has(value, field) {
        e.supported(&path.child(field), text(value, field), all);
    }
}

/// A name of at least three segments.
fn qualified(name: &str, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if name.is_empty() {
        return e.required(path, "");
    }
    let broken = names::dns1123_subdomain(name);
    if !broken.is_empty() {
        return e.invalid(path, name, broken.join(","));
    }
    if name.split('.').count() < 3 {
        e.invalid(path, name, "should be a domain with at least three segments separated by dots");
    }
}

fn rule_with_operations(rule: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let operations = texts(rule, "operations");
    let at = path.child("operations");
    if operations.is_empty() {
        e.required(&at, "");
    }
    if operations.len() > 1 && operations.contains(&"*") {
        let text = "if '*' is present, must not specify other operations";
        e.invalid(&at, get(rule, "operations"), text);
    }
    for (i, operation) in operations.iter().enumerate() {
        e.supported(&at.index(i), operation, &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"]);
    }
    for (field, what) in [("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let (values, at) = (texts(rule, field), path.child(field));
        if values.is_empty() {
            e.required(&at, "");
        }
        if values.len() > 1 && values.contains(&"*") {
            e.invalid(&at, get(rule, field), format!("if '*' is present, must not specify other {what}"));
        }
        if field == "apiVersions" {
            for (i, _) in values.iter().enumerate().filter(|(_, v)| v.is_empty()) {
                e.required(&at.index(i), "");
            }
        }
    }
    resources(rule, &path.child("resources"), e);
    optional(rule, "scope", &["*", "Cluster", "Namespaced"], path, e);
}

fn resources(rule: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let values = texts(rule, "resources");
    if values.is_empty() {
        e.required(path, "");
    }
    let whole = values.contains(&"*/*");
    let any = values.contains(&"*");
    if whole && values.len() > 1 {
        e.invalid(path, get(rule, "resources"), "if '*/*' is present, must not specify other resources");
    }
    let others = values.iter().any(|v| *v != "*" && !v.contains('/'));
    if any && others {
        let text = "if '*' is present, must not specify other resources without subresources";
        e.invalid(path, get(rule, "resources"), text);
    }
    for (i, value) in values.iter().enumerate() {
        if value.is_empty() {
            e.required(&path.index(i), "");
        }
        if let Some((resource, sub)) = value.split_once('/') {
            let covered = (resource != "*" && values.contains(&format!("*/{sub}").as_str()))
                || (sub != "*" && values.contains(&format!("{resource}/*").as_str()));
            if covered && !whole {
                e.invalid(&path.index(i), *value, format!("if '{resource}/*' is present, must not specify {value}"));
            }
        }
    }
}

/// Where a webhook is called: a URL, or a service.
pub(super) fn client(config: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let (url, service) = (has(config, "url"), has(config, "service"));
    if url == service {
        return e.required(path, "exactly one of url or service is required");
    }
    if url {
        return web_address(text(config, "url"), &path.child("url"), e);
    }
    let (inner, at) = (get(config, "service"), path.child("service"));
    for field in ["name", "namespace"] {
        if text(inner, field).is_empty() {
            e.required(&at.child(field), format!("service {field} is required"));
        }
    }
    if has(inner, "path") {
        service_path(text(inner, "path"), &at.child("path"), e);
    }
    let port = int(inner, "port").unwrap_or(443);
    if !(1..=65535).contains(&port) {
        e.invalid(&at.child("port"), port, "port is not valid: must be between 1 and 65535, inclusive");
    }
}

fn service_path(value: &str, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if value == "/" || value.is_empty() {
        return;
    }
    if value == "//" {
        return e.invalid(path, value, "segment[0] may not be empty");
    }
    if !value.starts_with('/') {
        e.invalid(path, value, "must start with a '/'");
    }
    let body = value.strip_prefix('/').unwrap_or(value);
    let body = body.strip_suffix('/').unwrap_or(body);
    for (i, step) in body.split('/').enumerate() {
        if step.is_empty() {
            e.invalid(path, value, format!("segment[{i}] may not be empty"));
            continue;
        }
        for broken in names::dns1123_subdomain(step) {
            e.invalid(path, value, format!("segment[{i}]: {broken}"));
        }
    }
}

fn web_address(url: &str, path: &FieldPath<'_>, e: &mut FieldErrors) {
    const FORM: &str = "; desired format: https://host[/path]";
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    if scheme != "https" {
        e.invalid(path, scheme, format!("'https' is the only allowed URL scheme{FORM}"));
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.split('/').next().unwrap_or("");
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if host.is_empty() || scheme.is_empty() {
        e.invalid(path, host, format!("host must be specified{FORM}"));
    }
    if !user.is_empty() {
        e.invalid(path, user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        e.invalid(path, fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        e.invalid(path, query, "query parameters are not permitted in the URL");
    }
}

fn conditions(value: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let all = path.child("matchConditions");
    let list = list(value, "matchConditions");
    if list.len() > 64 {
        e.add(FieldError::too_many(&all, list.len(), 64));
    }
    let mut seen = BTreeSet::new();
    for (i, condition) in list.iter().enumerate() {
        let at = all.index(i);
        if text(condition, "expression").trim().is_empty() {
            e.required(&at.child("expression"), "");
        }
        let name = text(condition, "name");
        if name.is_empty() {
            e.required(&at.child("name"), "");
            continue;
        }
        e.each(&at.child("name"), name, names::qualified_name(name));
        if !seen.insert(name) {
            e.duplicate(&at.child("name"), name);
        }
    }
}

fn match_default(resources: &mut Value) {
    put_default(resources, "matchPolicy", "Equivalent");
    put_default(resources, "namespaceSelector", json!({}));
    put_default(resources, "objectSelector", json!({}));
    for field in ["resourceRules", "excludeResourceRules"] {
        for rule in items(resources, field) {
            put_default(rule, "scope", "*");
        }
    }
}

fn policy_default(object: &mut Value) {
    let spec = ensure(object, "spec");
    put_default(spec, "failurePolicy", "Fail");
    if let Some(constraints) = child(spec, "matchConstraints") {
        match_default(constraints);
    }
}

fn binding_default(object: &mut Value) {
    if let Some(resources) = child_at(object, "spec.matchResources") {
        match_default(resources);
    }
}

fn match_resources(value: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    optional(value, "matchPolicy", &["Equivalent", "Exact"], path, e);
    label_selector(get(value, "namespaceSelector"), &path.child("namespaceSelector"), e);
    label_selector(get(value, "objectSelector"), &path.child("objectSelector"), e);
    for field in ["resourceRules", "excludeResourceRules"] {
        let all = path.child(field);
        for (i, rule) in list(value, field).iter().enumerate() {
            rule_with_operations(rule, &all.index(i), e);
        }
    }
}

fn shared_policy(spec: &Value, e: &mut FieldErrors) {
    optional(spec, "failurePolicy", &["Fail", "Ignore"], &SPEC, e);
    if has(spec, "paramKind") {
        let (kind, at) = (get(spec, "paramKind"), SPEC.child("paramKind"));
        for field in ["apiVersion", "kind"] {
            if text(kind, field).is_empty() {
                e.required(&at.child(field), "");
            }
        }
    }
    let at = SPEC.child("matchConstraints");
    if !has(spec, "matchConstraints") {
        e.required(&at, "");
    } else {
        let constraints = get(spec, "matchConstraints");
        match_resources(constraints, &at, e);
        if list(constraints, "resourceRules").is_empty() {
            e.required(&at.child("resourceRules"), "");
        }
    }
    conditions(spec, &SPEC, e);
    expressions::check_policy(spec, &SPEC, e);
    let all = SPEC.child("variables");
    for (i, variable) in list(spec, "variables").iter().enumerate() {
        let at = all.index(i);
        let name = text(variable, "name");
        if name.is_empty() {
            e.required(&at.child("name"), "name is not specified");
        } else if !names::c_identifier(name).is_empty() {
            e.invalid(&at.child("name"), name, "name is not a valid CEL identifier");
        }
        if text(variable, "expression").trim().is_empty() {
            e.required(&at.child("expression"), "expression is not specified");
        }
    }
}

fn policy(spec: &Value, e: &mut FieldErrors) {
    shared_policy(spec, e);
    let (rules, audits) = (list(spec, "validations"), list(spec, "auditAnnotations"));
    if rules.is_empty() && audits.is_empty() {
        let text = "validations or auditAnnotations must be non-empty; at least one is required";
        e.required(&SPEC.child("validations"), text);
        e.required(&SPEC.child("auditAnnotations"), text);
    }
    let all = SPEC.child("validations");
    for (i, rule) in rules.iter().enumerate() {
        let at = all.index(i);
        if text(rule, "expression").trim().is_empty() {
            e.required(&at.child("expression"), "expression is not specified");
        }
        let message = text(rule, "message");
        if !message.is_empty() && message.trim().is_empty() {
            e.invalid(&at.child("message"), message, "message must be non-empty if specified");
        } else if message.trim().contains(['\n', '\r']) {
            e.invalid(&at.child("message"), message, "must not contain line breaks");
        } else if message.is_empty() && text(rule, "expression").trim().contains(['\n', '\r']) {
            e.required(&at.child("message"), "message must be specified if expression contains line breaks");
        }
        if has(rule, "reason") {
            let all = &["Forbidden", "Invalid", "RequestEntityTooLarge"];
            e.supported(&at.child("reason"), text(rule, "reason"), all);
        }
    }
    let all = SPEC.child("auditAnnotations");
    let mut seen = BTreeSet::new();
    for (i, audit) in audits.iter().enumerate() {
        let at = all.index(i);
        let key = text(audit, "key");
        if key.is_empty() {
            e.required(&at.child("key"), "");
        } else {
            e.each(&at.child("key"), key, names::qualified_name(key));
        }
        if !seen.insert(key) {
            e.duplicate(&at.child("key"), key);
        }
        if text(audit, "valueExpression").trim().is_empty() {
            e.required(&at.child("valueExpression"), "valueExpression is not specified");
        }
    }
}

fn mutating_policy(spec: &Value, e: &mut FieldErrors) {
    shared_policy(spec, e);
    let all = SPEC.child("mutations");
    if list(spec, "mutations").is_empty() {
        e.required(&all, "mutations must contain at least one item");
    }
    for (i, mutation) in list(spec, "mutations").iter().enumerate() {
        let at = all.index(i);
        let kind = text(mutation, "patchType");
        let field = match kind {
            "ApplyConfiguration" => "applyConfiguration",
            "JSONPatch" => "jsonPatch",
            "" => {
                e.required(&at.child("patchType"), "");
                continue;
            }
            other => {
                e.supported(&at.child("patchType"), other, &["ApplyConfiguration", "JSONPatch"]);
                continue;
            }
        };
        if text(get(mutation, field), "expression").trim().is_empty() {
            e.required(&at.child(field).child("expression"), "expression is not specified");
        }
    }
    match text(spec, "reinvocationPolicy") {
        "" => e.required(&SPEC.child("reinvocationPolicy"), ""),
        policy => e.supported(&SPEC.child("reinvocationPolicy"), policy, &["IfNeeded", "Never"]),
    }
}

fn binding(spec: &Value, validating: bool, e: &mut FieldErrors) {
    match text(spec, "policyName") {
        "" => e.required(&SPEC.child("policyName"), ""),
        name => {
            for broken in names::dns1123_subdomain(name) {
                e.invalid(&SPEC.child("policyName"), name, broken);
            }
        }
    }
    if has(spec, "paramRef") {
        param_ref(get(spec, "paramRef"), &SPEC.child("paramRef"), e);
    }
    if has(spec, "matchResources") {
        match_resources(get(spec, "matchResources"), &SPEC.child("matchResources"), e);
    }
    if validating {
        actions(spec, &SPEC.child("validationActions"), e);
    }
}

fn param_ref(value: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let (name, selector) = (!text(value, "name").is_empty(), has(value, "selector"));
    if name {
        let given = text(value, "name");
        e.each(&path.child("name"), given, names::path_segment(given));
        if selector {
            e.forbidden(&path.child("name"), "name and selector are mutually exclusive");
        }
    }
    if selector {
        label_selector(get(value, "selector"), &path.child("selector"), e);
        if name {
            e.forbidden(&path.child("selector"), "name and selector are mutually exclusive");
        }
    }
    if !name && !selector {
        e.required(path, "one of name or selector must be specified");
    }
    match text(value, "parameterNotFoundAction") {
        "" => e.required(&path.child("parameterNotFoundAction"), ""),
        action => e.supported(&path.child("parameterNotFoundAction"), action, &["Allow", "Deny"]),
    }
}

fn actions(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let actions = texts(spec, "validationActions");
    if actions.is_empty() {
        e.required(path, "at least one validation action is required");
    }
    let mut seen = BTreeSet::new();
    for (i, action) in actions.iter().enumerate() {
        e.supported(&path.index(i), action, &["Audit", "Deny", "Warn"]);
        if !seen.insert(*action) {
            e.duplicate(&path.index(i), *action);
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let text = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
        e.invalid(path, get(spec, "validationActions"), text);
    }
}
