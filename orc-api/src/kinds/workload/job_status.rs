//! What a job's status may become.
//!
//! Follows `ValidateJobUpdateStatus` of upstream with the options of `getStatusValidationOptions`: a rule about a part of the
//! status holds for those who change that part, so that an old object that breaks a newer rule can still be worked on. Times
//! are compared with the fractions of a second that are not stored.

use super::super::tree::*;
use super::*;
use orc_core::validation::FieldError;

const STATUS: FieldPath<'static> = FieldPath::new("status");

/// Checks a new status against the old one.
pub(super) fn update(new: &Value, old: &Value, e: &mut FieldErrors) {
    let change = Change { job: new, status: get(new, "status"), was: get(old, "status") };
    counts(change.status, e);
    change.conditions(e);
    change.times(e);
    change.finished(e);
    change.indexes(e);
    change.history(e);
}

fn counts(status: &Value, e: &mut FieldErrors) {
    for field in ["active", "succeeded", "failed", "ready", "terminating"] {
        e.not_negative(&STATUS.child(field), int(status, field));
    }
    let counted = STATUS.child("uncountedTerminatedPods");
    let mut seen: Vec<&str> = Vec::new();
    for side in ["succeeded", "failed"] {
        let at = counted.child(side);
        for (i, uid) in texts(get(status, "uncountedTerminatedPods"), side).into_iter().enumerate() {
            if uid.is_empty() {
                e.invalid(&at.index(i), uid, "must not be empty");
            } else if seen.contains(&uid) {
                e.duplicate(&at.index(i), uid);
            }
            seen.push(uid);
        }
    }
}

/// Whether a condition stands.
fn holds(status: &Value, kind: &str) -> bool {
    list(status, "conditions").iter().any(|c| text(c, "type") == kind && text(c, "status") == "True")
}

fn is_finished(status: &Value) -> bool {
    holds(status, "Complete") || holds(status, "Failed")
}

#[derive(Clone, Copy)]
struct Change<'a> {
    job: &'a Value,
    status: &'a Value,
    was: &'a Value,
}

impl Change<'_> {
    fn turned(&self, kind: &str) -> bool {
        holds(self.status, kind) != holds(self.was, kind)
    }

    fn moved(&self, field: &str) -> bool {
        !same(get(self.status, field), get(self.was, field))
    }

    fn ended_or(&self, field: &str) -> bool {
        is_finished(self.status) != is_finished(self.was) || self.moved(field)
    }

    fn conditions(&self, e: &mut FieldErrors) {
        let holds = |kind| holds(self.status, kind);
        let path = STATUS.child("conditions");
        let (complete, failed, met, target) =
            (holds("Complete"), holds("Failed"), holds("SuccessCriteriaMet"), holds("FailureTarget"));
        let (completes, fails, targets) =
            (self.turned("Complete"), self.turned("Failed"), self.turned("FailureTarget"));
        let policy = has(get(self.job, "spec"), "successPolicy");
        let rules = [
            ((completes || fails) && complete && failed, "cannot set Complete=True and Failed=true conditions"),
            (
                (completes || targets) && complete && target,
                "cannot set Complete=True and FailureTarget=true conditions",
            ),
            (
                (fails || targets) && failed && !target,
                "cannot set Failed=True condition without the FailureTarget=true condition",
            ),
            (
                (completes || self.turned("SuccessCriteriaMet")) && complete && !met,
                "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
            ),
            (met && failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
            (met && target, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
            (
                policy && !met && complete,
                "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
            ),
        ];
        for (_, rule) in rules.into_iter().filter(|(broken, _)| *broken) {
            e.add(FieldError::invalid_omitted(&path, rule));
        }
    }

    fn times(&self, e: &mut FieldErrors) {
        let path = STATUS.child("completionTime");
        let (ended, began) = (get(self.status, "completionTime"), get(self.status, "startTime"));
        let complete = holds(self.status, "Complete");
        if self.turned("Complete") || self.moved("completionTime") {
            if !ended.is_null() && !complete {
                e.invalid(&path, ended, "cannot set completionTime when there is no Complete=True condition");
            }
            if ended.is_null() && complete {
                e.required(&path, "completionTime is required for Complete jobs");
            }
        }
        let moved = self.moved("startTime") || self.moved("completionTime");
        if moved && matches!((moment(ended), moment(began)), (Some(ended), Some(began)) if ended < began) {
            e.invalid(&path, ended, "completionTime cannot be set before startTime");
        }
    }

    fn finished(&self, e: &mut FieldErrors) {
        let status = self.status;
        let count = |field| int(status, field).unwrap_or(0);
        let finished = is_finished(status);
        if finished && count("active") > 0 && self.ended_or("active") {
            e.invalid(&STATUS.child("active"), count("active"), "active>0 is invalid for finished job");
        }
        if finished && !has(status, "startTime") && self.ended_or("startTime") {
            e.required(&STATUS.child("startTime"), "startTime is required for finished job");
        }
        let uncounted = get(status, "uncountedTerminatedPods");
        let some = ["succeeded", "failed"].iter().any(|side| !list(uncounted, side).is_empty());
        if finished && some && self.ended_or("uncountedTerminatedPods") {
            let rule = "uncountedTerminatedPods needs to be empty for finished job";
            e.invalid(&STATUS.child("uncountedTerminatedPods"), uncounted, rule);
        }
        if finished && count("terminating") > 0 && self.ended_or("terminating") {
            e.invalid(&STATUS.child("terminating"), count("terminating"), "terminating>0 is invalid for finished job");
        }
        if count("ready") > count("active") && (self.moved("ready") || self.moved("active")) {
            e.invalid(&STATUS.child("ready"), count("ready"), "cannot set more ready pods than active");
        }
    }

    fn indexes(&self, e: &mut FieldErrors) {
        let spec = get(self.job, "spec");
        let completed = text(self.status, "completedIndexes");
        if self.moved("completedIndexes") && !completed.is_empty() && text(spec, "completionMode") != "Indexed" {
            let rule = "cannot set non-empty completedIndexes when non-indexed completion mode";
            e.invalid(&STATUS.child("completedIndexes"), completed, rule);
        }
        let failed = get(self.status, "failedIndexes");
        if self.moved("failedIndexes") && !failed.is_null() && !has(spec, "backoffLimitPerIndex") {
            let rule = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
            e.invalid(&STATUS.child("failedIndexes"), failed, rule);
        }
    }

    /// What has happened stays.
    fn history(&self, e: &mut FieldErrors) {
        let conditions = STATUS.child("conditions");
        let gone = |kind: &str| holds(self.was, kind) && !holds(self.status, kind);
        for kind in ["Failed", "Complete", "FailureTarget"].into_iter().filter(|kind| gone(kind)) {
            let rule = format!("cannot disable the terminal {kind}=True condition");
            e.add(FieldError::invalid_omitted(&conditions, rule));
        }
        let spec = get(self.job, "spec");
        let count = |status, field| int(status, field).unwrap_or(0);
        // An indexed job that works on all its indexes at once may shrink.
        let shrinks = text(spec, "completionMode") == "Indexed" && int(spec, "completions") == int(spec, "parallelism");
        for (field, may) in [("failed", false), ("succeeded", shrinks)] {
            if !may && count(self.status, field) < count(self.was, field) {
                let rule = format!("cannot decrease the {field} counter");
                e.invalid(&STATUS.child(field), count(self.status, field), rule);
            }
        }
        let (ended, then) = (get(self.status, "completionTime"), get(self.was, "completionTime"));
        if !ended.is_null() && !then.is_null() && ended != then {
            e.invalid(&STATUS.child("completionTime"), ended, "completionTime cannot be mutated");
        }
        if has(self.was, "startTime") && self.moved("startTime") && !flag(spec, "suspend") {
            e.required(&STATUS.child("startTime"), "startTime cannot be removed for unsuspended job");
        }
        if gone("SuccessCriteriaMet") {
            let rule = "cannot disable the SuccessCriteriaMet=True condition";
            e.add(FieldError::invalid_omitted(&conditions, rule));
        }
        let met = |status| holds(status, "SuccessCriteriaMet");
        if holds(self.was, "Complete") && !met(self.was) && met(self.status) {
            let rule = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
            e.add(FieldError::invalid_omitted(&conditions, rule));
        }
    }
}

fn moment(time: &Value) -> Option<jiff::Timestamp> {
    time.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(spec: Value, old: Value, new: Value) -> Vec<String> {
        let mut errors = FieldErrors::new();
        let job = |status: Value| json!({"spec": spec, "status": status});
        update(&job(new), &job(old), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_has_happened_stays() {
        let began = json!({"startTime": "2024-01-01T00:00:00Z", "active": 1, "failed": 2});
        assert_eq!(told(json!({}), began.clone(), began.clone()), [""; 0]);
        assert_eq!(
            told(json!({}), began.clone(), json!({"startTime": "2024-01-01T00:00:00.999Z", "failed": 1})),
            [
                "status.failed: Invalid value: 1: cannot decrease the failed counter",
                "status.startTime: Required value: startTime cannot be removed for unsuspended job"
            ]
        );
        assert_eq!(told(json!({"suspend": true}), began, json!({"failed": 2})), [""; 0]);
    }

    #[test]
    fn an_end_is_told_by_its_signs() {
        let sign = |kind| json!({"type": kind, "status": "True"});
        let met = json!({"startTime": "2024-01-01T00:00:00Z", "conditions": [sign("SuccessCriteriaMet")]});
        let mut done = met.clone();
        done["completionTime"] = json!("2024-01-01T00:00:01Z");
        done["conditions"] = json!([sign("SuccessCriteriaMet"), sign("Complete")]);
        assert_eq!(told(json!({}), met.clone(), done.clone()), [""; 0]);
        let mut early = done.clone();
        early["conditions"] = json!([sign("Complete")]);
        early["completionTime"] = json!("2023-01-01T00:00:01Z");
        early["active"] = json!(1);
        assert_eq!(
            told(json!({}), json!({"startTime": "2024-01-01T00:00:00Z"}), early),
            [
                "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
                "status.completionTime: Invalid value: \"2023-01-01T00:00:01Z\": completionTime cannot be set before startTime",
                "status.active: Invalid value: 1: active>0 is invalid for finished job"
            ]
        );
        let undone = told(json!({}), done, json!({"startTime": "2024-01-01T00:00:00Z"}));
        assert_eq!(undone.len(), 2, "{undone:?}");
    }
}
