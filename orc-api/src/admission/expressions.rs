//! Checks of the expressions of admission objects when they are written.

use orc_core::validation::{FieldErrors, FieldPath};
use serde_json::Value;

use super::variables;
use crate::cel::{Environment, Program, Type};
use crate::kinds::tree::Errors as _;

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = (usize, &'a Value)> {
    value.get(field).and_then(Value::as_array).into_iter().flatten().enumerate()
}

/// Compiles one expression and tells what is wrong with it; an empty one is told elsewhere. Returns its type.
fn check(
    source: &str,
    wanted: Option<Type>,
    environment: &Environment,
    path: &FieldPath<'_>,
    e: &mut FieldErrors,
) -> Option<Type> {
    if source.trim().is_empty() {
        return None;
    }
    match Program::compile(source.trim(), environment) {
        Err(error) => {
            e.invalid(path, source, format!("compilation failed: {error}"));
            None
        }
        Ok(program) => {
            let got = program.kind().clone();
            if let Some(wanted) = wanted.filter(|wanted| !matches!(got, Type::Dyn) && !wanted.accepts(&got)) {
                e.invalid(path, source, format!("must evaluate to {wanted} but got {got}"));
            }
            Some(got)
        }
    }
}

/// Checks `matchConditions` of a webhook.
pub fn check_webhook(hook: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    check_conditions(hook, &variables::environment(false, false), path, e);
}

fn check_conditions(holder: &Value, environment: &Environment, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let all = path.child("matchConditions");
    for (i, condition) in list(holder, "matchConditions") {
        check(text(condition, "expression"), Some(Type::Bool), environment, &all.index(i).child("expression"), e);
    }
}

/// Checks the expressions of a policy's spec, variables in their order: each sees those before it.
pub fn check_policy(spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let mut environment = variables::environment(true, spec.get("paramKind").is_some_and(|kind| !kind.is_null()));
    let all = path.child("variables");
    for (i, variable) in list(spec, "variables") {
        let at = all.index(i);
        let kind = check(text(variable, "expression"), None, &environment, &at.child("expression"), e);
        environment = environment.with(&format!("variables.{}", text(variable, "name")), kind.unwrap_or(Type::Dyn));
    }
    check_conditions(spec, &environment, path, e);
    let all = path.child("validations");
    for (i, rule) in list(spec, "validations") {
        let at = all.index(i);
        check(text(rule, "expression"), Some(Type::Bool), &environment, &at.child("expression"), e);
        let message = at.child("messageExpression");
        check(text(rule, "messageExpression"), Some(Type::text()), &environment, &message, e);
    }
    let all = path.child("auditAnnotations");
    for (i, audit) in list(spec, "auditAnnotations") {
        check(text(audit, "valueExpression"), None, &environment, &all.index(i).child("valueExpression"), e);
    }
    let (all, literals) = (path.child("mutations"), variables::with_literals(environment));
    for (i, mutation) in list(spec, "mutations") {
        for field in ["applyConfiguration", "jsonPatch"] {
            let source = mutation.get(field).map_or("", |holder| text(holder, "expression"));
            check(source, None, &literals, &all.index(i).child(field).child("expression"), e);
        }
    }
}
