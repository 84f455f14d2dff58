//! Which statuses of a pod are allowed.

use super::super::tree::*;
use super::annotations;
use super::update::annotation_changes;
use orc_core::validation::{FieldErrors, FieldPath};
use serde_json::Value;

/// Checks a status written by a node.
pub(super) fn validate(new: &Value, old: &Value, e: &mut FieldErrors) {
    annotation_changes(new, old, e);
    annotations(new, e);
    let path = FieldPath::new("status");
    let (now, was) = (get(new, "status"), get(old, "status"));
    if text(get(new, "spec"), "nodeName") != text(get(old, "spec"), "nodeName") {
        e.forbidden(&path.child("nodeName"), "may not be changed directly");
    }
    let nominated = text(now, "nominatedNodeName");
    if nominated != text(was, "nominatedNodeName") && !nominated.is_empty() {
        let at = path.child("nominatedNodeName");
        e.each(&at, nominated, orc_core::validation::names::dns1123_subdomain(nominated));
    }
    let spec = get(old, "spec");
    if text(spec, "restartPolicy") != "Always" {
        for kind in ["containerStatuses", "initContainerStatuses"] {
            transitions(now, was, spec, kind, &path, e);
        }
    }
    let class = text(now, "qosClass");
    if class != text(was, "qosClass") {
        e.invalid(&path.child("qosClass"), class, IMMUTABLE);
    }
    let mut seen = std::collections::BTreeSet::new();
    let ips = path.child("podIPs");
    for (i, entry) in list(now, "podIPs").iter().enumerate() {
        let address = text(entry, "ip");
        e.each(&ips.index(i), address, orc_core::validation::ip::ip(address));
        if !seen.insert(address) {
            e.duplicate(&ips.index(i), address);
        }
    }
}

fn transitions(now: &Value, was: &Value, spec: &Value, kind: &str, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let at_kind = path.child(kind);
    let sidecar = |name: &str| {
        list(spec, "initContainers").iter().any(|c| text(c, "name") == name && text(c, "restartPolicy") == "Always")
    };
    for (i, old) in list(was, kind).iter().enumerate() {
        let ended = at(old, "state.terminated");
        let name = text(old, "name");
        let failed = int(ended, "exitCode").unwrap_or(0) != 0;
        let own = list(spec, "containers").iter().find(|c| text(c, "name") == name);
        let restarts = own.is_some_and(|c| has(c, "restartPolicy"));
        if ended.is_null() || (failed && text(spec, "restartPolicy") == "OnFailure") || sidecar(name) || restarts {
            continue;
        }
        let alive = |s: &&Value| text(s, "name") == name && at(s, "state.terminated").is_null();
        if list(now, kind).iter().any(|s| alive(&s)) {
            e.forbidden(&at_kind.index(i).child("state"), "may not be transitioned to non-terminated state");
        }
    }
}
