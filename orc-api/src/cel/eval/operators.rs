//! Operators on values.

use crate::cel::budget::{Budget, tenth};
use crate::cel::error::EvalError;
use crate::cel::value::{Key, Outcome, Value};
use jiff::{SignedDuration, Timestamp};
use std::cmp::Ordering;
use std::sync::Arc;

const OVERFLOW: &str = "integer overflow";

/// Applies an operator; `None` when the name is no operator.
pub(super) fn apply(name: &str, args: &[Value], budget: &mut Budget) -> Option<Outcome> {
    let cost = match (name, args) {
        ("_==_" | "_!=_", [a, b]) => tenth(a.comparing(b)),
        ("_<_" | "_<=_" | "_>_" | "_>=_", [a, b]) => tenth(a.size().min(b.size())),
        ("_+_", [Value::String(_) | Value::Bytes(_) | Value::List(_), b]) => tenth(args[0].size() + b.size()),
        _ => 1,
    };
    if !name.starts_with(['_', '@', '-', '!']) {
        return None;
    }
    if let Err(error) = budget.take(cost.max(1)) {
        return Some(Err(error));
    }
    Some(match (name, args) {
        ("_==_", [a, b]) => Ok(Value::Bool(a == b)),
        ("_!=_", [a, b]) => Ok(Value::Bool(a != b)),
        ("_<_", [a, b]) => compare(a, b, |o| o == Ordering::Less),
        ("_<=_", [a, b]) => compare(a, b, |o| o != Ordering::Greater),
        ("_>_", [a, b]) => compare(a, b, |o| o == Ordering::Greater),
        ("_>=_", [a, b]) => compare(a, b, |o| o != Ordering::Less),
        ("_+_", [a, b]) => add(a, b),
        ("_-_", [a, b]) => subtract(a, b),
        ("_*_", [a, b]) => multiply(a, b),
        ("_/_", [a, b]) => divide(a, b),
        ("_%_", [a, b]) => remainder(a, b),
        ("-_", [a]) => negate(a),
        ("!_", [Value::Bool(a)]) => Ok(Value::Bool(!a)),
        ("@in", [item, list]) => within(item, list, budget),
        ("_[_]", [operand, key]) => index(operand, key),
        ("_[?_]", [operand, key]) => optional_index(operand, key),
        _ => Err(EvalError::NoSuchOverload),
    })
}

fn number(value: Option<i64>) -> Outcome {
    value.map(Value::Int).ok_or_else(|| EvalError::failed(OVERFLOW))
}

fn unsigned(value: Option<u64>) -> Outcome {
    value.map(Value::Uint).ok_or_else(|| EvalError::failed("unsigned integer overflow"))
}

fn compare(a: &Value, b: &Value, holds: impl Fn(Ordering) -> bool) -> Outcome {
    match a.order(b) {
        Some(order) => Ok(Value::Bool(holds(order))),
        // Not a number compares false with everything.
        None if matches!((a, b), (Value::Double(_), _) | (_, Value::Double(_))) => Ok(Value::Bool(false)),
        None => Err(EvalError::NoSuchOverload),
    }
}

fn moved(time: Timestamp, nanos: Option<i64>) -> Outcome {
    let moved = nanos.and_then(|n| time.checked_add(SignedDuration::from_nanos(n)).ok());
    moved.map(Value::Timestamp).ok_or_else(|| EvalError::failed("timestamp overflow"))
}

fn add(a: &Value, b: &Value) -> Outcome {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => number(a.checked_add(*b)),
        (Value::Uint(a), Value::Uint(b)) => unsigned(a.checked_add(*b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a + b)),
        (Value::String(a), Value::String(b)) => Ok(Value::string(format!("{a}{b}"))),
        (Value::Bytes(a), Value::Bytes(b)) => Ok(Value::Bytes([&**a, &**b].concat().into())),
        (Value::List(a), Value::List(b)) => Ok(Value::List(Arc::new(a.join(b)))),
        (Value::Duration(a), Value::Duration(b)) => {
            a.checked_add(*b).map(Value::Duration).ok_or_else(|| EvalError::failed("duration overflow"))
        }
        (Value::Timestamp(t), Value::Duration(d)) | (Value::Duration(d), Value::Timestamp(t)) => moved(*t, Some(*d)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn subtract(a: &Value, b: &Value) -> Outcome {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => number(a.checked_sub(*b)),
        (Value::Uint(a), Value::Uint(b)) => unsigned(a.checked_sub(*b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a - b)),
        (Value::Duration(a), Value::Duration(b)) => {
            a.checked_sub(*b).map(Value::Duration).ok_or_else(|| EvalError::failed("duration overflow"))
        }
        (Value::Timestamp(t), Value::Duration(d)) => moved(*t, d.checked_neg()),
        (Value::Timestamp(a), Value::Timestamp(b)) => {
            let nanos = i64::try_from(a.duration_since(*b).as_nanos());
            nanos.map(Value::Duration).map_err(|_| EvalError::failed("duration overflow"))
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn multiply(a: &Value, b: &Value) -> Outcome {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => number(a.checked_mul(*b)),
        (Value::Uint(a), Value::Uint(b)) => unsigned(a.checked_mul(*b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a * b)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn divide(a: &Value, b: &Value) -> Outcome {
    match (a, b) {
        (Value::Int(_), Value::Int(0)) | (Value::Uint(_), Value::Uint(0)) => Err(EvalError::failed("division by zero")),
        (Value::Int(a), Value::Int(b)) => number(a.checked_div(*b)),
        (Value::Uint(a), Value::Uint(b)) => unsigned(a.checked_div(*b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a / b)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn remainder(a: &Value, b: &Value) -> Outcome {
    match (a, b) {
        (Value::Int(_), Value::Int(0)) | (Value::Uint(_), Value::Uint(0)) => Err(EvalError::failed("modulus by zero")),
        (Value::Int(a), Value::Int(b)) => number(a.checked_rem(*b)),
        (Value::Uint(a), Value::Uint(b)) => unsigned(a.checked_rem(*b)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn negate(a: &Value) -> Outcome {
    match a {
        Value::Int(a) => number(a.checked_neg()),
        Value::Double(a) => Ok(Value::Double(-a)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn within(item: &Value, list: &Value, budget: &mut Budget) -> Outcome {
    match list {
        Value::List(list) => Ok(Value::Bool(budget.search(&list.items, item)?.is_some())),
        Value::Map(map) => Ok(Value::Bool(item.key().is_some_and(|key| map.contains_key(&key)))),
        _ => Err(EvalError::NoSuchOverload),
    }
}

/// The item or entry, or why there is none.
fn find(operand: &Value, key: &Value) -> Outcome {
    match operand {
        Value::List(list) => {
            let Some(Key::Int(at)) = key.key() else { return Err(EvalError::NoSuchOverload) };
            let found = usize::try_from(at).ok().and_then(|at| list.items.get(at));
            found.cloned().ok_or_else(|| EvalError::failed(format!("index out of bounds: {at}")))
        }
        Value::Map(map) => {
            let key = key.key().ok_or(EvalError::NoSuchOverload)?;
            map.get(&key).cloned().ok_or_else(|| EvalError::NoSuchKey(key.to_string()))
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn index(operand: &Value, key: &Value) -> Outcome {
    match operand {
        Value::Optional(_) => optional_index(operand, key),
        plain => find(plain, key),
    }
}

fn optional_index(operand: &Value, key: &Value) -> Outcome {
    let operand = match operand {
        Value::Optional(None) => return Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) => inner,
        plain => plain,
    };
    match find(operand, key) {
        Ok(value) => Ok(Value::Optional(Some(Arc::new(value)))),
        Err(EvalError::NoSuchOverload) => Err(EvalError::NoSuchOverload),
        Err(_) => Ok(Value::Optional(None)),
    }
}
