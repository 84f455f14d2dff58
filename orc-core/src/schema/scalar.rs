//! Values that are one token in JSON: which fit a type, and the canonical form of times and quantities.

use serde_json::Value;

use super::table::{Shape, Type};
use super::{base64, time};
use crate::quantity::Quantity;

/// What came of looking at a scalar.
pub(super) enum Verdict {
    Fits,
    WrongType { found: String },
    Unreadable(String),
}

/// Go's name for the type of a JSON value.
pub(super) fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

pub(super) fn check(kind: Type, value: &Value) -> Verdict {
    let fits = match (kind, value) {
        (Type::Bool, Value::Bool(_)) | (Type::String, Value::String(_)) | (Type::Double, Value::Number(_)) => true,
        (Type::Int32, Value::Number(n)) => match n.as_i64().and_then(|n| i32::try_from(n).ok()) {
            Some(_) => true,
            None => {
                return Verdict::WrongType { found: format!("number {n}") };
            }
        },
        (Type::Int64, Value::Number(n)) => match n.as_i64() {
            Some(_) => true,
            None => {
                return Verdict::WrongType { found: format!("number {n}") };
            }
        },
        (Type::Bytes, Value::String(text)) => match base64::decode(text) {
            Ok(_) => true,
            Err(at) => {
                return Verdict::Unreadable(format!("illegal base64 data at input byte {at}"));
            }
        },
        _ => false,
    };
    if fits { Verdict::Fits } else { Verdict::WrongType { found: json_type(value).to_owned() } }
}

/// The form in which a plain scalar that fits is kept: Go decodes bytes, so line breaks in them are gone.
pub(super) fn kept(kind: Type, value: Value) -> Value {
    match (kind, &value) {
        (Type::Bytes, Value::String(text)) if text.contains(['\n', '\r']) => {
            base64::decode(text).map_or(value, |bytes| base64::encode(&bytes).into())
        }
        _ => value,
    }
}

/// The canonical form of a scalar that stands for a message.
pub(super) fn shaped(shape: Shape, value: Value) -> Result<Value, Verdict> {
    match (shape, value) {
        (Shape::Quantity, Value::String(text)) => quantity(&text),
        (Shape::Quantity, Value::Number(number)) => quantity(&number.to_string()),
        (Shape::IntOrString, value @ Value::String(_)) => Ok(value),
        (Shape::IntOrString, value @ Value::Number(_)) => match check(Type::Int32, &value) {
            Verdict::Fits => Ok(value),
            _ => Err(Verdict::Unreadable(format!("json: cannot unmarshal number {value} into Go value of type int32"))),
        },
        (Shape::Time | Shape::MicroTime, Value::String(text)) => {
            let micro = shape == Shape::MicroTime;
            let at = time::parse(&text, micro).map_err(Verdict::Unreadable)?;
            Ok(if micro { time::format(at, true) } else { time::format_exact(at) }.into())
        }
        (Shape::Duration, Value::String(text)) => Ok(text.into()),
        (Shape::SchemaOrBool, value @ Value::Bool(_)) => Ok(value),
        (_, value) => Err(Verdict::WrongType { found: json_type(&value).to_owned() }),
    }
}

/// Brings a time in the decoder's form to whole seconds.
pub(super) fn drop_fraction(time: &mut Value) {
    if let Value::String(text) = time
        && text.ends_with('Z')
        && let Some(point) = text.find('.')
    {
        text.truncate(point);
        text.push('Z');
    }
}

fn quantity(text: &str) -> Result<Value, Verdict> {
    match Quantity::shown(text) {
        Ok(shown) => Ok(shown.into()),
        Err(error) => Err(Verdict::Unreadable(error.to_string())),
    }
}
