//! Defaulting of pod specifications.

use super::super::tree::*;
use orc_core::quantity::Quantity;
use serde_json::{Value, json};

/// Fills in a pod specification, in a pod or a template.
pub fn default(spec: &mut Value) {
    drop_gated(spec);
    put_text(spec, "dnsPolicy", "ClusterFirst");
    put_text(spec, "restartPolicy", "Always");
    put_default(spec, "securityContext", json!({}));
    put_default(spec, "terminationGracePeriodSeconds", 30);
    put_text(spec, "schedulerName", "default-scheduler");
    service_account(spec);
    for volume in items(spec, "volumes") {
        self::volume(volume);
    }
    for kind in ["initContainers", "containers", "ephemeralContainers"] {
        for container in items(spec, kind) {
            self::container(container);
        }
    }
}

/// `serviceAccount` is the old name of `serviceAccountName`; both are always written.
fn service_account(spec: &mut Value) {
    let name = match text(spec, "serviceAccountName") {
        "" => text(spec, "serviceAccount").to_owned(),
        name => name.to_owned(),
    };
    if !name.is_empty() {
        put(spec, "serviceAccountName", name.clone());
        put(spec, "serviceAccount", name);
    }
}

/// What is filled in for pods only, not for templates.
pub fn default_for_pod(spec: &mut Value) {
    let host_network = flag(spec, "hostNetwork");
    for kind in ["containers", "initContainers"] {
        for container in items(spec, kind) {
            requests_from_limits(container);
            if host_network {
                for port in items(container, "ports") {
                    if int(port, "hostPort").unwrap_or(0) == 0 {
                        let number = int(port, "containerPort").unwrap_or(0);
                        put(port, "hostPort", number);
                    }
                }
            }
        }
    }
    put_default(spec, "enableServiceLinks", true);
    if int(spec, "terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
        put(spec, "terminationGracePeriodSeconds", 1);
    }
    pod_level_requests(spec);
}

fn requests_from_limits(container: &mut Value) {
    let Some(resources) = child(container, "resources") else { return };
    let Some(limits) = get(resources, "limits").as_object().cloned() else { return };
    let requests = ensure(resources, "requests");
    for (name, limit) in limits {
        put_default(requests, &name, limit);
    }
}

/// Pod-level requests take over from pod-level limits where no container asks for the resource.
fn pod_level_requests(spec: &mut Value) {
    let Some(limits) = at(spec, "resources.limits").as_object().cloned() else { return };
    let mut sums: std::collections::BTreeMap<String, Quantity> = Default::default();
    for container in list(spec, "containers") {
        for (name, amount) in entries(get(container, "resources"), "requests") {
            let amount = super::resources::quantity(amount).unwrap_or_default();
            let sum = sums.entry(name.to_owned()).or_insert(Quantity::ZERO);
            *sum = sum.add(amount);
        }
    }
    let Some(resources) = child(spec, "resources") else { return };
    let requests = ensure(resources, "requests");
    for (name, limit) in limits {
        let summed = sums.get(&name).map(|sum| Value::from(sum.to_string()));
        let hugepages = name.starts_with("hugepages-");
        if !hugepages && let Some(sum) = summed {
            put_default(requests, &name, sum);
        } else {
            put_default(requests, &name, limit);
        }
    }
}

fn container(container: &mut Value) {
    let image = text(container, "image").to_owned();
    let policy = if latest(&image) { "Always" } else { "IfNotPresent" };
    put_text(container, "imagePullPolicy", policy);
    put_text(container, "terminationMessagePath", "/dev/termination-log");
    put_text(container, "terminationMessagePolicy", "File");
    put_default(container, "resources", json!({}));
    for port in items(container, "ports") {
        put_text(port, "protocol", "TCP");
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = child(container, probe) {
            self::probe(probe);
        }
    }
    for hook in ["lifecycle.postStart.httpGet", "lifecycle.preStop.httpGet"] {
        if let Some(action) = child_at(container, hook) {
            http_get(action);
        }
    }
    for variable in items(container, "env") {
        if let Some(field) = child_at(variable, "valueFrom.fieldRef") {
            put_text(field, "apiVersion", "v1");
        }
        if let Some(resource) = child_at(variable, "valueFrom.resourceFieldRef") {
            put_default(resource, "divisor", "0");
        }
        if let Some(file) = child_at(variable, "valueFrom.fileKeyRef") {
            put_default(file, "optional", false);
        }
    }
}

/// Whether an image reference means the moving tag: `:latest`, or neither tag nor digest.
fn latest(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let last = image.rsplit('/').next().unwrap_or("");
    last.rsplit_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn probe(probe: &mut Value) {
    for (field, value) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        put_number(probe, field, value);
    }
    if let Some(action) = child(probe, "httpGet") {
        http_get(action);
    }
    if let Some(action) = child(probe, "grpc") {
        put_default(action, "service", "");
    }
}

fn http_get(action: &mut Value) {
    put_text(action, "path", "/");
    put_text(action, "scheme", "HTTP");
}

fn volume(volume: &mut Value) {
    let sources = volume.as_object().is_some_and(|v| v.iter().any(|(k, v)| k != "name" && !v.is_null()));
    if !sources {
        put(volume, "emptyDir", json!({}));
    }
    for kind in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = child(volume, kind) {
            put_default(source, "defaultMode", 420);
        }
    }
    if let Some(source) = child(volume, "downwardAPI") {
        downward_items(source);
    }
    if let Some(source) = child(volume, "projected") {
        for part in items(source, "sources") {
            if let Some(token) = child(part, "serviceAccountToken") {
                put_default(token, "expirationSeconds", 3600);
            }
            if let Some(downward) = child(part, "downwardAPI") {
                downward_items(downward);
            }
        }
    }
    if let Some(template) = child_at(volume, "ephemeral.volumeClaimTemplate.spec") {
        volume_claim(template);
    }
    if let Some(image) = child(volume, "image") {
        let policy = if latest(text(image, "reference")) { "Always" } else { "IfNotPresent" };
        put_text(image, "pullPolicy", policy);
    }
    storage_source(volume);
}

/// Defaults of the storage systems, shared by volumes and persistent volumes.
pub(in crate::kinds) fn storage_source(source: &mut Value) {
    if let Some(path) = child(source, "hostPath") {
        put_default(path, "type", "");
    }
    let texts: [(&str, &[(&str, &str)]); 4] = [
        ("iscsi", &[("iscsiInterface", "default")]),
        ("rbd", &[("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring")]),
        ("azureDisk", &[("cachingMode", "ReadWrite"), ("kind", "Shared"), ("fsType", "ext4")]),
        ("scaleIO", &[("storageMode", "ThinProvisioned"), ("fsType", "xfs")]),
    ];
    for (kind, fields) in texts {
        if let Some(inner) = child(source, kind) {
            fields.iter().for_each(|(field, value)| put_text(inner, field, value));
            if kind == "azureDisk" {
                put_default(inner, "readOnly", false);
            }
        }
    }
}

fn downward_items(source: &mut Value) {
    for item in items(source, "items") {
        if let Some(field) = child(item, "fieldRef") {
            put_text(field, "apiVersion", "v1");
        }
        if let Some(resource) = child(item, "resourceFieldRef") {
            put_default(resource, "divisor", "0");
        }
    }
}

/// Fills in the specification of a volume claim.
pub fn volume_claim(spec: &mut Value) {
    put_default(spec, "volumeMode", "Filesystem");
}

/// Removes fields that are behind gates which are off at this level, as a server does that has them off.
fn drop_gated(spec: &mut Value) {
    for kind in ["initContainers", "containers", "ephemeralContainers"] {
        for container in items(spec, kind) {
            if let Some(lifecycle) = child(container, "lifecycle") {
                remove(lifecycle, "stopSignal");
                if !has(lifecycle, "postStart") && !has(lifecycle, "preStop") {
                    remove(container, "lifecycle");
                }
            }
        }
    }
}
