//! Persistent volumes and the claims to them.

use super::pod_spec::{self, labels::label_selector, resources};
use super::rules::{Kind, keep};
use super::tree::*;
use orc_core::validation::{FieldError, FieldErrors, FieldPath, names};
use serde_json::{Value, json};

const SPEC: FieldPath<'static> = FieldPath::new("spec");
const MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// The rules of `persistentvolumeclaims`.
pub(super) static CLAIM: Kind = Kind {
    status: true,
    revalidates_meta: true,
    default: claim_default,
    prepare_create: |claim| put(claim, "status", json!({"phase": "Pending"})),
    validate: |claim, e| claim_spec(get(claim, "spec"), &SPEC, e),
    validate_update: claim_update,
    validate_sub: claim_status,
    prepare_update: |new, old| keep(new, old, "status"),
    ..Kind::NAMESPACED
};

/// The rules of `persistentvolumes`.
pub(super) static VOLUME: Kind = Kind {
    status: true,
    default: volume_default,
    prepare_create: |volume| put(volume, "status", json!({"phase": "Pending"})),
    validate: |volume, e| volume_spec(get(volume, "spec"), e),
    validate_update: volume_update,
    ..Kind::CLUSTER
};

fn claim_default(claim: &mut Value) {
    pod_spec::volume_claim(ensure(claim, "spec"));
    let spec = ensure(claim, "spec");
    source_rules(spec);
    // The two forms of the source mean the same where both can say it.
    if has(spec, "dataSource") && !has(spec, "dataSourceRef") {
        let source = get(spec, "dataSource").clone();
        put(spec, "dataSourceRef", source);
    } else if has(spec, "dataSourceRef") && !has(spec, "dataSource") {
        let source = get(spec, "dataSourceRef").clone();
        if text(&source, "namespace").is_empty() {
            put(spec, "dataSource", source);
        }
    }
    if let Some(status) = child(claim, "status") {
        put_text(status, "phase", "Pending");
    }
}

/// The old form may name a claim or a snapshot only; the newer one may not leave the namespace. Both are dropped quietly.
fn source_rules(spec: &mut Value) {
    let (group, kind) = (text(get(spec, "dataSource"), "apiGroup"), text(get(spec, "dataSource"), "kind"));
    let claim = group.is_empty() && kind == "PersistentVolumeClaim";
    let snapshot = group == "snapshot.storage.k8s.io" && kind == "VolumeSnapshot";
    if has(spec, "dataSource") && !has(spec, "dataSourceRef") && !claim && !snapshot {
        remove(spec, "dataSource");
    }
    if !text(get(spec, "dataSourceRef"), "namespace").is_empty() {
        remove(spec, "dataSourceRef");
    }
}

fn volume_default(volume: &mut Value) {
    let spec = ensure(volume, "spec");
    put_text(spec, "persistentVolumeReclaimPolicy", "Retain");
    put_default(spec, "volumeMode", "Filesystem");
    pod_spec::storage_defaults(spec);
    if let Some(status) = child(volume, "status") {
        put_text(status, "phase", "Pending");
    }
}

fn access_modes(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let (modes, at) = (texts(spec, "accessModes"), path.child("accessModes"));
    if modes.is_empty() {
        e.required(&at, "at least 1 access mode is required");
    }
    for mode in &modes {
        e.supported(&at, mode, MODES);
    }
    if modes.contains(&"ReadWriteOncePod") && modes.len() > 1 {
        e.forbidden(&at, "may not use ReadWriteOncePod with other access modes");
    }
}

/// Checks the specification inside the template of an ephemeral volume.
pub(super) fn template_spec(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    claim_spec(spec, path, e);
}

fn claim_spec(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let modes = texts(spec, "accessModes");
    if modes.is_empty() {
        e.required(&path.child("accessModes"), "at least 1 access mode is required");
    }
    label_selector(get(spec, "selector"), &path.child("selector"), e);
    for mode in &modes {
        e.supported(&path.child("accessModes"), mode, MODES);
    }
    if modes.contains(&"ReadWriteOncePod") && modes.len() > 1 {
        let rule = "may not use ReadWriteOncePod with other access modes";
        e.forbidden(&path.child("accessModes"), rule);
    }
    let inner = path.child("resources");
    let requests = inner.child("requests");
    let at = requests.key("storage");
    match get(at_requests(spec), "storage") {
        Value::Null => e.required(&at, ""),
        amount => {
            let amount = resources::quantity(amount).unwrap_or_default();
            if amount.sign() <= 0 {
                e.invalid(&at, amount.to_string(), "must be greater than zero");
            }
        }
    }
    class(spec, "storageClassName", path, e);
    if has(spec, "volumeMode") {
        e.supported(&path.child("volumeMode"), text(spec, "volumeMode"), &["Block", "Filesystem"]);
    }
    sources(spec, path, e);
    if has(spec, "volumeAttributesClassName") && !text(spec, "volumeAttributesClassName").is_empty() {
        class(spec, "volumeAttributesClassName", path, e);
    }
}

fn at_requests(spec: &Value) -> &Value {
    at(spec, "resources.requests")
}

fn class(spec: &Value, field: &str, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let name = text(spec, field);
    if !name.is_empty() {
        e.each(&path.child(field), name, names::dns1123_subdomain(name));
    }
}

fn sources(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    for field in ["dataSource", "dataSourceRef"] {
        if !has(spec, field) {
            continue;
        }
        let (source, at) = (get(spec, field), path.child(field));
        for part in ["name", "kind"] {
            if text(source, part).is_empty() {
                e.required(&at.child(part), "");
            }
        }
        if text(source, "apiGroup").is_empty() && text(source, "kind") != "PersistentVolumeClaim" {
            let rule = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
            e.invalid(&at, text(source, "kind"), rule);
        }
    }
    let (one, other) = (get(spec, "dataSource"), get(spec, "dataSourceRef"));
    let differ = ["apiGroup", "kind", "name"].iter().any(|f| text(one, f) != text(other, f));
    if !text(other, "namespace").is_empty() {
        if !one.is_null() {
            e.invalid(path, one, "must not be specified when dataSourceRef.namespace is specified");
        }
    } else if !one.is_null() && !other.is_null() && differ {
        e.invalid(path, json!({}), "must match dataSourceRef");
    }
}

fn claim_update(new: &Value, old: &Value, e: &mut FieldErrors) {
    let (spec, was) = (get(new, "spec"), get(old, "spec"));
    claim_spec(spec, &SPEC, e);
    let mut munged = spec.clone();
    if text(was, "volumeName").is_empty() && !text(spec, "volumeName").is_empty() {
        keep(&mut munged, was, "volumeName");
    }
    if !has(was, "storageClassName") && has(spec, "storageClassName") {
        keep(&mut munged, was, "storageClassName");
    }
    let bound = text(get(old, "status"), "phase") == "Bound";
    if bound {
        let before = get(at_requests(was), "storage").clone();
        if let Some(requests) = child_at(&mut munged, "resources.requests") {
            put(requests, "storage", before);
        }
    }
    keep(&mut munged, was, "volumeAttributesClassName");
    if !same(&munged, was) {
        let rule =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        e.forbidden(&SPEC, format!("{rule}\n"));
    }
    shrink(new, old, e);
    e.immutable(&SPEC.child("volumeMode"), get(spec, "volumeMode"), get(was, "volumeMode"));
}

/// A claim may ask for less only down to what it has.
fn shrink(new: &Value, old: &Value, e: &mut FieldErrors) {
    let amount = |o: &Value| resources::quantity(get(at_requests(get(o, "spec")), "storage")).unwrap_or_default();
    let has_now = resources::quantity(at(old, "status.capacity.storage")).unwrap_or_default();
    let inner = SPEC.child("resources");
    let path = inner.child("requests");
    if amount(new) < amount(old) {
        if text(get(old, "status"), "phase") != "Bound" {
            return;
        }
        if amount(new) <= has_now {
            e.forbidden(&path.child("storage"), "field can not be less than status.capacity");
        }
    }
}

fn claim_status(new: &Value, _old: &Value, _sub: &str, e: &mut FieldErrors) {
    let status = get(new, "status");
    let path = FieldPath::new("status");
    for (field, shown) in [("capacity", "capacity"), ("allocatedResources", "allocatedResources")] {
        let at = path.child(shown);
        for (name, value) in entries(status, field) {
            if let Some(amount) = resources::quantity(value).filter(|a| a.sign() < 0) {
                e.invalid(&at.key(name), amount.to_string(), NEGATIVE);
            }
        }
    }
}

const SOURCES: &[&str] = &[
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

fn volume_spec(spec: &Value, e: &mut FieldErrors) {
    access_modes(spec, &SPEC, e);
    let path = SPEC.child("capacity");
    let capacity = get(spec, "capacity");
    if entries(spec, "capacity").next().is_none() {
        e.required(&path, "");
    }
    if !has(capacity, "storage") || entries(spec, "capacity").count() > 1 {
        e.add(FieldError::not_supported(&path, capacity, &["storage"]));
    }
    for (name, value) in entries(spec, "capacity") {
        resources::resource_name(name, &path.key(name), e);
        let amount = resources::quantity(value).unwrap_or_default();
        if amount.sign() <= 0 {
            e.invalid(&path.key(name), amount.to_string(), "must be greater than zero");
        }
    }
    let policy = text(spec, "persistentVolumeReclaimPolicy");
    if !policy.is_empty() {
        let path = SPEC.child("persistentVolumeReclaimPolicy");
        e.supported(&path, policy, &["Delete", "Recycle", "Retain"]);
    }
    node_affinity(spec, e);
    source(spec, e);
    class(spec, "storageClassName", &SPEC, e);
    if has(spec, "volumeMode") {
        e.supported(&SPEC.child("volumeMode"), text(spec, "volumeMode"), &["Block", "Filesystem"]);
    }
    class(spec, "volumeAttributesClassName", &SPEC, e);
}

fn node_affinity(spec: &Value, e: &mut FieldErrors) {
    if !has(spec, "nodeAffinity") {
        return;
    }
    let path = SPEC.child("nodeAffinity");
    match at(spec, "nodeAffinity.required") {
        Value::Null => e.required(&path.child("required"), "must specify required node constraints"),
        required => pod_spec::node_selector(required, &path.child("required"), e),
    }
}

fn source(spec: &Value, e: &mut FieldErrors) {
    let mut found = 0;
    for kind in SOURCES.iter().filter(|kind| has(spec, kind)) {
        found += 1;
        let at = SPEC.child(kind);
        if found > 1 {
            e.forbidden(&at, "may not specify more than 1 volume type");
            continue;
        }
        let inner = get(spec, kind);
        match *kind {
            "local" => {
                let path = text(inner, "path");
                if path.is_empty() {
                    e.required(&at.child("path"), "");
                } else {
                    pod_spec::no_back_steps(path, &at.child("path"), e);
                }
                if !has(spec, "nodeAffinity") {
                    e.required(&SPEC.child("nodeAffinity"), "Local volume requires node affinity");
                }
            }
            "csi" => {
                pod_spec::driver(text(inner, "driver"), &at.child("driver"), e);
                if text(inner, "volumeHandle").is_empty() {
                    e.required(&at.child("volumeHandle"), "");
                }
            }
            "hostPath" => {
                pod_spec::storage(kind, inner, &at, e);
                if text(inner, "path") == "/" && text(spec, "persistentVolumeReclaimPolicy") == "Recycle" {
                    e.forbidden(
                        &at.child("path"),
                        "may not be '/' for a hostPath mount with persistentVolumeReclaimPolicy of 'recycle'",
                    );
                }
            }
            kind => pod_spec::storage(kind, inner, &at, e),
        }
    }
    if found == 0 {
        e.required(&SPEC, "must specify a volume type");
    }
}

fn volume_update(new: &Value, old: &Value, e: &mut FieldErrors) {
    let (spec, was) = (get(new, "spec"), get(old, "spec"));
    volume_spec(spec, e);
    let changed = SOURCES.iter().any(|kind| {
        let bare = |s: &Value| {
            let mut source = get(s, kind).clone();
            if *kind == "csi" {
                remove(&mut source, "controllerExpandSecretRef");
                remove(&mut source, "nodeExpandSecretRef");
            }
            source
        };
        !same(&bare(spec), &bare(was))
    });
    if changed {
        e.forbidden(&SPEC.child("persistentvolumesource"), "spec.persistentvolumesource is immutable after creation\n");
    }
    e.immutable(&FieldPath::new("volumeMode"), get(spec, "volumeMode"), get(was, "volumeMode"));
    if has(was, "nodeAffinity") {
        e.immutable(&SPEC.child("nodeAffinity"), get(spec, "nodeAffinity"), get(was, "nodeAffinity"));
    }
}
