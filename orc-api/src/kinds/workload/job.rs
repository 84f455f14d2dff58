//! Jobs.

use super::super::rules::{Kind, keep};
use super::super::tree::*;
use super::*;
use orc_core::validation::{FieldError, names};
use serde_json::json;

/// The rules of `jobs.batch`.
pub(in crate::kinds) static JOB: Kind = Kind {
    default: |object| {
        default(ensure(object, "spec"));
        labels_from_template(object);
    },
    prepare_create: generate_selector,
    revalidates_meta: true,
    validate,
    validate_update: update,
    validate_sub: |new, old, _, e| super::job_status::update(new, old, e),
    warnings: |new, old| {
        let mut out = Vec::new();
        if old.is_none() {
            super::super::warnings::name(new, "this is used in Pod names and hostnames", &mut out);
        }
        super::super::warnings::template(at(new, "spec.template"), "spec.template", &mut out);
        out
    },
    ..Kind::NAMESPACED.with_status()
};

fn default(spec: &mut Value) {
    pod_spec::default(ensure(ensure(spec, "template"), "spec"));
    put_text(spec, "completionMode", "NonIndexed");
    if !has(spec, "completions") && !has(spec, "parallelism") {
        put(spec, "completions", 1);
        put(spec, "parallelism", 1);
    }
    put_default(spec, "parallelism", 1);
    if !has(spec, "backoffLimit") {
        let limit = if has(spec, "backoffLimitPerIndex") { i64::from(i32::MAX) } else { 6 };
        put(spec, "backoffLimit", limit);
    }
    put_default(spec, "suspend", false);
    put_default(spec, "manualSelector", false);
    let fallback = if has(spec, "podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    put_default(spec, "podReplacementPolicy", fallback);
    if let Some(policy) = child(spec, "podFailurePolicy") {
        for rule in items(policy, "rules") {
            for pattern in items(rule, "onPodConditions") {
                put_text(pattern, "status", "True");
            }
        }
    }
}

/// A job without labels takes those of its template.
fn labels_from_template(job: &mut Value) {
    let labels = at(job, "spec.template.metadata.labels").clone();
    let metadata = ensure(job, "metadata");
    if !empty(&labels) && empty(get(metadata, "labels")) {
        put(metadata, "labels", labels);
    }
}

const GENERATED: [&str; 2] = ["batch.kubernetes.io/controller-uid", "controller-uid"];
const NAMED: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];

/// Unless the client manages it, a job's selector is made from its uid, which must be set by now.
fn generate_selector(job: &mut Value) {
    if flag(get(job, "spec"), "manualSelector") {
        return;
    }
    let metadata = get(job, "metadata");
    let (uid, name) = (text(metadata, "uid").to_owned(), text(metadata, "name").to_owned());
    let spec = ensure(job, "spec");
    let template = ensure(ensure(spec, "template"), "metadata");
    let labels = ensure(template, "labels");
    for (keys, value) in [(GENERATED, &uid), (NAMED, &name)] {
        keys.iter().for_each(|key| put_default(labels, key, value.as_str()));
    }
    if !has(spec, "selector") {
        put(spec, "selector", json!({"matchLabels": {GENERATED[0]: uid}}));
    } else {
        let selector = ensure(spec, "selector");
        let labels = ensure(selector, "matchLabels");
        if labels.get(GENERATED[1]).is_none() {
            put_default(labels, GENERATED[0], uid);
        }
    }
    merge_generated(job);
}

/// Labels that were taken from the template get the generated ones too.
fn merge_generated(job: &mut Value) {
    let template = at(job, "spec.template.metadata.labels").as_object().cloned().unwrap_or_default();
    let metadata = ensure(job, "metadata");
    let own = get(metadata, "labels").as_object().cloned().unwrap_or_default();
    let plain = template.iter().filter(|(k, _)| ![GENERATED, NAMED].concat().contains(&k.as_str()));
    if own.is_empty() || own.iter().eq(plain) {
        put(metadata, "labels", Value::Object(template));
    }
}

fn validate(job: &Value, e: &mut FieldErrors) {
    let spec = get(job, "spec");
    generated(job, e);
    full(spec, e);
    name_for_index(job, e);
}

/// The specification of a job proper, whose selector is made by now.
fn full(spec: &Value, e: &mut FieldErrors) {
    content(spec, &SPEC, e);
    if get(spec, "selector").is_null() {
        e.required(&SPEC.child("selector"), "");
    } else {
        pod_spec::labels::label_selector(get(spec, "selector"), &SPEC.child("selector"), e);
    }
    if let Ok(selector) = orc_core::labels::Selector::from_value(get(spec, "selector")) {
        let labels = at(spec, "template.metadata.labels");
        let lookup = |key: &str| labels.get(key).and_then(Value::as_str);
        if !selector.matches_with(lookup) {
            let template = SPEC.child("template");
            let metadata = template.child("metadata");
            e.invalid(&metadata.child("labels"), labels, "`selector` does not match template `labels`");
        }
    }
}

/// The generated labels may not be given other values.
fn generated(job: &Value, e: &mut FieldErrors) {
    let spec = get(job, "spec");
    if flag(spec, "manualSelector") || !has(spec, "selector") {
        return;
    }
    let metadata = get(job, "metadata");
    let labels = at(spec, "template.metadata.labels");
    let template = SPEC.child("template");
    let inner = template.child("metadata");
    let path = inner.child("labels");
    for (keys, value) in [(GENERATED, text(metadata, "uid")), (NAMED, text(metadata, "name"))] {
        for key in keys {
            match get(labels, key).as_str() {
                None => e.required(&path.key(key), format!("must be '{value}'")),
                Some(found) if found != value => {
                    e.invalid(&path.key(key), labels, format!("must be '{value}'"));
                }
                Some(_) => {}
            }
        }
    }
}

/// The pods of an indexed job are named after it and their index.
fn name_for_index(job: &Value, e: &mut FieldErrors) {
    let spec = get(job, "spec");
    let completions = int(spec, "completions").unwrap_or(0);
    if text(spec, "completionMode") != "Indexed" || completions <= 0 {
        return;
    }
    let name = text(get(job, "metadata"), "name");
    let pod = format!("{name}-{}", completions - 1);
    let broken = names::dns1123_label(&pod);
    if !broken.is_empty() {
        let meta = FieldPath::new("metadata");
        let rule = format!("will not able to create pod with invalid DNS label: {pod}");
        e.invalid(&meta.child("name"), name, rule);
    }
}

pub(super) fn content(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
    ] {
        e.not_negative(&path.child(field), int(spec, field));
    }
    let max_failed = path.child("maxFailedIndexes");
    if let Some(indexes) = int(spec, "maxFailedIndexes") {
        e.not_negative(&max_failed, Some(indexes));
    }
    if has(spec, "managedBy") {
        super::super::network::domain_path(text(spec, "managedBy"), &path.child("managedBy"), e);
        if text(spec, "managedBy").len() > 63 {
            e.add(FieldError::too_long(&path.child("managedBy"), 63));
        }
    }
    completion_mode(spec, path, e);
    job_policy::failure(spec, path, e);
    job_policy::success(spec, path, e);
    let policy = text(spec, "podReplacementPolicy");
    if has(spec, "podReplacementPolicy") {
        let all: &[&str] = if has(spec, "podFailurePolicy") { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
        e.supported(&path.child("podReplacementPolicy"), policy, all);
    }
    let at = path.child("template");
    let template = get(spec, "template");
    pod_spec::template(template, &at, e);
    let inner = at.child("spec");
    match text(get(template, "spec"), "restartPolicy") {
        "Always" | "" => e.required(&inner.child("restartPolicy"), "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if has(spec, "podFailurePolicy") => {
            let rule = "only \"Never\" is supported when podFailurePolicy is specified";
            e.invalid(&inner.child("restartPolicy"), "OnFailure", rule);
        }
        "OnFailure" | "Never" => {}
        other => e.supported(&inner.child("restartPolicy"), other, &["OnFailure", "Never"]),
    }
}

fn completion_mode(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let mode = text(spec, "completionMode");
    if has(spec, "completionMode") {
        e.supported(&path.child("completionMode"), mode, &["NonIndexed", "Indexed"]);
    }
    if mode == "Indexed" {
        let Some(completions) = int(spec, "completions") else {
            return e.required(&path.child("completions"), "when completion mode is Indexed");
        };
        let parallelism = int(spec, "parallelism").unwrap_or(1);
        if parallelism > 100_000 {
            let rule = "must be less than or equal to 100000 when completion mode is Indexed";
            e.invalid(&path.child("parallelism"), parallelism, rule);
        }
        if has(spec, "backoffLimitPerIndex") && completions > 100_000 {
            if let Some(failed) = int(spec, "maxFailedIndexes") {
                if failed > 10_000 {
                    let rule = "must be less than or equal to 10000 when completions are above 100000";
                    e.invalid(&path.child("maxFailedIndexes"), failed, rule);
                }
            } else {
                e.required(&path.child("maxFailedIndexes"), "must be specified when completions is above 100000");
            }
        }
        if let Some(failed) = int(spec, "maxFailedIndexes") {
            if failed > completions {
                e.invalid(&path.child("maxFailedIndexes"), failed, "must be less than or equal to completions");
            }
            if !has(spec, "backoffLimitPerIndex") {
                e.required(&path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
            }
        }
    } else {
        for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if let Some(value) = int(spec, field) {
                e.invalid(&path.child(field), value, "requires indexed completion mode");
            }
        }
    }
}

/// Which scheduling parts of the template may change: those of a suspended job that has not started.
fn template_mutable(old: &Value) -> bool {
    flag(get(old, "spec"), "suspend") && at(old, "status.startTime").is_null()
}

fn update(new: &Value, old: &Value, e: &mut FieldErrors) {
    let (spec, was) = (get(new, "spec"), get(old, "spec"));
    // The object is checked as a whole and its specification once more with the change; clients see each cause.
    generated(new, e);
    full(spec, e);
    full(spec, e);
    completions_update(spec, was, e);
    e.immutable(&SPEC.child("selector"), get(spec, "selector"), get(was, "selector"));
    template_update(new, old, e);
    e.immutable(&SPEC.child("completionMode"), get(spec, "completionMode"), get(was, "completionMode"));
    for field in ["podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
        e.immutable(&SPEC.child(field), get(spec, field), get(was, field));
    }
}

/// An indexed job may grow or shrink as long as it works on all its indexes at once.
fn completions_update(spec: &Value, was: &Value, e: &mut FieldErrors) {
    let path = SPEC.child("completions");
    let (now, then) = (int(spec, "completions"), int(was, "completions"));
    if now == then {
        return;
    }
    if text(spec, "completionMode") != "Indexed" {
        return e.invalid(&path, get(spec, "completions"), IMMUTABLE);
    }
    if now.is_none() || then.is_none() {
        return e.invalid(&path, get(spec, "completions"), "can't be changed to/from nil");
    }
    if now != int(spec, "parallelism") || then != int(was, "parallelism") {
        let rule = "can only be modified in tandem with spec.parallelism";
        e.invalid(&path, get(spec, "completions"), rule);
    }
}

fn template_update(new: &Value, old: &Value, e: &mut FieldErrors) {
    let mut munged = at(old, "spec.template").clone();
    let template = at(new, "spec.template");
    if template_mutable(old) {
        let (spec, now) = (ensure(&mut munged, "spec"), get(template, "spec"));
        for field in ["nodeSelector", "tolerations", "schedulingGates"] {
            keep(spec, now, field);
        }
        for kind in ["containers", "initContainers"] {
            for (container, after) in items(spec, kind).zip(list(now, kind)) {
                keep(container, after, "resources");
            }
        }
        match at(now, "affinity.nodeAffinity") {
            Value::Null => {
                if let Some(affinity) = child(spec, "affinity") {
                    remove(affinity, "nodeAffinity");
                }
            }
            node => put(ensure(spec, "affinity"), "nodeAffinity", node.clone()),
        }
        if empty(get(spec, "affinity")) && !has(now, "affinity") {
            remove(spec, "affinity");
        }
        let metadata = ensure(&mut munged, "metadata");
        for field in ["labels", "annotations"] {
            keep(metadata, get(template, "metadata"), field);
        }
        if !has(template, "metadata") && empty(get(&munged, "metadata")) {
            remove(&mut munged, "metadata");
        }
    }
    e.immutable(&SPEC.child("template"), template, &munged);
}
