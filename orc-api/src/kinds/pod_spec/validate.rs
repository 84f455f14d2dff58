//! The order of checks of a pod specification.

use super::super::tree::*;
use super::container::{self, Around};
use super::labels::label_selector;
use super::{affinity::affinity, resources, security, volume};
use orc_core::validation::{FieldError, FieldErrors, FieldPath, ip, names};
use serde_json::Value;
use std::collections::BTreeSet;

/// Where a pod specification stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In a pod.
    Pod,
    /// In a template.
    Template,
}

/// Checks a pod specification. `name` is the pod's name, "" for templates.
pub fn validate(spec: &Value, name: &str, scope: Scope, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let volumes = volume::volumes(list(spec, "volumes"), name, &path.child("volumes"), e);
    let claims = list(spec, "resourceClaims").iter().map(|c| text(c, "name")).filter(|n| !n.is_empty()).collect();
    resource_claims(spec, &path.child("resourceClaims"), e);
    let grace = int(spec, "terminationGracePeriodSeconds");
    let around = Around { spec, volumes, claims, grace, os: text(get(spec, "os"), "name") };
    container::containers(&around, &path.child("containers"), e);
    container::init(&around, &path.child("initContainers"), e);
    container::ephemeral(&around, &path.child("ephemeralContainers"), e);
    if has(spec, "resources") {
        let at = path.child("resources");
        resources::requirements(get(spec, "resources"), resources::Level::Pod, &around.claims, &at, e);
    }
    choice(spec, "restartPolicy", &["Always", "OnFailure", "Never"], path, e);
    choice(spec, "dnsPolicy", &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], path, e);
    super::super::meta::labels(get(spec, "nodeSelector"), &path.child("nodeSelector"), e);
    security::pod(spec, path, &path.child("securityContext"), e);
    affinity(get(spec, "affinity"), &path.child("affinity"), e);
    dns_config(spec, &path.child("dnsConfig"), e);
    gates(spec, path, e);
    spread(list(spec, "topologySpreadConstraints"), &path.child("topologySpreadConstraints"), e);
    identity(spec, path, e);
    toleration_list(list(spec, "tolerations"), &path.child("tolerations"), e);
    host_aliases(spec, &path.child("hostAliases"), e);
    classes(spec, path, e);
    if scope == Scope::Pod {
        images(spec, path, e);
    }
}

fn choice(spec: &Value, field: &str, all: &[&str], path: &FieldPath<'_>, e: &mut FieldErrors) {
    match text(spec, field) {
        "" => e.required(&path.child(field), ""),
        value => e.supported(&path.child(field), value, all),
    }
}

fn resource_claims(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for (i, claim) in list(spec, "resourceClaims").iter().enumerate() {
        let at = path.index(i);
        let name = text(claim, "name");
        if name.is_empty() {
            e.required(&at.child("name"), "");
        } else if !seen.insert(name) {
            e.duplicate(&at.child("name"), name);
        } else {
            e.each(&at.child("name"), name, names::dns1123_label(name));
        }
        let (named, template) = (has(claim, "resourceClaimName"), has(claim, "resourceClaimTemplateName"));
        if named && template {
            e.invalid(&at, claim, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified");
        } else if !named && !template {
            e.invalid(&at, claim, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
        }
        for field in ["resourceClaimName", "resourceClaimTemplateName"] {
            if has(claim, field) {
                let value = text(claim, field);
                e.each(&at.child(field), value, names::dns1123_subdomain(value));
            }
        }
    }
}

fn dns_config(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let config = get(spec, "dnsConfig");
    let servers = texts(config, "nameservers");
    if text(spec, "dnsPolicy") == "None" {
        if config.is_null() {
            return e.required(path, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if servers.is_empty() {
            let rule = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            return e.required(&path.child("nameservers"), rule);
        }
    }
    let at = path.child("nameservers");
    if servers.len() > 3 {
        e.invalid(&at, get(config, "nameservers"), "must not have more than 3 nameservers");
    }
    for (i, server) in servers.iter().enumerate() {
        e.each(&at.index(i), server, ip::ip(server));
    }
    let (searches, at) = (texts(config, "searches"), path.child("searches"));
    if searches.len() > 32 {
        e.invalid(&at, get(config, "searches"), "must not have more than 32 search paths");
    }
    if searches.join(" ").len() > 2048 {
        let rule = "must not have more than 2048 characters (including spaces) in the search list";
        e.invalid(&at, get(config, "searches"), rule);
    }
    for (i, search) in searches.iter().enumerate() {
        if *search != "." {
            let name = search.strip_suffix('.').unwrap_or(search);
            e.each(&at.index(i), name, names::dns1123_subdomain_with_underscore(name));
        }
    }
    let at = path.child("options");
    for (i, option) in list(config, "options").iter().enumerate() {
        if text(option, "name").is_empty() {
            e.required(&at.index(i), "must not be empty");
        }
    }
}

fn gates(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let at = path.child("readinessGates");
    for (i, gate) in list(spec, "readinessGates").iter().enumerate() {
        let kind = text(gate, "conditionType");
        e.each(&at.index(i).child("conditionType"), kind, names::qualified_name(kind));
    }
    let (at, mut seen) = (path.child("schedulingGates"), BTreeSet::new());
    for (i, gate) in list(spec, "schedulingGates").iter().enumerate() {
        let name = text(gate, "name");
        e.each(&at.index(i), name, names::qualified_name(name));
        if !seen.insert(name) {
            e.duplicate(&at.index(i), name);
        }
    }
}

fn spread(list: &[Value], path: &FieldPath<'_>, e: &mut FieldErrors) {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (i, constraint) in list.iter().enumerate() {
        let at = path.index(i);
        let skew = int(constraint, "maxSkew").unwrap_or(0);
        if skew <= 0 {
            e.invalid(&at.child("maxSkew"), skew, "must be greater than zero");
        }
        let key = text(constraint, "topologyKey");
        if key.is_empty() {
            e.required(&at.child("topologyKey"), "can not be empty");
        } else {
            e.each(&at.child("topologyKey"), key, names::qualified_name(key));
        }
        let action = text(constraint, "whenUnsatisfiable");
        e.supported(&at.child("whenUnsatisfiable"), action, &["DoNotSchedule", "ScheduleAnyway"]);
        if seen.contains(&(key, action)) {
            e.duplicate(&at.child("{topologyKey, whenUnsatisfiable}"), format!("{{{key}, {action}}}"));
        }
        seen.push((key, action));
        if let Some(domains) = int(constraint, "minDomains") {
            if domains <= 0 {
                e.invalid(&at.child("minDomains"), domains, "must be greater than zero");
            }
            if action != "DoNotSchedule" {
                let rule = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                e.invalid(&at.child("minDomains"), domains, rule);
            }
        }
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            if has(constraint, field) {
                e.supported(&at.child(field), text(constraint, field), &["Honor", "Ignore"]);
            }
        }
        label_keys(constraint, &at.child("matchLabelKeys"), e);
        label_selector(get(constraint, "labelSelector"), &at.child("labelSelector"), e);
    }
}

fn label_keys(constraint: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let keys = texts(constraint, "matchLabelKeys");
    if !keys.is_empty() && !has(constraint, "labelSelector") {
        e.forbidden(path, "must not be specified when labelSelector is not set");
    }
    for (i, key) in keys.into_iter().enumerate() {
        e.each(&path.index(i), key, names::qualified_name(key));
    }
}

type NameRule = fn(&str) -> Vec<String>;

fn identity(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let named = |field: &str, rule: NameRule, e: &mut FieldErrors| {
        let name = text(spec, field);
        if !name.is_empty() {
            e.each(&path.child(field), name, rule(name));
        }
    };
    named("serviceAccountName", names::dns1123_subdomain, e);
    named("nodeName", names::dns1123_subdomain, e);
    if let Some(seconds) = int(spec, "activeDeadlineSeconds") {
        for rule in names::in_range(seconds, 1, i64::from(i32::MAX)) {
            e.invalid(&path.child("activeDeadlineSeconds"), seconds, rule);
        }
    }
    named("hostname", names::dns1123_label, e);
    if has(spec, "hostnameOverride") {
        let (name, at) = (text(spec, "hostnameOverride"), path.child("hostnameOverride"));
        e.each(&at, name, names::dns1123_subdomain(name));
        if name.len() > 64 {
            e.add(FieldError::too_long(&at, 64));
        }
        if flag(spec, "setHostnameAsFQDN") {
            e.forbidden(&at, "may not be specified when `setHostnameAsFQDN` is true");
        }
        if flag(spec, "hostNetwork") {
            e.forbidden(&at, "may not be specified when `hostNetwork` is true");
        }
    }
    named("subdomain", names::dns1123_label, e);
}

/// Checks tolerations.
pub fn toleration_list(list: &[Value], path: &FieldPath<'_>, e: &mut FieldErrors) {
    for (i, toleration) in list.iter().enumerate() {
        let at = path.index(i);
        let (key, operator) = (text(toleration, "key"), text(toleration, "operator"));
        if !key.is_empty() {
            e.each(&at.child("key"), key, names::qualified_name(key));
        }
        if key.is_empty() && operator != "Exists" {
            let rule = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            e.invalid(&at.child("operator"), operator, rule);
        }
        let effect = text(toleration, "effect");
        if has(toleration, "tolerationSeconds") && effect != "NoExecute" {
            let rule = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            e.invalid(&at.child("effect"), effect, rule);
        }
        let value = text(toleration, "value");
        match operator {
            "" | "Equal" => {
                let broken = names::label_value(value);
                if !broken.is_empty() {
                    e.invalid(&at.child("operator"), value, broken.join(";"));
                }
            }
            "Exists" => {
                if !value.is_empty() {
                    e.invalid(&at.child("operator"), toleration, "value must be empty when `operator` is 'Exists'");
                }
            }
            other => {
                // Lt and Gt exist, behind a gate that is off; the list names all once one of them is tried.
                let all: &[&str] =
                    if ["Lt", "Gt"].contains(&other) { &["Equal", "Exists", "Lt", "Gt"] } else { &["Equal", "Exists"] };
                e.add(FieldError::not_supported(&at.child("operator"), other, all));
            }
        }
        if !effect.is_empty() {
            e.supported(&at.child("effect"), effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
        }
    }
}

fn host_aliases(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    for (i, alias) in list(spec, "hostAliases").iter().enumerate() {
        let at = path.index(i);
        let address = text(alias, "ip");
        e.each(&at.child("ip"), address, ip::ip(address));
        let at = at.child("hostnames");
        for (j, name) in texts(alias, "hostnames").into_iter().enumerate() {
            e.each(&at.index(j), name, names::dns1123_subdomain(name));
        }
    }
}

fn classes(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    for field in ["priorityClassName", "runtimeClassName"] {
        let name = text(spec, field);
        if !name.is_empty() || (field == "runtimeClassName" && has(spec, field)) {
            e.each(&path.child(field), name, names::dns1123_subdomain(name));
        }
    }
    if has(spec, "preemptionPolicy") {
        let policy = text(spec, "preemptionPolicy");
        e.supported(&path.child("preemptionPolicy"), policy, &["PreemptLowerPriority", "Never"]);
    }
    let at = path.child("overhead");
    for (name, value) in entries(spec, "overhead") {
        resources::resource_name(name, &at.key(name), e);
        if let Some(amount) = resources::quantity(value) {
            resources::amount(name, amount, &at.key(name), e);
        }
    }
    os(spec, path, e);
}

fn os(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if !has(spec, "os") {
        return;
    }
    let at = path.child("os");
    match text(get(spec, "os"), "name") {
        "" => e.required(&at.child("name"), "cannot be empty"),
        name => {
            e.supported(&at, name, &["linux", "windows"]);
            if name == "windows" {
                for field in ["hostPID", "hostIPC", "shareProcessNamespace"].iter().filter(|f| flag(spec, f)) {
                    e.forbidden(&path.child(field), "cannot be set for a windows pod");
                }
            }
        }
    }
}

/// Pods, unlike templates, refuse blanks around image names.
fn images(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    for kind in ["containers", "initContainers"] {
        let all = path.child(kind);
        for (i, container) in list(spec, kind).iter().enumerate() {
            let image = text(container, "image");
            if image.trim() != image {
                let rule = "must not have leading or trailing whitespace";
                e.invalid(&all.index(i).child("image"), image, rule);
            }
        }
    }
}

/// Checks the template of a workload: labels, annotations and specification.
pub fn template(template: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    super::super::meta::labels(at(template, "metadata.labels"), &path.child("labels"), e);
    super::super::meta::annotations(at(template, "metadata.annotations"), &path.child("annotations"), e);
    validate(get(template, "spec"), "", Scope::Template, &path.child("spec"), e);
    if !list(get(template, "spec"), "ephemeralContainers").is_empty() {
        let spec = path.child("spec");
        e.forbidden(&spec.child("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
}
