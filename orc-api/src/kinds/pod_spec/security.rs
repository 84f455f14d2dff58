//! Checks of security contexts, of pods and containers.

use super::super::tree::*;
use orc_core::validation::{FieldErrors, FieldPath, Shown, names};
use serde_json::Value;

const MAX_ID: i64 = i32::MAX as i64;

fn id(value: &Value, field: &str, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if let Some(id) = int(value, field) {
        for rule in names::in_range(id, 0, MAX_ID) {
            e.invalid(&path.child(field), id, rule);
        }
    }
}

/// Checks the context of a pod.
pub(super) fn pod(spec: &Value, path: &FieldPath<'_>, at: &FieldPath<'_>, e: &mut FieldErrors) {
    let context = get(spec, "securityContext");
    if flag(spec, "hostNetwork") {
        super::container::host_network_ports(list(spec, "containers"), &path.child("containers"), e);
        super::container::host_network_ports(list(spec, "initContainers"), &path.child("initContainers"), e);
    }
    id(context, "fsGroup", at, e);
    id(context, "runAsUser", at, e);
    id(context, "runAsGroup", at, e);
    let groups = at.child("supplementalGroups");
    for (i, group) in list(context, "supplementalGroups").iter().enumerate() {
        let group = group.as_i64().unwrap_or(0);
        for rule in names::in_range(group, 0, MAX_ID) {
            e.invalid(&groups.index(i), group, rule);
        }
    }
    if flag(spec, "shareProcessNamespace") && flag(spec, "hostPID") {
        let rule = "ShareProcessNamespace and HostPID cannot both be enabled";
        e.invalid(&at.child("shareProcessNamespace"), true, rule);
    }
    sysctls(spec, context, &at.child("sysctls"), e);
    if has(context, "fsGroupChangePolicy") {
        let policy = text(context, "fsGroupChangePolicy");
        e.supported(&at.child("fsGroupChangePolicy"), policy, &["Always", "OnRootMismatch"]);
    }
    profile(get(context, "seccompProfile"), &at.child("seccompProfile"), e);
    windows(get(context, "windowsOptions"), &at.child("windowsOptions"), e);
    profile(get(context, "appArmorProfile"), &at.child("appArmorProfile"), e);
    if has(context, "supplementalGroupsPolicy") {
        let policy = text(context, "supplementalGroupsPolicy");
        e.supported(&at.child("supplementalGroupsPolicy"), policy, &["Merge", "Strict"]);
    }
    if has(context, "seLinuxChangePolicy") {
        let policy = text(context, "seLinuxChangePolicy");
        e.supported(&at.child("seLinuxChangePolicy"), policy, &["MountOption", "Recursive"]);
    }
}

const SYSCTL: &str = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

fn sysctl_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let segment = |s: &str| {
        let bytes = s.as_bytes();
        bytes.first().is_some_and(|b| inner(*b))
            && bytes.last().is_some_and(|b| inner(*b))
            && bytes.iter().all(|&b| inner(b) || b == b'-' || b == b'_')
    };
    name.len() <= 253 && name.split(['.', '/']).all(segment)
}

fn sysctls(spec: &Value, context: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let mut seen = Vec::new();
    for (i, sysctl) in list(context, "sysctls").iter().enumerate() {
        let here = path.index(i);
        let at = here.child("name");
        let name = text(sysctl, "name");
        if name.is_empty() {
            e.required(&at, "");
        } else if !sysctl_name(name) {
            e.invalid(&at, name, format!("must have at most 253 characters and match regex {SYSCTL}"));
        } else if seen.contains(&name) {
            e.duplicate(&at, name);
        }
        seen.push(name);
        let dotted = name.replace('/', ".");
        if flag(spec, "hostNetwork") && dotted.starts_with("net.") {
            e.invalid(&at, name, "may not be specified when 'hostNetwork' is true");
        }
        if flag(spec, "hostIPC")
            && ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."].iter().any(|p| dotted.starts_with(p))
        {
            e.invalid(&at, name, "may not be specified when 'hostIPC' is true");
        }
    }
}

/// Seccomp and AppArmor profiles have one shape.
fn profile(value: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if value.is_null() {
        return;
    }
    let (kind, local) = (text(value, "type"), get(value, "localhostProfile"));
    match kind {
        "" => e.required(&path.child("type"), "type is required when seccompProfile is set"),
        _ => e.supported(&path.child("type"), kind, &["Localhost", "RuntimeDefault", "Unconfined"]),
    }
    let at = path.child("localhostProfile");
    if kind == "Localhost" {
        match local.as_str() {
            None | Some("") => e.required(&at, "must be set when seccomp type is Localhost"),
            Some(text) => super::volume::local_descending_path(text, &at, e),
        }
    } else if !local.is_null() {
        e.invalid(&at, local, "can only be set when seccomp type is Localhost");
    }
}

fn windows(value: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let spec = text(value, "gmsaCredentialSpecName");
    if has(value, "gmsaCredentialSpecName") {
        e.each(&path.child("gmsaCredentialSpecName"), spec, names::dns1123_subdomain(spec));
    }
    if has(value, "gmsaCredentialSpec") && text(value, "gmsaCredentialSpec").is_empty() {
        e.invalid(&path.child("gmsaCredentialSpec"), "", "gmsaCredentialSpec cannot be an empty string");
    }
    if has(value, "runAsUserName") && text(value, "runAsUserName").is_empty() {
        e.invalid(&path.child("runAsUserName"), "", "runAsUserName cannot be an empty string");
    }
}

/// Checks the context of a container; null is fine.
pub(super) fn container(context: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if context.is_null() {
        return;
    }
    id(context, "runAsUser", path, e);
    id(context, "runAsGroup", path, e);
    if has(context, "procMount") {
        e.supported(&path.child("procMount"), text(context, "procMount"), &["Default", "Unmasked"]);
    }
    profile(get(context, "seccompProfile"), &path.child("seccompProfile"), e);
    if get(context, "allowPrivilegeEscalation").as_bool() == Some(false) {
        if flag(context, "privileged") {
            let rule = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            e.invalid(path, Shown::from(context), rule);
        }
        for capability in texts(get(context, "capabilities"), "add") {
            if capability == "CAP_SYS_ADMIN" {
                let rule = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
                e.invalid(path, Shown::from(context), rule);
            }
        }
    }
    windows(get(context, "windowsOptions"), &path.child("windowsOptions"), e);
    profile(get(context, "appArmorProfile"), &path.child("appArmorProfile"), e);
}
