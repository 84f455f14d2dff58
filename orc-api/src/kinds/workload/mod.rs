//! Kinds that keep copies of a pod template running.

mod cron_job;
mod daemon_set;
mod deployment;
mod job;
mod job_policy;
mod job_status;
mod replica_set;
mod schedule;
mod stateful_set;

pub(super) use cron_job::CRON_JOB;
pub(super) use daemon_set::DAEMON_SET;
pub(super) use deployment::DEPLOYMENT;
pub(super) use job::JOB;
pub(super) use replica_set::{REPLICA_SET, REPLICATION_CONTROLLER};
pub(super) use stateful_set::STATEFUL_SET;

use super::pod_spec;
use super::rules::Kind;
use super::tree::*;
use orc_core::labels::Selector;
use orc_core::validation::{FieldErrors, FieldPath};
use serde_json::Value;

pub(super) const SPEC: FieldPath<'static> = FieldPath::new("spec");

/// The rules of `podtemplates`.
pub(super) static POD_TEMPLATE: Kind = Kind {
    generation: super::rules::Generation::Content,
    default: |object| {
        pod_spec::default(ensure(ensure(object, "template"), "spec"));
    },
    validate: |object, e| pod_spec::template(get(object, "template"), &FieldPath::new("template"), e),
    validate_update: |object, _, e| pod_spec::template(get(object, "template"), &FieldPath::new("template"), e),
    ..Kind::NAMESPACED
};

/// The rules of `controllerrevisions.apps`.
pub(super) static CONTROLLER_REVISION: Kind = Kind {
    validate: |object, e| revision(object, e),
    validate_update: |new, old, e| {
        revision(new, e);
        e.immutable(&FieldPath::new("data"), get(new, "data"), get(old, "data"));
    },
    ..Kind::NAMESPACED
};

fn revision(object: &Value, e: &mut FieldErrors) {
    let data = get(object, "data");
    if data.is_null() {
        e.required(&FieldPath::new("data"), "data is mandatory");
    }
    e.not_negative(&FieldPath::new("revision"), int(object, "revision"));
}

/// Fills in the template of a workload.
fn default_template(object: &mut Value) {
    let spec = ensure(object, "spec");
    pod_spec::default(ensure(ensure(spec, "template"), "spec"));
}

/// What a workload's selector must be and what its template must have.
fn selector_and_template(spec: &Value, empty_rule: Option<&str>, required: bool, e: &mut FieldErrors) {
    let (selector, path) = (get(spec, "selector"), SPEC.child("selector"));
    if selector.is_null() {
        if required {
            e.required(&path, "");
        }
    } else {
        pod_spec::labels::label_selector(selector, &path, e);
        if let Some(rule) = empty_rule
            && pod_spec::labels::selects_all(selector)
        {
            e.invalid(&path, selector, rule);
        }
    }
}

/// The template's labels must be selected, else the workload would make pods for ever.
fn template_matches(spec: &Value, selector: &Selector, e: &mut FieldErrors) {
    let labels = at(spec, "template.metadata.labels");
    let template = SPEC.child("template");
    let metadata = template.child("metadata");
    let lookup = |key: &str| labels.get(key).and_then(Value::as_str);
    let hits = !selector.is_everything() && selector.matches_with(lookup);
    if !selector.is_everything() && !hits {
        e.invalid(&metadata.child("labels"), labels, "`selector` does not match template `labels`");
    }
}

/// The template, which must always restart its containers.
fn always_template(spec: &Value, e: &mut FieldErrors) {
    let path = SPEC.child("template");
    let template = get(spec, "template");
    pod_spec::template(template, &path, e);
    always(template, e);
}

fn always(template: &Value, e: &mut FieldErrors) {
    let path = SPEC.child("template");
    let policy = text(get(template, "spec"), "restartPolicy");
    let inner = path.child("spec");
    if policy != "Always" && ["OnFailure", "Never"].contains(&policy) {
        e.supported(&inner.child("restartPolicy"), policy, &["Always"]);
    }
    if has(get(template, "spec"), "activeDeadlineSeconds") {
        e.forbidden(&inner.child("activeDeadlineSeconds"), "activeDeadlineSeconds in ReplicaSet is not Supported");
    }
}

/// Counters of a status that must not be negative.
fn counters(status: &Value, fields: &[&str], e: &mut FieldErrors) {
    let path = FieldPath::new("status");
    for field in fields {
        e.not_negative(&path.child(field), int(status, field));
    }
}

/// A counter that must not pass another one.
fn at_most(status: &Value, field: &str, limit: &str, rule: &str, e: &mut FieldErrors) {
    let path = FieldPath::new("status");
    let (value, most) = (int(status, field).unwrap_or(0), int(status, limit).unwrap_or(0));
    if value > most {
        e.invalid(&path.child(field), value, rule);
    }
}

/// The selector of a spec; one that cannot be read selects nothing.
fn selector_of(spec: &Value) -> Selector {
    Selector::from_value(get(spec, "selector")).unwrap_or_else(|_| Selector::nothing())
}
