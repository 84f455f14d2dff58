//! Checks of volumes, mounts and devices.

use super::super::tree::*;
use super::env::{VOLUME_FIELDS, field_ref, resource_ref};
use super::resources::quantity;
use orc_core::validation::{FieldErrors, FieldPath, names};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The sources, in the order in which they are checked.
const SOURCES: &[&str] = &[
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];

/// Checks `volumes`; gives those with a good name, by name.
pub(super) fn volumes<'a>(
    list: &'a [Value],
    pod_name: &str,
    path: &FieldPath<'_>,
    e: &mut FieldErrors,
) -> BTreeMap<&'a str, &'a Value> {
    let mut known = BTreeMap::new();
    for (i, volume) in list.iter().enumerate() {
        let at = path.index(i);
        let name = text(volume, "name");
        let mut own = FieldErrors::new();
        source(volume, pod_name, &at, &mut own);
        if name.is_empty() {
            own.required(&at.child("name"), "");
        } else {
            own.each(&at.child("name"), name, names::dns1123_label(name));
        }
        if known.contains_key(name) {
            own.duplicate(&at.child("name"), name);
        }
        if own.is_empty() {
            known.insert(name, volume);
        }
        e.extend(own);
    }
    known
}

fn source(volume: &Value, pod_name: &str, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let mut found = 0;
    for kind in SOURCES.iter().filter(|k| has(volume, k)) {
        found += 1;
        let at = path.child(kind);
        if found > 1 {
            e.forbidden(&at, "may not specify more than 1 volume type");
            continue;
        }
        one(kind, get(volume, kind), text(volume, "name"), pod_name, &at, e);
    }
    if found == 0 {
        e.required(path, "must specify a volume type");
    }
}

fn one(kind: &str, v: &Value, name: &str, pod_name: &str, at: &FieldPath<'_>, e: &mut FieldErrors) {
    match kind {
        "emptyDir" => {
            let limit = quantity(get(v, "sizeLimit")).unwrap_or_default();
            if limit.sign() < 0 {
                e.forbidden(&at.child("sizeLimit"), "SizeLimit field must be a valid resource quantity");
            }
        }
        "secret" => {
            need(v, "secretName", at, e);
            mode(v, "defaultMode", at, e);
            items(v, at, e);
        }
        "configMap" => {
            need(v, "name", at, e);
            mode(v, "defaultMode", at, e);
            items(v, at, e);
        }
        "downwardAPI" => {
            mode(v, "defaultMode", at, e);
            downward(v, at, e);
        }
        "projected" => projected(v, at, e),
        "persistentVolumeClaim" => need(v, "claimName", at, e),
        "csi" => {
            driver(text(v, "driver"), &at.child("driver"), e);
            if has(v, "nodePublishSecretRef") && text(get(v, "nodePublishSecretRef"), "name").is_empty() {
                e.required(&at.child("nodePublishSecretRef").child("name"), "");
            }
        }
        "ephemeral" => ephemeral(v, name, pod_name, at, e),
        "image" => {
            need(v, "reference", at, e);
            let policy = text(v, "pullPolicy");
            if !policy.is_empty() {
                e.supported(&at.child("pullPolicy"), policy, &["Always", "IfNotPresent", "Never"]);
            }
        }
        "gitRepo" => {
            need(v, "repository", at, e);
            local_path(text(v, "directory"), &at.child("directory"), e);
        }
        _ => storage(kind, v, at, e),
    }
}

/// Checks the sources that volumes and persistent volumes share.
pub(in crate::kinds) fn storage(kind: &str, v: &Value, at: &FieldPath<'_>, e: &mut FieldErrors) {
    let required: &[&str] = match kind {
        "hostPath" => return host_path(v, at, e),
        "nfs" => {
            need(v, "server", at, e);
            need(v, "path", at, e);
            let path = text(v, "path");
            if !path.is_empty() && !path.starts_with('/') {
                e.invalid(&at.child("path"), path, "must be an absolute path");
            }
            return;
        }
        "gcePersistentDisk" => &["pdName"],
        "awsElasticBlockStore" | "cinder" => &["volumeID"],
        "iscsi" => &["targetPortal", "iqn"],
        "glusterfs" => &["endpoints", "path"],
        "rbd" => &["image"],
        "azureFile" => &["secretName", "shareName"],
        "vsphereVolume" => &["volumePath"],
        "photonPersistentDisk" => &["pdID"],
        "portworxVolume" => &["volumeID"],
        "azureDisk" => &["diskName", "diskURI"],
        "scaleIO" => &["gateway", "system", "volumeName"],
        "quobyte" => &["registry", "volume"],
        _ => &[],
    };
    if kind == "rbd" && list(v, "monitors").is_empty() || kind == "cephfs" && list(v, "monitors").is_empty() {
        e.required(&at.child("monitors"), "");
    }
    for field in required {
        need(v, field, at, e);
    }
}

fn host_path(v: &Value, at: &FieldPath<'_>, e: &mut FieldErrors) {
    let path = text(v, "path");
    if path.is_empty() {
        return e.required(&at.child("path"), "");
    }
    no_back_steps(path, &at.child("path"), e);
    const TYPES: &[&str] =
        &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    if has(v, "type") {
        e.supported(&at.child("type"), text(v, "type"), TYPES);
    }
}

fn need(v: &Value, field: &str, at: &FieldPath<'_>, e: &mut FieldErrors) {
    if text(v, field).is_empty() {
        e.required(&at.child(field), "");
    }
}

const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";

fn mode(v: &Value, field: &str, at: &FieldPath<'_>, e: &mut FieldErrors) {
    if let Some(mode) = int(v, field).filter(|m| !(0..=0o777).contains(m)) {
        e.invalid(&at.child(field), mode, MODE);
    }
}

fn items(v: &Value, at: &FieldPath<'_>, e: &mut FieldErrors) {
    let all = at.child("items");
    for (i, item) in list(v, "items").iter().enumerate() {
        key_to_path(item, &all.index(i), e);
    }
}

fn key_to_path(item: &Value, at: &FieldPath<'_>, e: &mut FieldErrors) {
    need(item, "key", at, e);
    let path = text(item, "path");
    need(item, "path", at, e);
    local_non_reserved(path, &at.child("path"), e);
    mode(item, "mode", at, e);
}

/// A path that stays below its root: relative, without `..`.
pub fn local_path(path: &str, at: &FieldPath<'_>, e: &mut FieldErrors) {
    local_descending_path(path, at, e);
    if path.starts_with("..") && !path.starts_with("../") {
        e.invalid(at, path, "must not start with '..'");
    }
}

fn local_non_reserved(path: &str, at: &FieldPath<'_>, e: &mut FieldErrors) {
    local_path(path, at, e);
}

/// A relative path without `..` as a part.
pub(super) fn local_descending_path(path: &str, at: &FieldPath<'_>, e: &mut FieldErrors) {
    if path.starts_with('/') {
        e.invalid(at, path, "must be a relative path");
    }
    no_back_steps(path, at, e);
}

/// A path without `..` as a part.
pub(in crate::kinds) fn no_back_steps(path: &str, at: &FieldPath<'_>, e: &mut FieldErrors) {
    if path.split('/').any(|part| part == "..") {
        e.invalid(at, path, "must not contain '..'");
    }
}

fn downward(v: &Value, at: &FieldPath<'_>, e: &mut FieldErrors) {
    let all = at.child("items");
    for (i, item) in list(v, "items").iter().enumerate() {
        downward_item(item, &all.index(i), e);
    }
}

fn downward_item(item: &Value, at: &FieldPath<'_>, e: &mut FieldErrors) {
    need(item, "path", at, e);
    local_non_reserved(text(item, "path"), &at.child("path"), e);
    let (field, resource) = (has(item, "fieldRef"), has(item, "resourceFieldRef"));
    if field {
        field_ref(get(item, "fieldRef"), VOLUME_FIELDS, &at.child("fieldRef"), e);
        if resource {
            e.invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
        }
    } else if resource {
        resource_ref(get(item, "resourceFieldRef"), true, &at.child("resourceFieldRef"), e);
    } else {
        e.required(at, "one of fieldRef and resourceFieldRef is required");
    }
    mode(item, "mode", at, e);
}

fn projected(v: &Value, at: &FieldPath<'_>, e: &mut FieldErrors) {
    mode(v, "defaultMode", at, e);
    let all = at.child("sources");
    let mut paths = BTreeSet::new();
    for (i, source) in list(v, "sources").iter().enumerate() {
        let here = all.index(i);
        let mut found = 0;
        for kind in
            ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"]
        {
            if !has(source, kind) {
                continue;
            }
            let (inner, sub) = (get(source, kind), here.child(kind));
            found += 1;
            if found > 1 {
                e.forbidden(&sub, "may not specify more than 1 volume type per source");
                continue;
            }
            projected_source(kind, inner, &sub, e);
            for path in projected_paths(kind, inner) {
                if !path.is_empty() && !paths.insert(path.to_owned()) {
                    // Files of a named source are reported under its name.
                    let name = text(inner, "name");
                    let shown = if name.is_empty() || kind == "clusterTrustBundle" { path } else { name };
                    e.invalid(at, shown, "conflicting duplicate paths");
                }
            }
        }
        if found == 0 {
            e.required(&here, "must specify one of the supported source types");
        }
    }
}

fn projected_paths<'a>(kind: &str, source: &'a Value) -> Vec<&'a str> {
    match kind {
        "serviceAccountToken" | "clusterTrustBundle" => vec![text(source, "path")],
        "podCertificate" => {
            ["credentialBundlePath", "keyPath", "certificateChainPath"].iter().map(|f| text(source, f)).collect()
        }
        _ => list(source, "items").iter().map(|item| text(item, "path")).collect(),
    }
}

fn projected_source(kind: &str, v: &Value, at: &FieldPath<'_>, e: &mut FieldErrors) {
    match kind {
        "secret" | "configMap" => {
            need(v, "name", at, e);
            items(v, at, e);
        }
        "downwardAPI" => downward(v, at, e),
        "serviceAccountToken" => {
            let seconds = int(v, "expirationSeconds").unwrap_or(3600);
            if seconds < 600 {
                e.invalid(&at.child("expirationSeconds"), seconds, "may not specify a duration less than 10 minutes");
            } else if seconds > 1 << 32 {
                e.invalid(
                    &at.child("expirationSeconds"),
                    seconds,
                    "may not specify a duration larger than 2^32 seconds",
                );
            }
            need(v, "path", at, e);
            local_non_reserved(text(v, "path"), &at.child("path"), e);
        }
        "clusterTrustBundle" => {
            let (name, signer) = (has(v, "name"), has(v, "signerName"));
            if name && signer {
                e.invalid(at, v, "only one of name and signerName may be used");
            } else if !name && !signer {
                e.required(at, "either name or signerName must be specified");
            }
            need(v, "path", at, e);
            local_non_reserved(text(v, "path"), &at.child("path"), e);
        }
        _ => {
            need(v, "signerName", at, e);
            need(v, "keyType", at, e);
        }
    }
}

/// Checks the name of a CSI driver.
pub(in crate::kinds) fn driver(name: &str, at: &FieldPath<'_>, e: &mut FieldErrors) {
    if name.is_empty() {
        return e.required(at, "");
    }
    if name.len() > 63 {
        e.add(orc_core::validation::FieldError::too_long(at, 63));
    }
    e.each(at, name, names::dns1123_subdomain(&name.to_lowercase()));
}

fn ephemeral(v: &Value, name: &str, pod_name: &str, at: &FieldPath<'_>, e: &mut FieldErrors) {
    let here = at.child("volumeClaimTemplate");
    if !has(v, "volumeClaimTemplate") {
        return e.required(&here, "");
    }
    let template = get(v, "volumeClaimTemplate");
    super::super::claims::template_spec(get(template, "spec"), &here.child("spec"), e);
    let claim = format!("{pod_name}-{name}");
    if !pod_name.is_empty() {
        for rule in names::dns1123_subdomain(&claim) {
            let rule = format!("PVC name {}: {rule}", orc_core::validation::go_quote(&claim));
            e.invalid(&here.child("name"), name, rule);
        }
    }
}

/// Checks `volumeMounts`.
pub(super) fn mounts(c: &Value, volumes: &BTreeMap<&str, &Value>, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let devices: Vec<(&str, &str)> =
        list(c, "volumeDevices").iter().map(|d| (text(d, "name"), text(d, "devicePath"))).collect();
    let mut seen = BTreeSet::new();
    for (i, mount) in list(c, "volumeMounts").iter().enumerate() {
        let at = path.index(i);
        let (name, mount_path) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            e.required(&at.child("name"), "");
        }
        if !volumes.contains_key(name) {
            e.add(orc_core::validation::FieldError::not_found(&at.child("name"), name));
        }
        if mount_path.is_empty() {
            e.required(&at.child("mountPath"), "");
        }
        if !seen.insert(mount_path) {
            e.invalid(&at.child("mountPath"), mount_path, "must be unique");
        }
        if devices.iter().any(|(_, p)| !p.is_empty() && *p == mount_path) {
            e.invalid(&at.child("mountPath"), mount_path, "must not already exist in volumeDevices");
        }
        if devices.iter().any(|(n, _)| *n == name) {
            e.invalid(&at.child("name"), name, "must not already exist in volumeDevices");
        }
        sub_paths(mount, path, &at, e);
        propagation(mount, c, path, e);
        recursive(mount, &at, e);
    }
}

fn sub_paths(mount: &Value, path: &FieldPath<'_>, at: &FieldPath<'_>, e: &mut FieldErrors) {
    let (plain, expression) = (text(mount, "subPath"), text(mount, "subPathExpr"));
    if !plain.is_empty() {
        local_descending_path(plain, &path.child("subPath"), e);
    }
    if !expression.is_empty() {
        if !plain.is_empty() {
            e.invalid(&at.child("subPathExpr"), expression, "subPathExpr and subPath are mutually exclusive");
        }
        local_descending_path(expression, &path.child("subPathExpr"), e);
    }
}

fn propagation(mount: &Value, c: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if !has(mount, "mountPropagation") {
        return;
    }
    let at = path.child("mountPropagation");
    let mode = text(mount, "mountPropagation");
    e.supported(&at, mode, &["Bidirectional", "HostToContainer", "None"]);
    if mode == "Bidirectional" && !flag(get(c, "securityContext"), "privileged") {
        e.forbidden(&at, "Bidirectional mount propagation is available only to privileged containers");
    }
}

fn recursive(mount: &Value, at: &FieldPath<'_>, e: &mut FieldErrors) {
    let here = at.child("recursiveReadOnly");
    match text(mount, "recursiveReadOnly") {
        "" | "Disabled" => {}
        "IfPossible" | "Enabled" => {
            if !flag(mount, "readOnly") {
                e.forbidden(&here, "may only be specified when readOnly is true");
            }
            if !["", "None"].contains(&text(mount, "mountPropagation")) {
                e.forbidden(&here, "may only be specified when mountPropagation is None or not specified");
            }
        }
        other => e.supported(&here, other, &["Disabled", "Enabled", "IfPossible"]),
    }
}

/// Checks `volumeDevices`.
pub(super) fn devices(c: &Value, volumes: &BTreeMap<&str, &Value>, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let mounts: Vec<(&str, &str)> =
        list(c, "volumeMounts").iter().map(|d| (text(d, "name"), text(d, "mountPath"))).collect();
    let (mut paths, mut names) = (BTreeSet::new(), BTreeSet::new());
    for (i, device) in list(c, "volumeDevices").iter().enumerate() {
        let at = path.index(i);
        let (name, device_path) = (text(device, "name"), text(device, "devicePath"));
        if name.is_empty() {
            e.required(&at.child("name"), "");
        }
        if !names.insert(name) {
            e.invalid(&at.child("name"), name, "must be unique");
        }
        match volumes.get(name) {
            Some(volume) if !has(volume, "persistentVolumeClaim") && !has(volume, "ephemeral") => {
                let rule = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                e.invalid(&at.child("name"), name, rule);
            }
            Some(_) => {}
            None => e.add(orc_core::validation::FieldError::not_found(&at.child("name"), name)),
        }
        if device_path.is_empty() {
            e.required(&at.child("devicePath"), "");
        }
        if !paths.insert(device_path) {
            e.invalid(&at.child("devicePath"), device_path, "must be unique");
        }
        if !device_path.is_empty() {
            no_back_steps(device_path, &at.child("devicePath"), e);
        }
        if mounts.iter().any(|(_, p)| !p.is_empty() && *p == device_path) {
            e.invalid(&at.child("devicePath"), device_path, "must not already exist in volumeMounts");
        }
        if mounts.iter().any(|(n, _)| *n == name) {
            e.invalid(&at.child("name"), name, "must not already exist in volumeMounts");
        }
    }
}
