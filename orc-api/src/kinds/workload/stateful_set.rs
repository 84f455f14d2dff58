//! Stateful sets.

use super::super::rules::{Kind, keep};
use super::super::tree::*;
use super::*;
use orc_core::validation::names;
use serde_json::json;
use std::borrow::Cow;

/// The rules of `statefulsets.apps`.
pub(in crate::kinds) static STATEFUL_SET: Kind = Kind {
    name: names::dns1123_label,
    default,
    prepare_create: drop_gated,
    prepare_update: |new, _| drop_gated(new),
    validate: |object, e| content(get(object, "spec"), e),
    validate_update: update,
    validate_sub: |new, old, _, e| status(new, old, e),
    warnings: super::super::warnings::workload,
    ..Kind::NAMESPACED.with_status()
};

/// `maxUnavailable` is behind a gate that is off.
fn drop_gated(object: &mut Value) {
    if let Some(rolling) = child_at(object, "spec.updateStrategy.rollingUpdate") {
        remove(rolling, "maxUnavailable");
    }
}

fn default(object: &mut Value) {
    default_template(object);
    let spec = ensure(object, "spec");
    put_text(spec, "podManagementPolicy", "OrderedReady");
    let strategy = ensure(spec, "updateStrategy");
    put_text(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        let rolling = ensure(strategy, "rollingUpdate");
        put_default(rolling, "partition", 0);
    }
    let retention = ensure(spec, "persistentVolumeClaimRetentionPolicy");
    put_text(retention, "whenDeleted", "Retain");
    put_text(retention, "whenScaled", "Retain");
    put_default(spec, "replicas", 1);
    put_default(spec, "revisionHistoryLimit", 10);
    for claim in items(spec, "volumeClaimTemplates") {
        put_default(claim, "kind", "PersistentVolumeClaim");
        put_default(claim, "apiVersion", "v1");
        pod_spec::volume_claim(ensure(claim, "spec"));
        let status = ensure(claim, "status");
        put_text(status, "phase", "Pending");
    }
}

fn content(spec: &Value, e: &mut FieldErrors) {
    let policy = SPEC.child("podManagementPolicy");
    match text(spec, "podManagementPolicy") {
        "" => e.required(&policy, ""),
        "OrderedReady" | "Parallel" => {}
        other => e.invalid(&policy, other, "must be 'OrderedReady' or 'Parallel'"),
    }
    strategy(get(spec, "updateStrategy"), e);
    retention(get(spec, "persistentVolumeClaimRetentionPolicy"), e);
    e.not_negative(&SPEC.child("replicas"), int(spec, "replicas"));
    e.not_negative(&SPEC.child("minReadySeconds"), int(spec, "minReadySeconds"));
    if has(spec, "ordinals") {
        let path = SPEC.child("ordinals");
        e.not_negative(&path.child("start"), int(get(spec, "ordinals"), "start"));
    }
    selector_and_template(spec, Some("empty selector is invalid for statefulset"), true, e);
    match orc_core::labels::Selector::from_value(get(spec, "selector")) {
        Ok(selector) => {
            template_matches(spec, &selector, e);
            always_template(&with_claims(spec), e);
        }
        Err(_) => e.invalid(&SPEC.child("selector"), get(spec, "selector"), "invalid label selector"),
    }
    let service = text(spec, "serviceName");
    if !service.is_empty() {
        e.each(&SPEC.child("serviceName"), service, names::dns1123_label(service));
    }
    e.not_negative(&SPEC.child("revisionHistoryLimit"), int(spec, "revisionHistoryLimit"));
}

/// The specification as its pods will be: each claim template gives them a volume of its name.
fn with_claims(spec: &Value) -> Cow<'_, Value> {
    let claims = list(spec, "volumeClaimTemplates");
    if claims.is_empty() || at(spec, "template.spec").is_null() {
        return Cow::Borrowed(spec);
    }
    let mut volumes = list(at(spec, "template.spec"), "volumes").to_vec();
    for name in claims.iter().map(|claim| at(claim, "metadata.name")) {
        if volumes.iter().all(|volume| get(volume, "name") != name) {
            volumes.push(json!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
        }
    }
    let mut whole = spec.clone();
    put(ensure(ensure(&mut whole, "template"), "spec"), "volumes", volumes);
    Cow::Owned(whole)
}

fn strategy(strategy: &Value, e: &mut FieldErrors) {
    let path = SPEC.child("updateStrategy");
    let at = path.child("rollingUpdate");
    match text(strategy, "type") {
        "" => e.required(&path, ""),
        "OnDelete" => {
            if has(strategy, "rollingUpdate") {
                e.invalid(&at, get(strategy, "rollingUpdate"), "only allowed for updateStrategy 'RollingUpdate'");
            }
        }
        "RollingUpdate" => {
            if !has(strategy, "rollingUpdate") {
                return e.required(&at, "");
            }
            let rolling = get(strategy, "rollingUpdate");
            e.not_negative(&at.child("partition"), int(rolling, "partition"));
        }
        _ => e.invalid(&path, strategy, "must be 'RollingUpdate' or 'OnDelete'"),
    }
}

fn retention(policy: &Value, e: &mut FieldErrors) {
    if policy.is_null() {
        return;
    }
    let path = SPEC.child("persistentVolumeClaimRetentionPolicy");
    for field in ["whenDeleted", "whenScaled"] {
        e.supported(&path.child(field), text(policy, field), &["Retain", "Delete"]);
    }
}

const MUTABLE: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

fn update(new: &Value, old: &Value, e: &mut FieldErrors) {
    content(get(new, "spec"), e);
    let mut munged = get(new, "spec").clone();
    let was = get(old, "spec");
    for field in [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ] {
        keep(&mut munged, was, field);
    }
    if !same(&munged, was) {
        e.forbidden(&SPEC, MUTABLE);
    }
}

fn status(new: &Value, old: &Value, e: &mut FieldErrors) {
    let status = get(new, "status");
    counters(
        status,
        &["replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas", "observedGeneration"],
        e,
    );
    let over = "cannot be greater than status.replicas";
    for field in ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"] {
        at_most(status, field, "replicas", over, e);
    }
    at_most(status, "availableReplicas", "readyReplicas", "cannot be greater than status.readyReplicas", e);
    let collisions = |o: &Value| int(get(o, "status"), "collisionCount");
    if let (Some(now), Some(then)) = (collisions(new), collisions(old))
        && now < then
    {
        let path = FieldPath::new("status");
        e.invalid(&path.child("collisionCount"), now, "cannot be decremented");
    }
}
