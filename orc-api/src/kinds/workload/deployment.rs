//! Deployments.

use super::super::ports::{at_most_all, count_or_percent, percent_of};
use super::super::rules::Kind;
use super::super::tree::*;
use super::*;

/// The rules of `deployments.apps`.
pub(in crate::kinds) static DEPLOYMENT: Kind = Kind {
    default,
    validate: |object, e| content(get(object, "spec"), e),
    validate_update: |new, old, e| {
        content(get(new, "spec"), e);
        e.immutable(&SPEC.child("selector"), at(new, "spec.selector"), at(old, "spec.selector"));
    },
    validate_sub: |new, old, _, e| status(new, old, e),
    warnings: super::super::warnings::workload,
    ..Kind::NAMESPACED.with_status()
};

fn default(object: &mut Value) {
    default_template(object);
    let spec = ensure(object, "spec");
    put_default(spec, "replicas", 1);
    let strategy = ensure(spec, "strategy");
    put_text(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        let rolling = ensure(strategy, "rollingUpdate");
        put_default(rolling, "maxUnavailable", "25%");
        put_default(rolling, "maxSurge", "25%");
    }
    put_default(spec, "revisionHistoryLimit", 10);
    put_default(spec, "progressDeadlineSeconds", 600);
}

fn content(spec: &Value, e: &mut FieldErrors) {
    e.not_negative(&SPEC.child("replicas"), int(spec, "replicas"));
    selector_and_template(spec, Some("empty selector is invalid for deployment"), true, e);
    match orc_core::labels::Selector::from_value(get(spec, "selector")) {
        Ok(selector) => {
            template_matches(spec, &selector, e);
            always_template(spec, e);
        }
        Err(_) => e.invalid(&SPEC.child("selector"), get(spec, "selector"), "invalid label selector"),
    }
    strategy(get(spec, "strategy"), e);
    e.not_negative(&SPEC.child("minReadySeconds"), int(spec, "minReadySeconds"));
    e.not_negative(&SPEC.child("revisionHistoryLimit"), int(spec, "revisionHistoryLimit"));
    if let Some(seconds) = int(spec, "progressDeadlineSeconds") {
        let path = SPEC.child("progressDeadlineSeconds");
        e.not_negative(&path, Some(seconds));
        if seconds <= int(spec, "minReadySeconds").unwrap_or(0) {
            e.invalid(&path, seconds, "must be greater than minReadySeconds");
        }
    }
}

fn strategy(strategy: &Value, e: &mut FieldErrors) {
    let path = SPEC.child("strategy");
    let rolling = path.child("rollingUpdate");
    match text(strategy, "type") {
        "Recreate" => {
            if has(strategy, "rollingUpdate") {
                e.forbidden(&rolling, "may not be specified when strategy `type` is 'Recreate'");
            }
        }
        "RollingUpdate" => {
            if !has(strategy, "rollingUpdate") {
                e.required(&rolling, "this should be defaulted and never be nil");
            } else {
                rolling_update(get(strategy, "rollingUpdate"), &rolling, e);
            }
        }
        _ => {
            let all = ["Recreate", "RollingUpdate"];
            e.add(orc_core::validation::FieldError::not_supported(&path, strategy, &all));
        }
    }
}

fn rolling_update(rolling: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let (down, surge) = (get(rolling, "maxUnavailable"), get(rolling, "maxSurge"));
    count_or_percent(down, &path.child("maxUnavailable"), e);
    count_or_percent(surge, &path.child("maxSurge"), e);
    let zero = |v: &Value| v.as_i64().or(percent_of(v)).unwrap_or(0) == 0;
    if zero(down) && zero(surge) {
        e.invalid(&path.child("maxUnavailable"), down, "may not be 0 when `maxSurge` is 0");
    }
    at_most_all(down, &path.child("maxUnavailable"), e);
}

fn status(new: &Value, old: &Value, e: &mut FieldErrors) {
    let status = get(new, "status");
    counters(
        status,
        &[
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
        ],
        e,
    );
    let over = "cannot be greater than status.replicas";
    at_most(status, "updatedReplicas", "replicas", over, e);
    at_most(status, "readyReplicas", "replicas", over, e);
    at_most(status, "availableReplicas", "replicas", over, e);
    at_most(status, "availableReplicas", "readyReplicas", "cannot be greater than readyReplicas", e);
    let collisions = |o: &Value| int(get(o, "status"), "collisionCount");
    let path = FieldPath::new("status");
    match (collisions(new), collisions(old)) {
        (Some(now), Some(then)) if now < then => {
            e.invalid(&path.child("collisionCount"), now, "cannot be decremented");
        }
        (None, Some(_)) => e.invalid(&path.child("collisionCount"), &Value::Null, "cannot be decremented"),
        _ => {}
    }
}
