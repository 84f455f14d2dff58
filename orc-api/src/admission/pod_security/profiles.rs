//! The checks about AppArmor, SELinux and seccomp.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fields::{at, containers, is_windows, name, named, plural, quoted, setters, text, those};
use super::{Subject, Violation};

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

fn annotations<'a>(pod: &Subject<'a>) -> impl Iterator<Item = (&'a String, &'a str)> {
    let map = pod.metadata.get("annotations").and_then(Value::as_object);
    map.into_iter().flatten().filter_map(|(key, value)| Some((key, value.as_str()?)))
}

/// A part of a security context of the pod and of its containers whose `type` is not fine: who set it, and to what.
fn bad_types<'a>(spec: &'a Value, field: &str, fine: impl Fn(&str) -> bool) -> Option<(String, BTreeSet<&'a str>)> {
    let path = format!("securityContext.{field}.type");
    let given = |value: &'a Value| {
        at(value, &format!("securityContext.{field}"))?;
        Some(text(value, &path)).filter(|kind| !fine(kind))
    };
    let mut kinds: BTreeSet<&str> = given(spec).into_iter().collect();
    let mut names = Vec::new();
    for container in containers(spec) {
        if let Some(kind) = given(container) {
            kinds.insert(kind);
            names.push(name(container));
        }
    }
    Some((setters(given(spec).is_some(), &names)?, kinds))
}

pub(super) fn app_armor(pod: &Subject<'_>) -> Option<Violation> {
    let fine = |value: &str| value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
    let mut bad: Vec<String> = annotations(pod)
        .filter(|(key, value)| key.starts_with(APP_ARMOR) && !fine(value))
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    bad.sort();
    let fields = bad_types(pod.spec, "appArmorProfile", |kind| matches!(kind, "RuntimeDefault" | "Localhost"));
    let count = bad.len() + fields.as_ref().map_or(0, |(_, kinds)| kinds.len());
    if let Some((who, kinds)) = fields {
        let text = format!("{who} must not set securityContext.appArmorProfile.type to {}", quoted(&kinds));
        bad.insert(0, text);
    }
    let reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", count);
    (!bad.is_empty()).then(|| Violation::new(reason, bad.join(", ")))
}

pub(super) fn se_linux(pod: &Subject<'_>) -> Option<Violation> {
    const FIELD: &str = "securityContext.seLinuxOptions";
    let fine = |kind: &str| {
        matches!(kind, "" | "container_t" | "container_init_t" | "container_kvm_t")
            || kind == "container_engine_t" && pod.minor >= 31
    };
    let sets = |value: &Value, field: &str| !text(value, &format!("{FIELD}.{field}")).is_empty();
    let kind = |value: &Value| text(value, &format!("{FIELD}.type")).to_owned();
    let bad = |value: &Value| !fine(&kind(value)) || sets(value, "user") || sets(value, "role");
    let names = those(pod.spec, bad);
    let who = setters(bad(pod.spec), &names)?;
    let all = || std::iter::once(pod.spec).chain(containers(pod.spec));
    let kinds: BTreeSet<String> = all().map(kind).filter(|kind| !fine(kind)).collect();
    let mut what = Vec::new();
    if !kinds.is_empty() {
        what.push(format!("{} {}", plural("type", "types", kinds.len()), quoted(&kinds)));
    }
    for field in ["user", "role"] {
        if all().any(|value| sets(value, field)) {
            what.push(format!("{field} may not be set"));
        }
    }
    let detail = format!("{who} set forbidden securityContext.seLinuxOptions: {}", what.join("; "));
    Some(Violation::new("seLinuxOptions", detail))
}

fn seccomp_fine(kind: &str) -> bool {
    matches!(kind, "RuntimeDefault" | "Localhost")
}

pub(super) fn seccomp_baseline(pod: &Subject<'_>) -> Option<Violation> {
    if pod.minor < 19 {
        return seccomp_annotations(pod);
    }
    let (who, kinds) = bad_types(pod.spec, "seccompProfile", seccomp_fine)?;
    let detail = format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(&kinds));
    Some(Violation::new("seccompProfile", detail))
}

fn seccomp_annotations(pod: &Subject<'_>) -> Option<Violation> {
    const POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
    const CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
    let fine = |v: &str| matches!(v, "runtime/default" | "docker/default") || v.starts_with("localhost/");
    let ours = |key: &str| {
        key == POD || key.strip_prefix(CONTAINER).is_some_and(|of| containers(pod.spec).any(|c| name(c) == of))
    };
    let bad: Vec<String> = annotations(pod)
        .filter(|(key, value)| ours(key) && !fine(value))
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    let detail = || format!("forbidden {} {}", plural("annotation", "annotations", bad.len()), bad.join(", "));
    (!bad.is_empty()).then(|| Violation::new("seccompProfile", detail()))
}

pub(super) fn seccomp_restricted(pod: &Subject<'_>) -> Option<Violation> {
    const FIELD: &str = "securityContext.seccompProfile";
    if pod.minor >= 25 && is_windows(pod.spec) {
        return None;
    }
    if let Some((who, kinds)) = bad_types(pod.spec, "seccompProfile", seccomp_fine) {
        let detail = format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(&kinds));
        return Some(Violation::new("seccompProfile", detail));
    }
    if at(pod.spec, FIELD).is_some() {
        return None;
    }
    let names = those(pod.spec, |container| at(container, FIELD).is_none());
    let tail = "must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"";
    (!names.is_empty()).then(|| Violation::new("seccompProfile", format!("pod or {} {tail}", named(&names))))
}
