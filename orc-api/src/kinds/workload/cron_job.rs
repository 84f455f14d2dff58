//! Cron jobs.

use super::super::rules::Kind;
use super::super::tree::*;
use super::job::content;
use super::schedule;
use super::*;
use orc_core::validation::{FieldError, names};

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
        return e.invalid(
            &path,
            zone,
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        );
    }
    if jiff::tz::TimeZone::get(zone).is_err() {
        e.invalid(&path, zone, format!("unknown time zone {zone}"));
    }
}
