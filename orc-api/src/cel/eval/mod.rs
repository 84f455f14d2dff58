//! Running a checked expression.
//!
//! Errors are values until they reach the top: `false && error` is false, and a comprehension may go on after a failed
//! step, as CEL demands. A used-up budget ends everything.

mod fold;
mod operators;

use super::activation::Activation;
use super::budget::Budget;
use super::error::EvalError;
use super::functions;
use super::node::Node;
use super::value::{Key, Outcome, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Evaluates an expression.
pub(super) fn evaluate(node: &Node, activation: &Activation, budget: &mut Budget) -> Outcome {
    Machine { activation, budget, scope: Vec::new() }.eval(node)
}

struct Machine<'a> {
    activation: &'a Activation,
    budget: &'a mut Budget,
    /// Variables of comprehensions, innermost last. An accumulator may hold an error.
    scope: Vec<(Arc<str>, Outcome)>,
}

impl Machine<'_> {
    fn eval(&mut self, node: &Node) -> Outcome {
        match node {
            Node::Literal(value) => Ok(value.clone()),
            Node::Var(name) => self.variable(name),
            Node::Select { operand, field, optional } => {
                let value = self.eval(operand)?;
                self.budget.take(1)?;
                select(&value, field, *optional)
            }
            Node::Has { operand, field } => {
                let value = self.eval(operand)?;
                self.budget.take(1)?;
                has(&value, field)
            }
            Node::List(items) => self.list(items),
            Node::Map(entries) => self.map(entries),
            Node::And(left, right) => self.logic(left, right, false),
            Node::Or(left, right) => self.logic(left, right, true),
            Node::Conditional(parts) => match self.eval(&parts[0])?.as_bool() {
                Some(true) => self.eval(&parts[1]),
                Some(false) => self.eval(&parts[2]),
                None => Err(EvalError::NoSuchOverload),
            },
            Node::Call { function, args } => self.call(function, args),
            Node::Fold(fold) => self.fold(fold),
        }
    }

    fn variable(&mut self, name: &str) -> Outcome {
        self.budget.take(1)?;
        if let Some((_, value)) = self.scope.iter().rev().find(|(bound, _)| &**bound == name) {
            return value.clone();
        }
        self.activation.get(name, self.budget).unwrap_or_else(|| Err(EvalError::NoSuchAttribute(name.to_owned())))
    }

    /// `&&` (decided by false) and `||` (decided by true): the side that decides wins over an error of the other.
    fn logic(&mut self, left: &Node, right: &Node, decides: bool) -> Outcome {
        let left = self.truth(left)?;
        if left == Ok(decides) {
            return Ok(Value::Bool(decides));
        }
        let right = self.truth(right)?;
        match (left, right) {
            (_, Ok(value)) if value == decides => Ok(Value::Bool(decides)),
            (Err(error), _) | (_, Err(error)) => Err(error),
            _ => Ok(Value::Bool(!decides)),
        }
    }

    /// A truth value or the error in its place; only a used-up budget is an error for the caller.
    fn truth(&mut self, node: &Node) -> Result<Result<bool, EvalError>, EvalError> {
        match self.eval(node) {
            Ok(value) => Ok(value.as_bool().ok_or(EvalError::NoSuchOverload)),
            Err(error) if error.is_final() => Err(error),
            Err(error) => Ok(Err(error)),
        }
    }

    fn list(&mut self, items: &[(Node, bool)]) -> Outcome {
        self.budget.take(10)?;
        let mut values = Vec::with_capacity(items.len());
        for (item, optional) in items {
            values.extend(present(self.eval(item)?, *optional)?);
        }
        Ok(Value::list(values))
    }

    fn map(&mut self, entries: &[(Node, Node, bool)]) -> Outcome {
        self.budget.take(30)?;
        let mut map = BTreeMap::new();
        for (key, value, optional) in entries {
            let key = self.eval(key)?.key().ok_or_else(|| EvalError::failed("unsupported key type"))?;
            let Some(value) = present(self.eval(value)?, *optional)? else { continue };
            if map.insert(key.clone(), value).is_some() {
                return Err(EvalError::failed(format!("insert failed: key {key} already exists")));
            }
        }
        Ok(Value::Map(Arc::new(map)))
    }

    fn call(&mut self, function: &str, args: &[Node]) -> Outcome {
        if function == "_+_"
            && let [Node::Var(name), Node::List(items)] = args
            && let Some(grown) = self.append(name, items)
        {
            return grown;
        }
        if function == "@not_strictly_false" {
            return match args.first().map(|arg| self.eval(arg)) {
                Some(Err(error)) if error.is_final() => Err(error),
                Some(Ok(Value::Bool(value))) => Ok(Value::Bool(value)),
                _ => Ok(Value::Bool(true)),
            };
        }
        let mut values = Vec::with_capacity(args.len());
        for arg in args {
            values.push(self.eval(arg)?);
        }
        match operators::apply(function, &values, self.budget) {
            Some(outcome) => outcome,
            None => functions::call(function, &values, self.budget),
        }
    }

    /// Adds to the list that a `map` or `filter` builds, in place: nobody else holds it.
    fn append(&mut self, name: &str, items: &[(Node, bool)]) -> Option<Outcome> {
        if !name.starts_with('@') {
            return None;
        }
        let slot = self.scope.iter().rposition(|(bound, _)| &**bound == name)?;
        let Ok(Value::List(_)) = &self.scope[slot].1 else { return None };
        let added = match self.list(items) {
            Ok(Value::List(added)) => added,
            Ok(_) => return Some(Err(EvalError::NoSuchOverload)),
            Err(error) => return Some(Err(error)),
        };
        if let Err(error) = self.budget.take(2) {
            return Some(Err(error));
        }
        let Ok(Value::List(mut list)) = std::mem::replace(&mut self.scope[slot].1, Ok(Value::Null)) else {
            return None;
        };
        Arc::make_mut(&mut list).items.extend(added.items.iter().cloned());
        Some(Ok(Value::List(list)))
    }
}

/// An item, or nothing for an optional one without value.
fn present(value: Value, optional: bool) -> Result<Option<Value>, EvalError> {
    match (optional, value) {
        (false, value) => Ok(Some(value)),
        (true, Value::Optional(inner)) => Ok(inner.map(|value| Value::clone(&value))),
        (true, other) => Err(EvalError::failed(format!(
            "cannot initialize optional entry from non-optional value {}",
            other.type_name()
        ))),
    }
}

fn select(value: &Value, field: &str, optional: bool) -> Outcome {
    let lift = |found: Option<&Value>| match found {
        // An optional field is not wrapped twice.
        Some(value) => Value::Optional(Some(Arc::new(value.clone()))),
        None => Value::Optional(None),
    };
    match value {
        Value::Map(map) => match (map.get(&Key::text(field)), optional) {
            (found, true) => Ok(lift(found)),
            (Some(value), false) => Ok(value.clone()),
            (None, false) => Err(EvalError::NoSuchKey(field.to_owned())),
        },
        Value::Optional(None) => Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) => select(inner, field, true),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn has(value: &Value, field: &str) -> Outcome {
    match value {
        Value::Map(map) => Ok(Value::Bool(map.contains_key(&Key::text(field)))),
        Value::Optional(None) => Ok(Value::Bool(false)),
        Value::Optional(Some(inner)) => has(inner, field),
        Value::Null => Err(EvalError::NoSuchKey(field.to_owned())),
        _ => Err(EvalError::NoSuchOverload),
    }
}
