//! Kubernetes' quantities.

use super::{Budget, EvalError, Opaque, OpaqueValue, Outcome, Said, Value, inside, opaque, opaque_value};
use orc_core::quantity::{Format, Quantity};
use std::cmp::Ordering;

#[derive(Debug, PartialEq)]
struct Amount(Quantity);
opaque_value!(Amount, Quantity);

pub(super) fn call(name: &str, args: &[Value], budget: &mut Budget) -> Said {
    match (name, args) {
        ("quantity" | "isQuantity", [Value::String(text)]) => Some(parse(name, text, budget)),
        (_, [first, rest @ ..]) => inside::<Amount>(first).map(|amount| known(name, amount.0, rest)),
        _ => None,
    }
}

fn parse(name: &str, text: &str, budget: &mut Budget) -> Outcome {
    budget.walk(text.len() as u64, 1)?;
    match (name, Quantity::parse(text)) {
        ("isQuantity", parsed) => Ok(Value::Bool(parsed.is_ok())),
        (_, parsed) => parsed.map(|q| opaque(Amount(q))).map_err(|error| EvalError::failed(error.to_string())),
    }
}

/// The other side of a sum: a quantity or a whole number.
fn other(value: &Value) -> Result<Quantity, EvalError> {
    match value {
        Value::Int(n) => Ok(Quantity::from_integer(*n, Format::DecimalSi)),
        value => inside::<Amount>(value).map(|amount| amount.0).ok_or(EvalError::NoSuchOverload),
    }
}

fn known(name: &str, amount: Quantity, rest: &[Value]) -> Outcome {
    let order = |rest: &[Value]| match rest {
        [value] => inside::<Amount>(value).map(|b| amount.cmp(&b.0)).ok_or(EvalError::NoSuchOverload),
        _ => Err(EvalError::NoSuchOverload),
    };
    Ok(match (name, rest) {
        ("sign", []) => Value::Int(i64::from(amount.sign())),
        ("isInteger", []) => Value::Bool(amount.as_integer().is_some()),
        ("asInteger", []) => {
            let whole = amount.as_integer();
            Value::Int(whole.ok_or_else(|| EvalError::failed("cannot convert value to integer"))?)
        }
        ("asApproximateFloat", []) => Value::Double(amount.as_f64()),
        ("add", [value]) => opaque(Amount(amount.add(other(value)?))),
        ("sub", [value]) => opaque(Amount(amount.sub(other(value)?))),
        ("isGreaterThan", rest) => Value::Bool(order(rest)? == Ordering::Greater),
        ("isLessThan", rest) => Value::Bool(order(rest)? == Ordering::Less),
        ("compareTo", rest) => Value::Int(order(rest)? as i64),
        _ => return Err(EvalError::NoSuchOverload),
    })
}
