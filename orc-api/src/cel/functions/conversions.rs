//! Conversions between types, `size`, `type` and the entries of comprehensions.

use super::{Budget, EvalError, Outcome, Said, Value, int};
use crate::cel::duration;
use crate::cel::macros::{INSERT, MERGE};
use crate::cel::value::Key;
use jiff::Timestamp;
use std::sync::Arc;

pub(super) fn call(name: &str, args: &[Value], budget: &mut Budget) -> Said {
    Some(match (name, args) {
        ("size", [value]) => size(value),
        ("type", [value]) => Ok(Value::Type(Arc::from(value.type_name()))),
        ("dyn", [value]) => Ok(value.clone()),
        ("int", [value]) => to_int(value),
        ("uint", [value]) => to_uint(value),
        ("double", [value]) => to_double(value),
        ("string", [value]) => budget.walk(value.size(), 1).and_then(|()| to_string(value)),
        ("bytes", [Value::String(text)]) => Ok(Value::Bytes(Arc::from(text.as_bytes()))),
        ("bytes", [value @ Value::Bytes(_)]) => Ok(value.clone()),
        ("bool", [value]) => to_bool(value),
        ("duration", [value]) => to_duration(value),
        ("timestamp", [value]) => to_timestamp(value),
        (INSERT, [Value::Map(map), key, value]) => insert(map, std::iter::once((key.key(), value.clone())), budget),
        (MERGE, [Value::Map(map), Value::Map(more)]) => {
            insert(map, more.iter().map(|(key, value)| (Some(key.clone()), value.clone())), budget)
        }
        _ => return None,
    })
}

fn insert(
    map: &Arc<std::collections::BTreeMap<Key, Value>>,
    entries: impl Iterator<Item = (Option<Key>, Value)>,
    budget: &mut Budget,
) -> Outcome {
    budget.walk(map.len() as u64, 1)?;
    let mut map = std::collections::BTreeMap::clone(map);
    for (key, value) in entries {
        let key = key.ok_or_else(|| EvalError::failed("unsupported key type"))?;
        if map.insert(key.clone(), value).is_some() {
            return Err(EvalError::failed(format!("insert failed: key {key} already exists")));
        }
    }
    Ok(Value::Map(Arc::new(map)))
}

fn size(value: &Value) -> Outcome {
    match value {
        Value::String(text) => Ok(int(text.chars().count())),
        Value::Bytes(bytes) => Ok(int(bytes.len())),
        Value::List(list) => Ok(int(list.items.len())),
        Value::Map(map) => Ok(int(map.len())),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn range() -> EvalError {
    EvalError::failed("integer overflow")
}

fn to_int(value: &Value) -> Outcome {
    match value {
        Value::Int(n) => Ok(Value::Int(*n)),
        Value::Uint(n) => i64::try_from(*n).map(Value::Int).map_err(|_| range()),
        Value::Double(n) if n.is_finite() && n.abs() < 9.223_372_036_854_775e18 => Ok(Value::Int(*n as i64)),
        Value::Double(_) => Err(range()),
        Value::String(text) => text.parse().map(Value::Int).map_err(|_| not(text, "ParseInt")),
        Value::Timestamp(time) => Ok(Value::Int(time.as_second())),
        Value::Duration(nanos) => Ok(Value::Int(*nanos)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn not(text: &str, function: &str) -> EvalError {
    let quoted = orc_core::validation::go_quote(text);
    EvalError::failed(format!("strconv.{function}: parsing {quoted}: invalid syntax"))
}

fn to_uint(value: &Value) -> Outcome {
    let overflow = || EvalError::failed("unsigned integer overflow");
    match value {
        Value::Uint(n) => Ok(Value::Uint(*n)),
        Value::Int(n) => u64::try_from(*n).map(Value::Uint).map_err(|_| overflow()),
        Value::Double(n) if *n >= 0.0 && *n < 1.844_674_407_370_955e19 => Ok(Value::Uint(*n as u64)),
        Value::Double(_) => Err(overflow()),
        Value::String(text) => text.parse().map(Value::Uint).map_err(|_| not(text, "ParseUint")),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn to_double(value: &Value) -> Outcome {
    match value {
        Value::Double(n) => Ok(Value::Double(*n)),
        Value::Int(n) => Ok(Value::Double(*n as f64)),
        Value::Uint(n) => Ok(Value::Double(*n as f64)),
        Value::String(text) => text.parse().map(Value::Double).map_err(|_| not(text, "ParseFloat")),
        _ => Err(EvalError::NoSuchOverload),
    }
}

/// A value as `string()` prints it.
pub(super) fn to_string(value: &Value) -> Outcome {
    Ok(Value::string(match value {
        Value::String(text) => return Ok(Value::String(text.clone())),
        Value::Int(n) => n.to_string(),
        Value::Uint(n) => n.to_string(),
        Value::Double(n) => n.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Bytes(bytes) => {
            return std::str::from_utf8(bytes)
                .map(Value::string)
                .map_err(|_| EvalError::failed("invalid UTF-8 in bytes, cannot convert to string"));
        }
        Value::Timestamp(time) => time.to_string(),
        Value::Duration(nanos) => duration::show(*nanos),
        _ => return Err(EvalError::NoSuchOverload),
    }))
}

fn to_bool(value: &Value) -> Outcome {
    match value {
        Value::Bool(b) => Ok(Value::Bool(*b)),
        Value::String(text) => match &**text {
            "true" | "True" | "TRUE" | "t" | "T" | "1" => Ok(Value::Bool(true)),
            "false" | "False" | "FALSE" | "f" | "F" | "0" => Ok(Value::Bool(false)),
            other => Err(not(other, "ParseBool")),
        },
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn to_duration(value: &Value) -> Outcome {
    match value {
        Value::Duration(nanos) => Ok(Value::Duration(*nanos)),
        Value::Int(nanos) => Ok(Value::Duration(*nanos)),
        Value::String(text) => duration::parse(text).map(Value::Duration).ok_or_else(|| {
            EvalError::failed(format!("time: invalid duration {}", orc_core::validation::go_quote(text)))
        }),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn to_timestamp(value: &Value) -> Outcome {
    match value {
        Value::Timestamp(time) => Ok(Value::Timestamp(*time)),
        Value::Int(seconds) => {
            Timestamp::from_second(*seconds).map(Value::Timestamp).map_err(|_| EvalError::failed("timestamp overflow"))
        }
        Value::String(text) => text.parse().map(Value::Timestamp).map_err(|_| {
            let quoted = orc_core::validation::go_quote(text);
            EvalError::failed(format!("parsing time {quoted} as \"2006-01-02T15:04:05Z07:00\": cannot parse {quoted}"))
        }),
        _ => Err(EvalError::NoSuchOverload),
    }
}
