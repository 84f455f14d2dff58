//! Between JSON and values.

use super::value::{Key, Value};
use serde_json::Value as Json;
use std::sync::Arc;

/// A JSON value of no declared type: numbers are `int` or `double`, objects are maps.
pub fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(n), _) => Value::Int(n),
            (None, Some(n)) => Value::Uint(n),
            (None, None) => Value::Double(n.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::string(text),
        Json::Array(items) => Value::list(items.iter().map(from_json).collect()),
        Json::Object(map) => {
            Value::Map(Arc::new(map.iter().map(|(key, value)| (Key::text(key), from_json(value))).collect()))
        }
    }
}

/// The JSON of a value, as MutatingAdmissionPolicy and audit annotations need it; `None` for what JSON cannot say.
pub fn to_json(value: &Value) -> Option<Json> {
    Some(match value {
        Value::Null => Json::Null,
        Value::Bool(b) => Json::Bool(*b),
        Value::Int(n) => Json::from(*n),
        Value::Uint(n) => Json::from(*n),
        Value::Double(n) => serde_json::Number::from_f64(*n).map(Json::Number)?,
        Value::String(text) => Json::from(&**text),
        Value::List(list) => Json::Array(list.items.iter().map(to_json).collect::<Option<_>>()?),
        Value::Map(map) => Json::Object(
            map.iter().map(|(key, value)| Some((key.to_string(), to_json(value)?))).collect::<Option<_>>()?,
        ),
        Value::Timestamp(time) => Json::from(time.to_string()),
        Value::Duration(nanos) => Json::from(super::duration::show(*nanos)),
        Value::Bytes(bytes) => {
            use base64::Engine;
            Json::from(base64::engine::general_purpose::STANDARD.encode(bytes))
        }
        Value::Optional(Some(inner)) => to_json(inner)?,
        Value::Optional(None) | Value::Type(_) | Value::Opaque(_) => return None,
    })
}
