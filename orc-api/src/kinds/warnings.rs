//! Warnings about pods and templates: what is allowed and yet likely a mistake.

use super::tree::*;
use orc_core::validation::names;
use serde_json::Value;
use std::collections::BTreeMap;

/// Warnings about a pod.
pub(super) fn pod(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut out = Vec::new();
    if old.is_none() && text(get(new, "metadata"), "generateName").is_empty() {
        name(new, "this is used in the Pod's hostname", &mut out);
    }
    annotations(at(new, "metadata.annotations"), "metadata", &mut out);
    let unchanged = old.is_some_and(|old| same(get(new, "spec"), get(old, "spec")));
    if !unchanged {
        spec(get(new, "spec"), "spec", &mut out);
    }
    out
}

/// Warning about a name that is no DNS label though one is derived from it.
pub(super) fn name(object: &Value, use_of: &str, out: &mut Vec<String>) {
    let broken = names::dns1123_label(text(get(object, "metadata"), "name"));
    if !broken.is_empty() {
        out.push(format!(
            "metadata.name: {use_of}, which can result in surprising behavior; a DNS label is recommended: [{}]",
            broken.join(" ")
        ));
    }
}

/// Warnings about the template of a workload; `prefix` is its path.
pub(super) fn template(template: &Value, prefix: &str, out: &mut Vec<String>) {
    annotations(at(template, "metadata.annotations"), &format!("{prefix}.metadata"), out);
    spec(get(template, "spec"), &format!("{prefix}.spec"), out);
}

/// Warnings of a workload: its name and, where it changed, its template.
pub(super) fn workload(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut out = Vec::new();
    if old.is_none() {
        name(new, "this is used in Pod names and hostnames", &mut out);
    }
    let changed = old.is_none_or(|old| !same(at(new, "spec.template"), at(old, "spec.template")));
    if changed {
        template(at(new, "spec.template"), "spec.template", &mut out);
    }
    out
}

fn annotations(all: &Value, prefix: &str, out: &mut Vec<String>) {
    const POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
    const CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
    for (key, _) in all.as_object().into_iter().flatten() {
        if key == POD || key.starts_with(CONTAINER) {
            out.push(format!(
                "{prefix}.annotations[{key}]: non-functional in v1.27+; use the \"seccompProfile\" field instead"
            ));
        }
        if key.starts_with("container.apparmor.security.beta.kubernetes.io/") {
            out.push(format!(
                "{prefix}.annotations[{key}]: deprecated since v1.30; use the \"appArmorProfile\" field instead"
            ));
        }
    }
}

fn spec(spec: &Value, prefix: &str, out: &mut Vec<String>) {
    node_labels(spec, prefix, out);
    for (i, alias) in list(spec, "hostAliases").iter().enumerate() {
        let address = text(alias, "ip");
        out.extend(orc_core::validation::ip::warnings(&format!("{prefix}.hostAliases[{i}].ip"), address));
    }
    duplicates(spec, "imagePullSecrets", prefix, out);
    for (i, secret) in list(spec, "imagePullSecrets").iter().enumerate() {
        if text(secret, "name").is_empty() {
            out.push(format!("{prefix}.imagePullSecrets[{i}].name: invalid empty name \"\""));
        }
    }
    for (i, constraint) in list(spec, "topologySpreadConstraints").iter().enumerate() {
        if !has(constraint, "labelSelector") {
            out.push(format!(
                "{prefix}.topologySpreadConstraints[{i}].labelSelector: a null labelSelector results in matching no pod"
            ));
        }
    }
    volumes(spec, prefix, out);
    for kind in ["initContainers", "containers"] {
        for (i, container) in list(spec, kind).iter().enumerate() {
            self::container(container, &format!("{prefix}.{kind}[{i}]"), out);
        }
    }
    ports(spec, prefix, out);
}

fn node_labels(spec: &Value, prefix: &str, out: &mut Vec<String>) {
    const OLD: &[(&str, &str)] = &[
        ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
        ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
        (
            "failure-domain.beta.kubernetes.io/region",
            "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
        ),
        (
            "failure-domain.beta.kubernetes.io/zone",
            "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
        ),
        (
            "beta.kubernetes.io/instance-type",
            "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
        ),
    ];
    for (key, what) in OLD.iter().filter(|(key, _)| has(get(spec, "nodeSelector"), key)) {
        out.push(format!("{prefix}.nodeSelector[{key}]: {what}"));
    }
}

fn duplicates(spec: &Value, field: &str, prefix: &str, out: &mut Vec<String>) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, item) in list(spec, field).iter().enumerate() {
        let name = text(item, "name");
        if let Some(first) = seen.get(name) {
            out.push(format!("{prefix}.{field}[{i}].name: hides previous definition of \"{name}\" at {prefix}.{field}[{first}].name, which may be dropped when using apply"));
        }
        seen.entry(name).or_insert(i);
    }
}

fn volumes(spec: &Value, prefix: &str, out: &mut Vec<String>) {
    const OLD: &[(&str, &str)] = &[
        ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
        ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
        ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
        ("glusterfs", "deprecated in v1.25, this feature will be removed soon after in a subsequent release"),
        ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
        ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
        ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
        ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
        ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ];
    for (i, volume) in list(spec, "volumes").iter().enumerate() {
        for (kind, what) in OLD.iter().filter(|(kind, _)| has(volume, kind)) {
            out.push(format!("{prefix}.volumes[{i}].{kind}: {what}"));
        }
    }
}

fn container(container: &Value, prefix: &str, out: &mut Vec<String>) {
    let mut seen: Vec<&str> = Vec::new();
    for (i, variable) in list(container, "env").iter().enumerate() {
        let name = text(variable, "name");
        if seen.contains(&name) {
            // A value that refers to the one it hides is meant.
            if !text(variable, "value").contains(&format!("$({name})")) {
                out.push(format!(
                    "{prefix}.env[{i}]: hides previous definition of \"{name}\", which may be dropped when using apply"
                ));
            }
        }
        seen.push(name);
    }
    for side in ["limits", "requests"] {
        for name in ["memory", "ephemeral-storage"] {
            let value = get(get(get(container, "resources"), side), name);
            let Some(amount) = super::pod_spec::resources::quantity(value) else { continue };
            if amount.milli_value() % 1000 != 0 {
                out.push(format!(
                    "{prefix}.resources.{side}[{name}]: fractional byte value \"{amount}\" is invalid, must be an integer"
                ));
            }
        }
    }
}

/// The same port twice in one container, or the same host port anywhere in the pod.
fn ports(spec: &Value, prefix: &str, out: &mut Vec<String>) {
    let mut seen: Vec<(String, String)> = Vec::new();
    for (i, container) in list(spec, "containers").iter().enumerate() {
        for (j, port) in list(container, "ports").iter().enumerate() {
            let path = format!("{prefix}.containers[{i}].ports[{j}]");
            let key = format!(
                "{}/{}/{}/{}",
                int(port, "containerPort").unwrap_or(0),
                text(port, "protocol"),
                int(port, "hostPort").unwrap_or(0),
                text(port, "hostIP")
            );
            if let Some((_, first)) = seen.iter().find(|(k, _)| *k == key) {
                let what = "duplicate port definition with";
                out.push(format!("{path}: {what} {first}"));
            } else {
                seen.push((key, path));
            }
        }
    }
}
