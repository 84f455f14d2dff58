//! Checks of containers: ordinary, init and ephemeral.

use super::super::tree::*;
use super::probe::{Probe, lifecycle, probe};
use super::resources::{Level, requirements};
use super::{env, security, volume};
use orc_core::validation::{FieldError, FieldErrors, FieldPath, names};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What containers are checked against.
pub(super) struct Around<'a> {
    pub(super) spec: &'a Value,
    pub(super) volumes: BTreeMap<&'a str, &'a Value>,
    pub(super) claims: Vec<&'a str>,
    pub(super) grace: Option<i64>,
    pub(super) os: &'a str,
}

fn common(c: &Value, around: &Around<'_>, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let name = text(c, "name");
    if name.is_empty() {
        e.required(&path.child("name"), "");
    } else {
        e.each(&path.child("name"), name, names::dns1123_label(name));
    }
    let image = text(c, "image");
    if image.is_empty() {
        e.required(&path.child("image"), "");
    }
    const MESSAGE: &str = "must be 'File' or 'FallbackToLogsOnError'";
    match text(c, "terminationMessagePolicy") {
        "File" | "FallbackToLogsOnError" => {}
        "" => e.required(&path.child("terminationMessagePolicy"), MESSAGE),
        other => e.invalid(&path.child("terminationMessagePolicy"), other, MESSAGE),
    }
    ports(list(c, "ports"), &path.child("ports"), e);
    env::env(list(c, "env"), &path.child("env"), e);
    env::env_from(list(c, "envFrom"), &path.child("envFrom"), e);
    volume::mounts(c, &around.volumes, &path.child("volumeMounts"), e);
    volume::devices(c, &around.volumes, &path.child("volumeDevices"), e);
    match text(c, "imagePullPolicy") {
        "" => e.required(&path.child("imagePullPolicy"), ""),
        policy => e.supported(&path.child("imagePullPolicy"), policy, &["Always", "IfNotPresent", "Never"]),
    }
    requirements(get(c, "resources"), Level::Container, &around.claims, &path.child("resources"), e);
    resize(c, around, &path.child("resizePolicy"), e);
    security::container(get(c, "securityContext"), &path.child("securityContext"), e);
}

fn resize(c: &Value, around: &Around<'_>, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for policy in list(c, "resizePolicy") {
        let name = text(policy, "resourceName");
        if !seen.insert(name) {
            e.duplicate(path, name);
        }
        match name {
            "" => e.required(path, ""),
            name => e.supported(path, name, &["cpu", "memory"]),
        }
        match text(policy, "restartPolicy") {
            "" => e.required(path, ""),
            rule => e.supported(path, rule, &["NotRequired", "RestartContainer"]),
        }
        if text(around.spec, "restartPolicy") == "Never" && text(policy, "restartPolicy") != "NotRequired" {
            e.invalid(path, text(policy, "restartPolicy"), "must be 'NotRequired' when `restartPolicy` is 'Never'");
        }
    }
}

fn ports(list: &[Value], path: &FieldPath<'_>, e: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for (i, port) in list.iter().enumerate() {
        let at = path.index(i);
        let name = text(port, "name");
        if !name.is_empty() {
            let broken = names::port_name(name);
            if !broken.is_empty() {
                e.each(&at.child("name"), name, broken);
            } else if !seen.insert(name) {
                e.duplicate(&at.child("name"), name);
            }
        }
        number(port, "containerPort", true, &at, e);
        number(port, "hostPort", false, &at, e);
        match text(port, "protocol") {
            "" => e.required(&at.child("protocol"), ""),
            protocol => e.supported(&at.child("protocol"), protocol, &["SCTP", "TCP", "UDP"]),
        }
    }
}

fn number(port: &Value, field: &str, must: bool, path: &FieldPath<'_>, e: &mut FieldErrors) {
    match int(port, field).unwrap_or(0) {
        0 if must => e.required(&path.child(field), ""),
        0 => {}
        number => {
            for rule in names::port_number(number) {
                e.invalid(&path.child(field), number, rule);
            }
        }
    }
}

/// Host ports must differ across containers.
fn host_ports(containers: &[&Value], path: &FieldPath<'_>, e: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for (i, c) in containers.iter().enumerate() {
        let here = path.index(i);
        let at = here.child("ports");
        for (j, port) in list(c, "ports").iter().enumerate() {
            let number = int(port, "hostPort").unwrap_or(0);
            if number == 0 {
                continue;
            }
            let key = format!("{}/{}/{number}", text(port, "protocol"), text(port, "hostIP"));
            if seen.contains(&key) {
                e.duplicate(&at.index(j).child("hostPort"), &key);
            }
            seen.insert(key);
        }
    }
}

const RESTARTS: &[&str] = &["Always", "Never", "OnFailure"];

fn restart(c: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let policy = text(c, "restartPolicy");
    if has(c, "restartPolicy") {
        e.supported(&path.child("restartPolicy"), policy, RESTARTS);
    }
    let rules = list(c, "restartPolicyRules");
    if !rules.is_empty() && policy.is_empty() {
        e.required(&path.child("restartPolicy"), "must specify restartPolicy when restart rules are used");
    }
    let all = path.child("restartPolicyRules");
    if rules.len() > 20 {
        e.add(FieldError::too_many(&all, rules.len(), 20));
    }
    for (i, rule) in rules.iter().enumerate() {
        let at = all.index(i);
        match text(rule, "action") {
            "" => e.required(&at.child("action"), ""),
            action => e.supported(&at.child("action"), action, &["Restart", "RestartAllContainers"]),
        }
        let codes = get(rule, "exitCodes");
        if codes.is_null() {
            e.required(&at.child("exitCodes"), "must be specified");
            continue;
        }
        let here = at.child("exitCodes");
        match text(codes, "operator") {
            "" => e.required(&here.child("operator"), ""),
            operator => e.supported(&here.child("operator"), operator, &["In", "NotIn"]),
        }
        let values = list(codes, "values");
        if values.is_empty() {
            e.required(&here.child("values"), "at least one value is required");
        } else if values.len() > 255 {
            e.add(FieldError::too_many(&here.child("values"), values.len(), 255));
        }
    }
}

/// Checks `containers`.
pub(super) fn containers(around: &Around<'_>, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let all = list(around.spec, "containers");
    if all.is_empty() {
        return e.required(path, "");
    }
    let mut seen = BTreeSet::new();
    for (i, c) in all.iter().enumerate() {
        let at = path.index(i);
        common(c, around, &at, e);
        if !seen.insert(text(c, "name")) {
            e.duplicate(&at.child("name"), text(c, "name"));
        }
        lifecycle(get(c, "lifecycle"), around.grace, around.os, &at.child("lifecycle"), e);
        probe(get(c, "livenessProbe"), Probe::Liveness, &at.child("livenessProbe"), e);
        probe(get(c, "readinessProbe"), Probe::Readiness, &at.child("readinessProbe"), e);
        probe(get(c, "startupProbe"), Probe::Startup, &at.child("startupProbe"), e);
        restart(c, &at, e);
    }
    host_ports(&all.iter().collect::<Vec<_>>(), path, e);
}

/// Checks `initContainers`; those with `restartPolicy: Always` are sidecars and may have probes.
pub(super) fn init(around: &Around<'_>, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let all = list(around.spec, "initContainers");
    let others: BTreeSet<&str> = list(around.spec, "containers").iter().map(|c| text(c, "name")).collect();
    let mut seen = BTreeSet::new();
    for (i, c) in all.iter().enumerate() {
        let at = path.index(i);
        common(c, around, &at, e);
        let sidecar = text(c, "restartPolicy") == "Always";
        restart(c, &at, e);
        let name = text(c, "name");
        if others.contains(name) || (!name.is_empty() && !seen.insert(name)) {
            e.duplicate(&at.child("name"), name);
        }
        host_ports_of(c, &at, e);
        let only = "may not be set for init containers without restartPolicy=Always";
        if sidecar {
            lifecycle(get(c, "lifecycle"), around.grace, around.os, &at.child("lifecycle"), e);
            probe(get(c, "livenessProbe"), Probe::Liveness, &at.child("livenessProbe"), e);
            probe(get(c, "readinessProbe"), Probe::Readiness, &at.child("readinessProbe"), e);
            probe(get(c, "startupProbe"), Probe::Startup, &at.child("startupProbe"), e);
        } else {
            for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                if has(c, field) {
                    e.forbidden(&at.child(field), only);
                }
            }
        }
        if !list(c, "resizePolicy").is_empty() && !sidecar {
            e.invalid(&at.child("resizePolicy"), get(c, "resizePolicy"), "must not be set for init containers");
        }
    }
}

fn host_ports_of(c: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    // Within one init container only: they run one after the other.
    let mut seen = BTreeSet::new();
    let at = path.child("ports");
    for (j, port) in list(c, "ports").iter().enumerate() {
        let number = int(port, "hostPort").unwrap_or(0);
        let key = format!("{}/{}/{number}", text(port, "protocol"), text(port, "hostIP"));
        if number != 0 && seen.contains(&key) {
            e.duplicate(&at.index(j).child("hostPort"), &key);
        }
        seen.insert(key);
    }
}

/// What an ephemeral container may not have, in the order of the type's fields, which is that of the errors.
const REFUSED: &[&str] = &[
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

/// Checks `ephemeralContainers`.
pub(super) fn ephemeral(around: &Around<'_>, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let spec = around.spec;
    let others: BTreeSet<&str> =
        list(spec, "containers").iter().chain(list(spec, "initContainers")).map(|c| text(c, "name")).collect();
    let mut seen = BTreeSet::new();
    for (i, c) in list(spec, "ephemeralContainers").iter().enumerate() {
        let at = path.index(i);
        common(c, around, &at, e);
        let name = text(c, "name");
        if others.contains(name) || !seen.insert(name) {
            e.duplicate(&at.child("name"), name);
        }
        let target = text(c, "targetContainerName");
        if !target.is_empty() && !others.contains(target) {
            e.add(FieldError::not_found(&at.child("targetContainerName"), target));
        }
        for field in REFUSED.iter().filter(|field| !empty(get(c, field))) {
            e.forbidden(&at.child(field), "cannot be set for an Ephemeral Container");
        }
        let mounts = at.child("volumeMounts");
        for (j, mount) in list(c, "volumeMounts").iter().enumerate() {
            for field in ["subPath", "subPathExpr"] {
                if !text(mount, field).is_empty() {
                    e.forbidden(&mounts.index(j).child(field), "cannot be set for an Ephemeral Container");
                }
            }
        }
    }
}

/// With the host's network a host port must be the container's port.
pub(super) fn host_network_ports(containers: &[Value], path: &FieldPath<'_>, e: &mut FieldErrors) {
    for (i, c) in containers.iter().enumerate() {
        let here = path.index(i);
        let at = here.child("ports");
        for (j, port) in list(c, "ports").iter().enumerate() {
            let (host, inner) = (int(port, "hostPort").unwrap_or(0), int(port, "containerPort").unwrap_or(0));
            if host != 0 && host != inner {
                let rule = "must match `containerPort` when `hostNetwork` is true";
                e.invalid(&at.index(j).child("hostPort"), host, rule);
            }
        }
    }
}
