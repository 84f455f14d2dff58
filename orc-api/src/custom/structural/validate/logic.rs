//! `allOf`, `anyOf`, `oneOf` and `not`.
//!
//! Such an error is about no field: Kubernetes prints `<nil>` and names the place inside the text. The errors of the
//! branch that got furthest follow, so that the writer sees what to repair.

use super::super::schema::Schema;
use super::{Place, Run};
use orc_core::validation::{FieldError, FieldPath, go_quote};
use serde_json::Value;

impl Run {
    pub(super) fn logic(&mut self, value: &Value, schema: &Schema, place: &Place<'_>) {
        if !schema.any_of.is_empty() {
            self.any_of(value, &schema.any_of, place);
        }
        if !schema.one_of.is_empty() {
            self.one_of(value, &schema.one_of, place);
        }
        if !schema.all_of.is_empty() {
            self.all_of(value, &schema.all_of, place);
        }
        if let Some(not) = &schema.not {
            let run = branch(value, not, place);
            if run.errors.is_empty() {
                self.refuse(place, "must not validate the schema (not)");
            }
        }
    }

    fn any_of(&mut self, value: &Value, branches: &[Schema], place: &Place<'_>) {
        let mut best: Option<Run> = None;
        for schema in branches {
            let run = branch(value, schema, place);
            if run.errors.is_empty() {
                return;
            }
            keep_best(&mut best, run);
        }
        self.refuse(place, "must validate at least one schema (anyOf)");
        self.merge(best);
    }

    fn one_of(&mut self, value: &Value, branches: &[Schema], place: &Place<'_>) {
        let (mut best, mut valid) = (None, 0);
        for schema in branches {
            let run = branch(value, schema, place);
            if run.errors.is_empty() {
                valid += 1;
            } else if valid == 0 {
                keep_best(&mut best, run);
            }
        }
        match valid {
            1 => {}
            0 => {
                self.refuse(place, "must validate one and only one schema (oneOf). Found none valid");
                self.merge(best);
            }
            n => {
                let rule = format!("must validate one and only one schema (oneOf). Found {n} valid alternatives");
                self.refuse(place, &rule);
            }
        }
    }

    fn all_of(&mut self, value: &Value, branches: &[Schema], place: &Place<'_>) {
        let mut valid = 0;
        for schema in branches {
            let run = branch(value, schema, place);
            valid += usize::from(run.errors.is_empty());
            self.merge(Some(run));
        }
        if valid < branches.len() {
            let none = if valid == 0 { ". None validated" } else { "" };
            self.refuse(place, &format!("must validate all the schemas (allOf){none}"));
        }
    }

    fn refuse(&mut self, place: &Place<'_>, rule: &str) {
        let text = format!("{} {rule}", go_quote(&place.text()));
        self.errors.push(FieldError::invalid(&FieldPath::nil(), "", text));
    }

    fn merge(&mut self, other: Option<Run>) {
        if let Some(other) = other {
            self.errors.extend(other.errors);
            self.matched += other.matched;
        }
    }
}

fn branch(value: &Value, schema: &Schema, place: &Place<'_>) -> Run {
    let mut run = Run::default();
    run.schema(value, schema, place);
    run
}

fn keep_best(best: &mut Option<Run>, run: Run) {
    if best.as_ref().is_none_or(|b| run.matched > b.matched) {
        *best = Some(run);
    }
}
