//! Daemon sets.

use super::super::ports::{at_most_all, count_or_percent, percent_of};
use super::super::rules::Kind;
use super::super::tree::*;
use super::*;

/// The rules of `daemonsets.apps`.
pub(in crate::kinds) static DAEMON_SET: Kind = Kind {
    default,
    prepare_create: template_generation,
    validate: |object, e| content(get(object, "spec"), e),
    validate_update: |new, old, e| {
        content(get(new, "spec"), e);
        e.immutable(&SPEC.child("selector"), at(new, "spec.selector"), at(old, "spec.selector"));
    },
    prepare_update: keep_template_generation,
    validate_sub: |new, _, _, e| status(get(new, "status"), e),
    warnings: super::super::warnings::workload,
    ..Kind::NAMESPACED.with_status()
};

const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// How often the template changed, kept in an annotation since the field left the API.
fn template_generation(object: &mut Value) {
    let given = text(at(object, "metadata.annotations"), TEMPLATE_GENERATION).parse().unwrap_or(0);
    let generation: i64 = if given > 0 { given } else { 1 };
    set_template_generation(object, generation);
}

fn set_template_generation(object: &mut Value, generation: i64) {
    let annotations = ensure(ensure(object, "metadata"), "annotations");
    put(annotations, TEMPLATE_GENERATION, generation.to_string());
}

fn keep_template_generation(new: &mut Value, old: &Value) {
    let before: i64 = text(at(old, "metadata.annotations"), TEMPLATE_GENERATION).parse().unwrap_or(1);
    let changed = !same(at(new, "spec.template"), at(old, "spec.template"));
    set_template_generation(new, if changed { before + 1 } else { before });
}

fn default(object: &mut Value) {
    default_template(object);
    let spec = ensure(object, "spec");
    let strategy = ensure(spec, "updateStrategy");
    put_text(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        let rolling = ensure(strategy, "rollingUpdate");
        put_default(rolling, "maxUnavailable", 1);
        put_default(rolling, "maxSurge", 0);
    }
    put_default(spec, "revisionHistoryLimit", 10);
}

fn content(spec: &Value, e: &mut FieldErrors) {
    pod_spec::labels::label_selector(get(spec, "selector"), &SPEC.child("selector"), e);
    let selector = selector_of(spec);
    let labels = at(spec, "template.metadata.labels");
    let template = SPEC.child("template");
    let metadata = template.child("metadata");
    let lookup = |key: &str| labels.get(key).and_then(Value::as_str);
    if !selector.matches_with(lookup) {
        e.invalid(&metadata.child("labels"), labels, "`selector` does not match template `labels`");
    }
    if !get(spec, "selector").is_null() && pod_spec::labels::selects_all(get(spec, "selector")) {
        e.invalid(&SPEC.child("selector"), get(spec, "selector"), "empty selector is invalid for daemonset");
    }
    always_template(spec, e);
    e.not_negative(&SPEC.child("minReadySeconds"), int(spec, "minReadySeconds"));
    strategy(get(spec, "updateStrategy"), e);
    e.not_negative(&SPEC.child("revisionHistoryLimit"), int(spec, "revisionHistoryLimit"));
}

fn strategy(strategy: &Value, e: &mut FieldErrors) {
    let path = SPEC.child("updateStrategy");
    match text(strategy, "type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            let at = path.child("rollingUpdate");
            if !has(strategy, "rollingUpdate") {
                return e.required(&at, "");
            }
            let rolling = get(strategy, "rollingUpdate");
            let (down, surge) = (get(rolling, "maxUnavailable"), get(rolling, "maxSurge"));
            let zero = |v: &Value| v.as_i64().or(percent_of(v)).unwrap_or(0) == 0;
            count_or_percent(down, &at.child("maxUnavailable"), e);
            count_or_percent(surge, &at.child("maxSurge"), e);
            if zero(down) && zero(surge) {
                e.required(&at.child("maxUnavailable"), "cannot be 0 when maxSurge is 0");
            } else if !zero(down) && !zero(surge) {
                e.invalid(&at.child("maxSurge"), surge, "may not be set when maxUnavailable is non-zero");
            }
            at_most_all(down, &at.child("maxUnavailable"), e);
            at_most_all(surge, &at.child("maxSurge"), e);
        }
        _ => {
            let all = ["RollingUpdate", "OnDelete"];
            e.add(orc_core::validation::FieldError::not_supported(&path, strategy, &all));
        }
    }
}

fn status(status: &Value, e: &mut FieldErrors) {
    const FIELDS: &[&str] = &[
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
    ];
    counters(status, FIELDS, e);
}
