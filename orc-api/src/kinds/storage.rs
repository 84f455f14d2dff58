//! Storage classes, CSI kinds, volume attachments and runtime classes.

use super::pod_spec::resources;
use super::rules::{Generation, Kind, keep};
use super::tree::*;
use orc_core::validation::{FieldErrors, FieldPath, names};
use serde_json::{Value, json};

const SPEC: FieldPath<'static> = FieldPath::new("spec");

/// The rules of `storageclasses.storage.k8s.io`.
pub(super) static CLASS: Kind = Kind {
    default: |class| {
        put_default(class, "reclaimPolicy", "Delete");
        put_default(class, "volumeBindingMode", "Immediate");
    },
    validate: class,
    validate_update: |new, old, e| {
        class(new, e);
        for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
            e.immutable(&FieldPath::new(field), get(new, field), get(old, field));
        }
    },
    ..Kind::CLUSTER
};

/// The rules of `csidrivers.storage.k8s.io`.
pub(super) static DRIVER: Kind = Kind {
    default: driver_default,
    validate: driver,
    validate_update: |new, old, e| {
        driver(new, e);
        for (field, shown) in [("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")]
        {
            e.immutable(&SPEC.child(shown), get(get(new, "spec"), field), get(get(old, "spec"), field));
        }
    },
    ..Kind::CLUSTER.with_generation(Generation::Late)
};

/// The rules of `csinodes.storage.k8s.io`.
pub(super) static NODE: Kind =
    Kind { validate: csi_node, validate_update: |new, _, e| csi_node(new, e), ..Kind::CLUSTER };

/// The rules of `volumeattachments.storage.k8s.io`.
pub(super) static ATTACHMENT: Kind = Kind {
    status: true,
    prepare_create: |object| put(object, "status", json!({"attached": false})),
    prepare_update: |new, old| keep(new, old, "status"),
    validate: attachment,
    validate_update: |new, old, e| {
        if !same(get(new, "spec"), get(old, "spec")) {
            e.invalid(&SPEC, get(new, "spec"), IMMUTABLE);
        }
    },
    ..Kind::CLUSTER
};

/// The rules of `volumeattributesclasses.storage.k8s.io`.
pub(super) static ATTRIBUTES: Kind = Kind {
    validate: |object, e| {
        match text(object, "driverName") {
            "" => e.required(&FieldPath::new("driverName"), ""),
            name => super::pod_spec::driver(name, &FieldPath::new("driverName"), e),
        }
        parameters(object, false, e);
    },
    validate_update: |new, old, e| {
        for field in ["driverName", "parameters"] {
            if !same(get(new, field), get(old, field)) {
                e.forbidden(&FieldPath::new(field), format!("updates to {field} are forbidden."));
            }
        }
    },
    ..Kind::CLUSTER
};

/// The rules of `csistoragecapacities.storage.k8s.io`.
pub(super) static CAPACITY: Kind = Kind {
    validate: |object, e| {
        let name = text(object, "storageClassName");
        e.each(&FieldPath::new("storageClassName"), name, names::dns1123_subdomain(name));
        for field in ["capacity", "maximumVolumeSize"] {
            if let Some(amount) = resources::quantity(get(object, field)).filter(|a| a.sign() < 0) {
                e.invalid(&FieldPath::new(field), amount.to_string(), NEGATIVE);
            }
        }
        super::pod_spec::labels::label_selector(get(object, "nodeTopology"), &FieldPath::new("nodeTopology"), e);
    },
    validate_update: |new, old, e| {
        for field in ["nodeTopology", "storageClassName"] {
            e.immutable(&FieldPath::new(field), get(new, field), get(old, field));
        }
    },
    ..Kind::NAMESPACED
};

/// The rules of `runtimeclasses.node.k8s.io`.
pub(super) static RUNTIME: Kind = Kind {
    validate: runtime,
    validate_update: |new, old, e| {
        e.immutable(&FieldPath::new("handler"), get(new, "handler"), get(old, "handler"));
    },
    ..Kind::CLUSTER.with_generation(Generation::None)
};

fn parameters(object: &Value, allow_empty: bool, e: &mut FieldErrors) {
    let path = FieldPath::new("parameters");
    let all: Vec<(&str, &str)> = entries(object, "parameters").map(|(k, v)| (k, v.as_str().unwrap_or(""))).collect();
    if all.len() > 512 {
        e.add(orc_core::validation::FieldError::too_long(&path, 512));
        return;
    }
    if all.iter().any(|(key, _)| key.is_empty()) {
        e.invalid(&path, "", "field can not be empty.");
    }
    if all.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>() > names::ANNOTATIONS_MAX {
        e.add(orc_core::validation::FieldError::too_long(&path, names::ANNOTATIONS_MAX));
    }
    if !allow_empty && all.is_empty() {
        e.required(&path, "must contain at least one key/value pair");
    }
}

fn class(class: &Value, e: &mut FieldErrors) {
    let provisioner = text(class, "provisioner");
    if provisioner.is_empty() {
        e.required(&FieldPath::new("provisioner"), "");
    } else {
        let name = provisioner.to_lowercase();
        e.each(&FieldPath::new("provisioner"), provisioner, names::qualified_name(&name));
    }
    parameters(class, true, e);
    let policy = text(class, "reclaimPolicy");
    if !policy.is_empty() {
        e.supported(&FieldPath::new("reclaimPolicy"), policy, &["Delete", "Retain"]);
    }
    let mode = FieldPath::new("volumeBindingMode");
    if has(class, "volumeBindingMode") {
        e.supported(&mode, text(class, "volumeBindingMode"), &["Immediate", "WaitForFirstConsumer"]);
    } else {
        e.required(&mode, "");
    }
    let all = FieldPath::new("allowedTopologies");
    for (i, term) in list(class, "allowedTopologies").iter().enumerate() {
        topology(term, &all.index(i), e);
    }
}

fn topology(term: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let all = path.child("matchLabelExpressions");
    let mut seen: Vec<&str> = Vec::new();
    for (i, requirement) in list(term, "matchLabelExpressions").iter().enumerate() {
        let at = all.index(i);
        let (key, values) = (text(requirement, "key"), texts(requirement, "values"));
        let here = at.child("values");
        if values.is_empty() {
            e.required(&here, "");
        }
        for (j, value) in values.iter().enumerate() {
            if values[..j].contains(value) {
                e.duplicate(&here.index(j), *value);
            }
        }
        e.each(&at.child("key"), key, names::qualified_name(key));
        if seen.contains(&key) {
            e.duplicate(&at.child("key"), key);
        }
        seen.push(key);
    }
}

fn driver_default(driver: &mut Value) {
    let spec = ensure(driver, "spec");
    for (field, value) in [
        ("attachRequired", true),
        ("podInfoOnMount", false),
        ("storageCapacity", false),
        ("requiresRepublish", false),
        ("seLinuxMount", false),
    ] {
        put_default(spec, field, value);
    }
    put_default(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    if list(spec, "volumeLifecycleModes").is_empty() {
        put(spec, "volumeLifecycleModes", vec!["Persistent"]);
    }
}

fn driver(driver: &Value, e: &mut FieldErrors) {
    let metadata = FieldPath::new("metadata");
    super::pod_spec::driver(text(get(driver, "metadata"), "name"), &metadata.child("name"), e);
    let spec = get(driver, "spec");
    for field in ["attachRequired", "podInfoOnMount", "storageCapacity"] {
        if !has(spec, field) {
            e.required(&SPEC.child(field), "");
        }
    }
    if has(spec, "fsGroupPolicy") {
        let all = &["File", "None", "ReadWriteOnceWithFSType"];
        e.supported(&SPEC.child("fsGroupPolicy"), text(spec, "fsGroupPolicy"), all);
    }
    let path = SPEC.child("tokenRequests");
    let mut seen: Vec<&str> = Vec::new();
    for (i, request) in list(spec, "tokenRequests").iter().enumerate() {
        let (at, audience) = (path.index(i), text(request, "audience"));
        if seen.contains(&audience) {
            e.duplicate(&at.child("audience"), audience);
        }
        seen.push(audience);
        if let Some(seconds) = int(request, "expirationSeconds") {
            if seconds < 600 {
                let rule = "may not specify a duration less than 10 minutes";
                e.invalid(&at.child("expirationSeconds"), seconds, rule);
            } else if seconds > 1 << 32 {
                let rule = "may not specify a duration larger than 2^32 seconds";
                e.invalid(&at.child("expirationSeconds"), seconds, rule);
            }
        }
    }
    for mode in texts(spec, "volumeLifecycleModes") {
        e.supported(&SPEC.child("volumeLifecycleModes"), mode, &["Ephemeral", "Persistent"]);
    }
}

fn csi_node(node: &Value, e: &mut FieldErrors) {
    let path = SPEC.child("drivers");
    let mut seen: Vec<&str> = Vec::new();
    for (i, driver) in list(get(node, "spec"), "drivers").iter().enumerate() {
        let at = path.index(i);
        let name = text(driver, "name");
        super::pod_spec::driver(name, &at.child("name"), e);
        match text(driver, "nodeID") {
            "" => e.required(&at.child("nodeID"), ""),
            id if id.len() > 256 => {
                e.invalid(&at.child("nodeID"), id, "must be 256 characters or less");
            }
            _ => {}
        }
        if let Some(count) = int(get(driver, "allocatable"), "count") {
            e.not_negative(&at.child("allocatable").child("count"), Some(count));
        }
        let keys = at.child("topologyKeys");
        for (j, key) in texts(driver, "topologyKeys").into_iter().enumerate() {
            if key.is_empty() {
                e.required(&keys.index(j), "");
            }
            e.each(&keys.index(j), key, names::qualified_name(key));
        }
        if seen.contains(&name) {
            e.duplicate(&at.child("name"), name);
        }
        seen.push(name);
    }
}

fn attachment(object: &Value, e: &mut FieldErrors) {
    let spec = get(object, "spec");
    let attacher = text(spec, "attacher");
    if attacher.is_empty() {
        e.required(&SPEC.child("attacher"), "");
    } else {
        super::pod_spec::driver(attacher, &SPEC.child("attacher"), e);
    }
    let source = get(spec, "source");
    let path = SPEC.child("source");
    let (inline, named) = (has(source, "inlineVolumeSpec"), has(source, "persistentVolumeName"));
    if inline && named {
        let rule = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
        e.invalid(&path, source, rule);
    } else if !inline && !named {
        e.required(&path, "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
    } else if named && text(source, "persistentVolumeName").is_empty() {
        e.required(&path.child("persistentVolumeName"), "must specify non empty persistentVolumeName");
    }
    let node = text(spec, "nodeName");
    e.each(&SPEC.child("nodeName"), node, names::dns1123_subdomain(node));
}

fn runtime(object: &Value, e: &mut FieldErrors) {
    match text(object, "handler") {
        "" => e.required(&FieldPath::new("handler"), ""),
        handler => e.each(&FieldPath::new("handler"), handler, names::dns1123_label(handler)),
    }
    let overhead = FieldPath::new("overhead");
    let mut shown = json!({});
    put(&mut shown, "limits", get(get(object, "overhead"), "podFixed").clone());
    resources::requirements(&shown, resources::Level::Container, &[], &overhead, e);
    let scheduling = FieldPath::new("scheduling");
    let inner = get(object, "scheduling");
    super::meta::labels(get(inner, "nodeSelector"), &scheduling.child("nodeSelector"), e);
    super::pod_spec::toleration_list(list(inner, "tolerations"), &scheduling.child("tolerations"), e);
}
