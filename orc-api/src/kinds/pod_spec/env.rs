//! Checks of environment variables and of references to fields of the pod.

use super::super::tree::*;
use super::resources::quantity;
use orc_core::validation::{FieldErrors, FieldPath, names};
use serde_json::Value;

const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields of the pod that a volume may show.
pub(super) const VOLUME_FIELDS: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const KNOWN_FIELDS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
    "spec.host",
];
const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// Checks `env`.
pub(super) fn env(variables: &[Value], path: &FieldPath<'_>, e: &mut FieldErrors) {
    for (i, variable) in variables.iter().enumerate() {
        let at = path.index(i);
        let name = text(variable, "name");
        if name.is_empty() {
            e.required(&at.child("name"), "");
        } else {
            e.each(&at.child("name"), name, names::env_var(name));
        }
        value_from(variable, &at.child("valueFrom"), e);
    }
}

fn value_from(variable: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if !has(variable, "valueFrom") {
        return;
    }
    let from = get(variable, "valueFrom");
    let mut sources = 0;
    for kind in ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"] {
        if !has(from, kind) {
            continue;
        }
        sources += 1;
        let (source, at) = (get(from, kind), path.child(kind));
        match kind {
            "fieldRef" => field_ref(source, ENV_FIELDS, &at, e),
            "resourceFieldRef" => resource_ref(source, false, &at, e),
            "fileKeyRef" => file_ref(source, &at, e),
            _ => key_ref(source, &at, e),
        }
    }
    if sources == 0 {
        let rule =
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        e.invalid(path, "", rule);
    } else if !text(variable, "value").is_empty() {
        e.invalid(path, "", "may not be specified when `value` is not empty");
    } else if sources > 1 {
        e.invalid(path, "", "may not have more than one field specified at a time");
    }
}

fn key_ref(source: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let (name, key) = (text(source, "name"), text(source, "key"));
    e.each(&path.child("name"), name, names::dns1123_subdomain(name));
    if key.is_empty() {
        e.required(&path.child("key"), "");
    } else {
        e.each(&path.child("key"), key, names::config_map_key(key));
    }
}

fn file_ref(source: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    for field in ["volumeName", "path", "key"] {
        if text(source, field).is_empty() {
            e.required(&path.child(field), "");
        }
    }
    let key = text(source, "key");
    if !key.is_empty() {
        e.each(&path.child("key"), key, names::env_var(key));
    }
    let file = text(source, "path");
    if !file.is_empty() {
        super::volume::local_descending_path(file, &path.child("path"), e);
    }
}

/// Splits `metadata.labels['key']`; none where there is no subscript.
fn subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['").filter(|(head, _)| !head.is_empty())
}

/// Checks a reference to a field of the pod, one of `fields` or an entry of its labels or annotations.
pub(super) fn field_ref(source: &Value, fields: &[&str], path: &FieldPath<'_>, e: &mut FieldErrors) {
    let (version, field) = (text(source, "apiVersion"), text(source, "fieldPath"));
    if version.is_empty() {
        return e.required(&path.child("apiVersion"), "");
    }
    if field.is_empty() {
        return e.required(&path.child("fieldPath"), "");
    }
    let at = path.child("fieldPath");
    let split = subscript(field);
    if version != "v1" {
        return e.invalid(&at, field, format!("error converting fieldPath: unsupported pod version: {version}"));
    }
    let known = match split {
        Some((head, _)) => ["metadata.annotations", "metadata.labels"].contains(&head),
        None => KNOWN_FIELDS.contains(&field),
    };
    if !known {
        let what = if split.is_some() { "field label does not support subscript" } else { "field label not supported" };
        return e.invalid(&at, field, format!("error converting fieldPath: {what}: {field}"));
    }
    match split {
        Some(("metadata.annotations", key)) => e.each(path, key, names::qualified_name(&key.to_lowercase())),
        Some((_, key)) => e.each(path, key, names::qualified_name(key)),
        None => {
            let field = if field == "spec.host" { "spec.nodeName" } else { field };
            e.supported(&at, field, fields);
        }
    }
}

/// Checks a reference to a request or limit of a container.
pub(super) fn resource_ref(source: &Value, volume: bool, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let resource = text(source, "resource");
    let huge = resource.starts_with("limits.hugepages-") || resource.starts_with("requests.hugepages-");
    if volume && text(source, "containerName").is_empty() {
        e.required(&path.child("containerName"), "");
    } else if resource.is_empty() {
        e.required(&path.child("resource"), "");
    } else if !huge {
        e.supported(&path.child("resource"), resource, RESOURCES);
    }
    let divisor = quantity(get(source, "divisor")).unwrap_or_default();
    if divisor.is_zero() {
        return;
    }
    let bytes = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
    let shown = divisor.to_string();
    let at = path.child("divisor");
    let all = bytes.join(", ");
    match resource {
        "limits.cpu" | "requests.cpu" if !["1m", "1"].contains(&shown.as_str()) => {
            e.invalid(&at, resource, "only divisor's values 1m and 1 are supported with the cpu resource");
        }
        "limits.memory" | "requests.memory" if !bytes.contains(&shown.as_str()) => {
            e.invalid(&at, resource, format!("only divisor's values {all} are supported with the memory resource"));
        }
        "limits.ephemeral-storage" | "requests.ephemeral-storage" if !bytes.contains(&shown.as_str()) => {
            let rule = format!("only divisor's values {all} are supported with the local ephemeral storage resource");
            e.invalid(&at, resource, rule);
        }
        _ => {}
    }
}

/// Checks `envFrom`.
pub(super) fn env_from(sources: &[Value], path: &FieldPath<'_>, e: &mut FieldErrors) {
    for (i, source) in sources.iter().enumerate() {
        let at = path.index(i);
        let prefix = text(source, "prefix");
        if !prefix.is_empty() {
            e.each(&at.child("prefix"), prefix, names::env_var(prefix));
        }
        let mut count = 0;
        for kind in ["configMapRef", "secretRef"].into_iter().filter(|k| has(source, k)) {
            count += 1;
            let name = text(get(source, kind), "name");
            let here = at.child(kind);
            if name.is_empty() {
                e.required(&here.child("name"), "");
            } else {
                e.each(&here.child("name"), name, names::dns1123_subdomain(name));
            }
        }
        if count == 0 {
            e.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`");
        } else if count > 1 {
            e.invalid(path, "", "may not have more than one field specified at a time");
        }
    }
}
