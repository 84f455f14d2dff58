//! Jobs and cron jobs.

use super::super::rules::{Kind, keep};
use super::super::tree::*;
use super::schedule;
use super::*;
use orc_core::validation::{FieldError, names};
use serde_json::json;

/// The rules of `jobs.batch`.
pub(in crate::kinds) static JOB: Kind = Kind {
    default: |object| default(ensure(object, "spec")),
    prepare_create: generate_selector,
    validate,
    validate_update: update,
    validate_sub: |new, _, _, e| status(new, e),
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

/// The rules of `cronjobs.batch`.
pub(in crate::kinds) static CRON_JOB: Kind = Kind {
    default: cron_default,
    validate: |object, e| {
        let name = text(get(object, "metadata"), "name");
        if name.len() > 52 {
            let meta = FieldPath::new("metadata");
            e.invalid(&meta.child("name"), name, names::max_len_text(52));
        }
        cron(get(object, "spec"), None, e);
    },
    validate_update: |new, old, e| cron(get(new, "spec"), Some(get(old, "spec")), e),
    warnings: |new, old| {
        let mut out = Vec::new();
        if old.is_none() {
            super::super::warnings::name(new, "this is used in Pod names and hostnames", &mut out);
        }
        let template = at(new, "spec.jobTemplate.spec.template");
        super::super::warnings::template(template, "spec.jobTemplate.spec.template", &mut out);
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
}

fn validate(job: &Value, e: &mut FieldErrors) {
    let spec = get(job, "spec");
    generated(job, e);
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
    name_for_index(job, e);
}

/// The generated labels may not be given other values.
fn generated(job: &Value, e: &mut FieldErrors) {
    let spec = get(job, "spec");
    if flag(spec, "manualSelector") {
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

fn content(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    for field in ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
        "backoffLimitPerIndex"] {
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
    failure_policy(spec, path, e);
    success_policy(spec, path, e);
    let policy = text(spec, "podReplacementPolicy");
    if has(spec, "podReplacementPolicy") {
        let all: &[&str] =
            if has(spec, "podFailurePolicy") { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
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

fn failure_policy(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if !has(spec, "podFailurePolicy") {
        return;
    }
    let here = path.child("podFailurePolicy");
    let all = here.child("rules");
    let rules = list(get(spec, "podFailurePolicy"), "rules");
    if rules.len() > 20 {
        return e.add(FieldError::too_many(&all, rules.len(), 20));
    }
    let containers: Vec<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|kind| list(at(spec, "template.spec"), kind))
        .map(|c| text(c, "name"))
        .collect();
    for (i, rule) in rules.iter().enumerate() {
        failure_rule(rule, spec, &containers, &all.index(i), e);
    }
}

fn failure_rule(rule: &Value, spec: &Value, containers: &[&str], path: &FieldPath<'_>, e: &mut FieldErrors) {
    let action = path.child("action");
    match text(rule, "action") {
        "" => e.required(&action, "valid values: \"Count\", \"FailIndex\", \"FailJob\", \"Ignore\""),
        "FailIndex" if !has(spec, "backoffLimitPerIndex") => {
            e.invalid(&action, "FailIndex", "requires the backoffLimitPerIndex to be set");
        }
        other => e.supported(&action, other, &["Count", "FailIndex", "FailJob", "Ignore"]),
    }
    let (codes, conditions) = (has(rule, "onExitCodes"), !list(rule, "onPodConditions").is_empty());
    if codes {
        exit_codes(get(rule, "onExitCodes"), containers, &path.child("onExitCodes"), e);
    }
    if conditions {
        let all = path.child("onPodConditions");
        for (j, pattern) in list(rule, "onPodConditions").iter().enumerate() {
            let at = all.index(j);
            let kind = text(pattern, "type");
            e.each(&at.child("type"), kind, names::qualified_name(kind));
            match text(pattern, "status") {
                "" => e.required(&at.child("status"), "valid values: \"False\", \"True\", \"Unknown\""),
                status => e.supported(&at.child("status"), status, &["False", "True", "Unknown"]),
            }
        }
    }
    if codes && conditions {
        let rule = "specifying both OnExitCodes and OnPodConditions is not supported";
        e.add(FieldError::invalid_omitted(path, rule));
    } else if !codes && !conditions {
        let rule = "specifying one of OnExitCodes and OnPodConditions is required";
        e.add(FieldError::invalid_omitted(path, rule));
    }
}

fn exit_codes(codes: &Value, containers: &[&str], path: &FieldPath<'_>, e: &mut FieldErrors) {
    let operator = text(codes, "operator");
    match operator {
        "" => e.required(&path.child("operator"), "valid values: \"In\", \"NotIn\""),
        other => e.supported(&path.child("operator"), other, &["In", "NotIn"]),
    }
    if has(codes, "containerName") && !containers.contains(&text(codes, "containerName")) {
        let rule = "must be one of the container or initContainer names in the pod template";
        e.invalid(&path.child("containerName"), text(codes, "containerName"), rule);
    }
    let values: Vec<i64> = list(codes, "values").iter().filter_map(Value::as_i64).collect();
    let all = path.child("values");
    if values.is_empty() {
        return e.add(FieldError::invalid(&all, get(codes, "values"), "at least one value is required"));
    }
    if values.len() > 255 {
        return e.add(FieldError::too_many(&all, values.len(), 255));
    }
    for (i, value) in values.iter().enumerate() {
        if *value == 0 && operator == "In" {
            e.invalid(&all.index(i), *value, "must not be 0 for the In operator");
        }
        if values[..i].contains(value) {
            e.duplicate(&all.index(i), *value);
        } else if i > 0 && values[i - 1] > *value {
            e.invalid(&all, get(codes, "values"), "must be ordered");
        }
    }
}

fn success_policy(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if !has(spec, "successPolicy") {
        return;
    }
    let (policy, at) = (get(spec, "successPolicy"), path.child("successPolicy"));
    if text(spec, "completionMode") != "Indexed" {
        return e.invalid(&at, policy, "requires indexed completion mode");
    }
    let rules = list(policy, "rules");
    let all = at.child("rules");
    if rules.is_empty() {
        e.required(&all, "at least one rules must be specified when the successPolicy is specified");
    } else if rules.len() > 20 {
        e.add(FieldError::too_many(&all, rules.len(), 20));
    }
    for (i, rule) in rules.iter().enumerate() {
        let here = all.index(i);
        if !has(rule, "succeededCount") && !has(rule, "succeededIndexes") {
            e.required(&here, "at least one of succeededCount or succeededIndexes must be specified");
        }
        if let Some(count) = int(rule, "succeededCount") {
            e.not_negative(&here.child("succeededCount"), Some(count));
            let completions = int(spec, "completions").unwrap_or(0);
            if count > completions {
                let rule = format!("must be less than or equal to {completions} (the number of specified completions)");
                e.invalid(&here.child("succeededCount"), count, rule);
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
    content(spec, &SPEC, e);
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
    }
    e.immutable(&SPEC.child("template"), template, &munged);
}

fn status(new: &Value, e: &mut FieldErrors) {
    let status = get(new, "status");
    let path = FieldPath::new("status");
    for field in ["active", "succeeded", "failed", "ready", "terminating"] {
        e.not_negative(&path.child(field), int(status, field));
    }
    if has(status, "ready") && int(status, "ready") > int(status, "active").or(Some(0)) {
        e.invalid(&path.child("ready"), int(status, "ready").unwrap_or(0), "cannot be greater than status.active");
    }
    let counted = path.child("uncountedTerminatedPods");
    for side in ["succeeded", "failed"] {
        let at = counted.child(side);
        let mut seen: Vec<&str> = Vec::new();
        for (i, uid) in texts(get(status, "uncountedTerminatedPods"), side).into_iter().enumerate() {
            if uid.is_empty() {
                e.invalid(&at.index(i), uid, "must not be empty");
            } else if seen.contains(&uid) {
                e.duplicate(&at.index(i), uid);
            }
            seen.push(uid);
        }
    }
    finished(status, &path, e);
}

/// A finished job says when, and has no pods running.
fn finished(status: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let holds = |kind: &str| {
        list(status, "conditions").iter().any(|c| text(c, "type") == kind && text(c, "status") == "True")
    };
    let (complete, failed) = (holds("Complete"), holds("Failed"));
    if complete && failed {
        let rule = "cannot set Complete=True and Failed=true conditions";
        e.add(FieldError::invalid_omitted(path, rule));
    }
    if complete && !has(status, "completionTime") {
        e.required(&path.child("completionTime"), "completionTime is required for Complete jobs");
    }
    if !complete && has(status, "completionTime") {
        let rule = "cannot set completionTime when there is no Complete=True condition";
        e.invalid(&path.child("completionTime"), get(status, "completionTime"), rule);
    }
    if (complete || failed) && int(status, "active").unwrap_or(0) > 0 {
        let rule = "active>0 is invalid for finished job";
        e.invalid(&path.child("active"), int(status, "active").unwrap_or(0), rule);
    }
}

fn cron_default(object: &mut Value) {
    let spec = ensure(object, "spec");
    put_text(spec, "concurrencyPolicy", "Allow");
    put_default(spec, "suspend", false);
    put_default(spec, "successfulJobsHistoryLimit", 3);
    put_default(spec, "failedJobsHistoryLimit", 1);
    let template = ensure(ensure(spec, "jobTemplate"), "spec");
    cron_template(template);
}

/// The job of a cron job is defaulted when it is made; until then only its pod template is.
fn cron_template(spec: &mut Value) {
    pod_spec::default(ensure(ensure(spec, "template"), "spec"));
}

fn cron(spec: &Value, was: Option<&Value>, e: &mut FieldErrors) {
    let path = SPEC.child("schedule");
    let text_of = text(spec, "schedule");
    if text_of.is_empty() {
        e.required(&path, "");
    } else if let Err(rule) = schedule::check(text_of) {
        e.invalid(&path, text_of, rule);
    }
    if text_of.contains("TZ") {
        let unchanged = was.is_some_and(|was| text(was, "schedule") == text_of);
        if !unchanged {
            e.retain(|error| error.field != "spec.schedule");
            e.invalid(&path, text_of, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
        }
    }
    e.not_negative(&SPEC.child("startingDeadlineSeconds"), int(spec, "startingDeadlineSeconds"));
    if has(spec, "timeZone") {
        time_zone(text(spec, "timeZone"), e);
    }
    match text(spec, "concurrencyPolicy") {
        "" => e.required(&SPEC.child("concurrencyPolicy"), ""),
        policy => e.supported(&SPEC.child("concurrencyPolicy"), policy, &["Allow", "Forbid", "Replace"]),
    }
    let template = SPEC.child("jobTemplate");
    let inner = template.child("spec");
    job_template(at(spec, "jobTemplate.spec"), &inner, e);
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        e.not_negative(&SPEC.child(field), int(spec, field));
    }
}

fn job_template(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if has(spec, "selector") {
        e.invalid(&path.child("selector"), get(spec, "selector"), "`selector` will be auto-generated");
    }
    if flag(spec, "manualSelector") {
        let all = ["nil", "false"];
        e.add(FieldError::not_supported(&path.child("manualSelector"), true, &all));
    }
    content(spec, path, e);
}

fn time_zone(zone: &str, e: &mut FieldErrors) {
    let path = SPEC.child("timeZone");
    if zone.is_empty() {
        return e.invalid(&path, zone, "timeZone must be nil or non-empty string");
    }
    if zone.eq_ignore_ascii_case("local") {
        return e.invalid(&path, zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
    }
    if jiff::tz::TimeZone::get(zone).is_err() {
        e.invalid(&path, zone, format!("unknown time zone {zone}"));
    }
}
