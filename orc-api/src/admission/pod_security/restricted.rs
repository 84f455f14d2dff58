//! The checks of the restricted level.

use std::collections::BTreeSet;

use super::fields::{at, containers, is_windows, list, name, named, plural, quoted, setters, those};
use super::{Subject, Violation};
use serde_json::Value;

pub(super) fn privilege_escalation(pod: &Subject<'_>) -> Option<Violation> {
    if pod.minor >= 25 && is_windows(pod.spec) {
        return None;
    }
    let field = "securityContext.allowPrivilegeEscalation";
    let names = those(pod.spec, |container| at(container, field).and_then(Value::as_bool) != Some(false));
    let detail = || format!("{} must set securityContext.allowPrivilegeEscalation=false", named(&names));
    (!names.is_empty()).then(|| Violation::new("allowPrivilegeEscalation != false", detail()))
}

pub(super) fn capabilities(pod: &Subject<'_>) -> Option<Violation> {
    if pod.minor >= 25 && is_windows(pod.spec) {
        return None;
    }
    let has_all = |container: &Value| list(container, "securityContext.capabilities.drop").any(|c| c == "ALL");
    let keep = those(pod.spec, |container| !has_all(container));
    let (mut adders, mut added) = (Vec::new(), BTreeSet::new());
    for container in containers(pod.spec) {
        let bad: Vec<&str> = list(container, "securityContext.capabilities.add")
            .filter_map(Value::as_str)
            .filter(|c| *c != "NET_BIND_SERVICE")
            .collect();
        if !bad.is_empty() {
            adders.push(name(container));
            added.extend(bad);
        }
    }
    let mut details = Vec::new();
    if !keep.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", named(&keep)));
    }
    if !adders.is_empty() {
        let what = quoted(&added);
        details.push(format!("{} must not include {what} in securityContext.capabilities.add", named(&adders)));
    }
    (!details.is_empty()).then(|| Violation::new("unrestricted capabilities", details.join("; ")))
}

/// Volumes that hold nothing of the node's.
const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

pub(super) fn volumes(pod: &Subject<'_>) -> Option<Violation> {
    let (mut names, mut kinds) = (Vec::new(), BTreeSet::new());
    for volume in list(pod.spec, "volumes") {
        let sources = volume.as_object().into_iter().flatten();
        let source =
            sources.filter(|(key, value)| *key != "name" && !value.is_null()).map(|(key, _)| key.as_str()).next();
        match source {
            Some(kind) if VOLUMES.contains(&kind) => {}
            other => {
                names.push(name(volume));
                kinds.insert(other.unwrap_or("unknown"));
            }
        }
    }
    let (verb, noun) =
        (plural("uses", "use", names.len()), plural("restricted volume type", "restricted volume types", kinds.len()));
    let detail =
        || format!("{} {} {verb} {noun} {}", plural("volume", "volumes", names.len()), quoted(&names), quoted(&kinds));
    (!names.is_empty()).then(|| Violation::new("restricted volume types", detail()))
}

pub(super) fn run_as_non_root(pod: &Subject<'_>) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    let says = |value: &Value| at(value, "securityContext.runAsNonRoot").and_then(Value::as_bool);
    let denies = those(pod.spec, |container| says(container) == Some(false));
    if let Some(who) = setters(says(pod.spec) == Some(false), &denies) {
        return Some(Violation::new(REASON, format!("{who} must not set securityContext.runAsNonRoot=false")));
    }
    if says(pod.spec) == Some(true) {
        return None;
    }
    let silent = those(pod.spec, |container| says(container).is_none());
    let detail = || format!("pod or {} must set securityContext.runAsNonRoot=true", named(&silent));
    (!silent.is_empty()).then(|| Violation::new(REASON, detail()))
}

pub(super) fn run_as_user(pod: &Subject<'_>) -> Option<Violation> {
    let root = |value: &Value| at(value, "securityContext.runAsUser").and_then(Value::as_i64) == Some(0);
    let who = setters(root(pod.spec), &those(pod.spec, root))?;
    Some(Violation::new("runAsUser=0", format!("{who} must not set runAsUser=0")))
}
