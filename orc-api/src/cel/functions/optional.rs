//! Optional values.

use super::{Budget, EvalError, Said, Value};
use std::sync::Arc;

pub(super) fn call(name: &str, args: &[Value], _: &mut Budget) -> Said {
    let some = |value: &Value| Ok(Value::Optional(Some(Arc::new(value.clone()))));
    Some(match (name, args) {
        ("optional.of", [value]) => some(value),
        ("optional.ofNonZeroValue", [value]) if zero(value) => Ok(Value::Optional(None)),
        ("optional.ofNonZeroValue", [value]) => some(value),
        ("optional.none", []) => Ok(Value::Optional(None)),
        ("hasValue", [Value::Optional(inner)]) => Ok(Value::Bool(inner.is_some())),
        ("value", [Value::Optional(Some(inner))]) => Ok(Value::clone(inner)),
        ("value", [Value::Optional(None)]) => Err(EvalError::failed("optional.none() dereference")),
        ("or", [Value::Optional(None), other]) => Ok(other.clone()),
        ("or", [have @ Value::Optional(_), _]) => Ok(have.clone()),
        ("orValue", [Value::Optional(inner), other]) => Ok(inner.as_deref().unwrap_or(other).clone()),
        _ => return None,
    })
}

fn zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) | Value::Int(0) | Value::Uint(0) | Value::Duration(0) => true,
        Value::Double(n) => *n == 0.0,
        Value::Optional(inner) => inner.is_none(),
        Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_) => value.size() == 0,
        _ => false,
    }
}
