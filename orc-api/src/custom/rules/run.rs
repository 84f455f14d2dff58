//! Running the rules of an object.

use super::super::structural::{ListType, Schema, SchemaType, validate};
use super::compile::{Compiled, Validator};
use super::{declare, message};
use crate::cel::budget::OBJECT_BUDGET;
use crate::cel::{Activation, Budget, EvalError, Value};
use orc_core::validation::{FieldError, FieldErrors, FieldPath};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the rules say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Rules that do not hold.
    pub errors: FieldErrors,
    /// Rules that do not hold for a part that the write did not change: told, but not in the way (KEP-4008).
    pub warnings: Vec<String>,
}

/// The old value of a place, and what to compare when the place has none.
#[derive(Clone, Copy)]
struct Old<'a> {
    value: Option<&'a Json>,
    /// The nearest part above whose old value is known, new and old.
    above: Option<(&'a Json, &'a Json)>,
}

impl Validator {
    /// Runs all rules. `old` is the stored object on an update. Stops when [`OBJECT_BUDGET`] is used up.
    pub fn validate(&self, object: &Json, old: Option<&Json>, schema: &Schema) -> Findings {
        let mut run = Run { found: Findings::default(), left: OBJECT_BUDGET };
        let old = Old { value: old, above: None };
        // The error that ends a run is in the list already.
        let _ended = run.node(self, object, old, schema, None);
        run.found
    }
}

/// The budget is used up.
struct Ended;

struct Run {
    found: Findings,
    left: u64,
}

const OUT: &str = "validation failed due to running out of cost budget, no further validation rules will be run";

impl Run {
    fn node(
        &mut self,
        validator: &Validator,
        json: &Json,
        old: Old<'_>,
        schema: &Schema,
        path: Option<&FieldPath<'_>>,
    ) -> Result<(), Ended> {
        if json.is_null() {
            return Ok(());
        }
        if !validator.rules.is_empty() {
            self.rules(validator, json, old, schema, path)?;
        }
        let above = old.value.map(|value| (json, value)).or(old.above);
        match json {
            Json::Array(items) => {
                let (Some(inner), Some(below)) = (&schema.items, &validator.items) else { return Ok(()) };
                let known = by_key(old.value, schema);
                for (i, item) in items.iter().enumerate() {
                    let key = validate::list_key(item, schema).map(|key| key.to_string());
                    let value = key.and_then(|key| known.get(&key).copied());
                    let at = Old { value, above };
                    validate::with_index(path, i, |path| self.node(below, item, at, inner, Some(path)))?;
                }
            }
            Json::Object(map) => {
                for (name, value) in map {
                    let below = validator.properties.get(name);
                    let below = below
                        .or_else(|| validator.additional.as_deref().filter(|_| !schema.properties.contains_key(name)));
                    let (Some(below), Some(inner)) = (below, schema.child(name)) else { continue };
                    let at = Old { value: old.value.and_then(|old| old.get(name)), above };
                    match validator.properties.contains_key(name) {
                        true => {
                            validate::with_child(path, name, |path| self.node(below, value, at, inner, Some(path)))?
                        }
                        false => validate::with_key(path, name, |path| self.node(below, value, at, inner, Some(path)))?,
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn rules(
        &mut self,
        validator: &Validator,
        json: &Json,
        old: Old<'_>,
        schema: &Schema,
        path: Option<&FieldPath<'_>>,
    ) -> Result<(), Ended> {
        let uses_old = validator.rules.iter().any(|rule| rule.uses_old);
        let now = declare::value(json, schema, validator.root);
        let before = old.value.filter(|v| uses_old && !v.is_null()).map(|v| declare::value(v, schema, validator.root));
        for compiled in &validator.rules {
            if compiled.uses_old && before.is_none() && !compiled.rule.optional_old_self {
                continue;
            }
            let mut activation = Activation::new().with("self", now.clone());
            match (&before, compiled.rule.optional_old_self) {
                (before, true) => {
                    activation = activation.with("oldSelf", Value::Optional(before.clone().map(Arc::new)));
                }
                (Some(before), false) => activation = activation.with("oldSelf", before.clone()),
                (None, false) => {}
            }
            self.rule(compiled, &activation, json, old, schema, path)?;
        }
        Ok(())
    }

    fn rule(
        &mut self,
        compiled: &Compiled,
        activation: &Activation,
        json: &Json,
        old: Old<'_>,
        schema: &Schema,
        path: Option<&FieldPath<'_>>,
    ) -> Result<(), Ended> {
        let fault = |text: String| at(path, "", |path| FieldError::invalid(path, kind(schema), text));
        let program = match &compiled.program {
            Ok(program) => program,
            Err(error) => {
                self.found.errors.push(fault(format!("rule compile error: {error}")));
                return Ok(());
            }
        };
        let mut budget = Budget::default();
        let outcome = program.evaluate(activation, &mut budget);
        if budget.used() > self.left {
            self.found.errors.push(fault(OUT.to_owned()));
            return Err(Ended);
        }
        self.left -= budget.used();
        let name = message::named(compiled);
        match outcome {
            Ok(Value::Bool(true)) => Ok(()),
            Ok(_) => self.broken(compiled, activation, json, old, path),
            Err(error @ EvalError::NoSuchOverload) => {
                self.found.errors.push(fault(format!("'{error}': call arguments did not match a supported operator, function or macro signature for rule: {name}")));
                Ok(())
            }
            Err(error @ EvalError::CostLimit) => {
                self.found.errors.push(fault(format!(
                    "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {name}"
                )));
                Err(Ended)
            }
            Err(error) => {
                self.found.errors.push(fault(format!("{error} evaluating rule: {name}")));
                Ok(())
            }
        }
    }

    fn broken(
        &mut self,
        compiled: &Compiled,
        activation: &Activation,
        json: &Json,
        old: Old<'_>,
        path: Option<&FieldPath<'_>>,
    ) -> Result<(), Ended> {
        let (detail, ended) = match message::made(compiled, activation, &mut self.left) {
            Ok(made) => (made.unwrap_or_else(|| message::fixed(compiled)), None),
            Err(text) => (text, Some(Ended)),
        };
        let reason = if ended.is_some() { None } else { compiled.rule.reason.as_deref() };
        let error = at(path, &compiled.blames, |path| match reason {
            Some("FieldValueForbidden") => FieldError::forbidden(path, detail),
            Some("FieldValueRequired") => FieldError::required(path, detail),
            Some("FieldValueDuplicate") => FieldError::duplicate(path, json),
            // Kubernetes shows scalars and leaves objects and lists out.
            _ if json.is_object() || json.is_array() => FieldError::invalid_omitted(path, detail),
            _ => FieldError::invalid(path, json, detail),
        });
        let unchanged = match (old.value, old.above) {
            (Some(before), _) => before == json,
            (None, Some((now, before))) => now == before,
            (None, None) => false,
        };
        match !compiled.uses_old && unchanged {
            true => self.found.warnings.push(error.to_string()),
            false => self.found.errors.push(error),
        }
        ended.map_or(Ok(()), Err)
    }
}

fn kind(schema: &Schema) -> &'static str {
    schema.kind.map_or("", SchemaType::as_str)
}

/// Makes an error at a place or at a field below it.
fn at(path: Option<&FieldPath<'_>>, below: &str, make: impl FnOnce(&FieldPath<'_>) -> FieldError) -> FieldError {
    match (path, below) {
        (Some(path), "") => make(path),
        (Some(path), below) => make(&path.child(below)),
        (None, "") => make(&FieldPath::nil()),
        (None, below) => make(&FieldPath::new(below)),
    }
}

/// The old items by their keys; only lists of the map type can be told apart.
fn by_key<'a>(old: Option<&'a Json>, schema: &Schema) -> BTreeMap<String, &'a Json> {
    let items = old.and_then(Json::as_array).filter(|_| schema.list_type == ListType::Map);
    let keyed = |item: &'a Json| Some((validate::list_key(item, schema)?.to_string(), item));
    items.into_iter().flatten().filter_map(keyed).collect()
}
