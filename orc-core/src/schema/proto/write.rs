//! JSON to protobuf.

use serde_json::{Map, Value};

use super::super::table::{Cardinality, Field, MessageRef, Schema, Shape, Type};
use super::super::{base64, scalar, time};
use super::wire::{put_bytes, put_fixed64, put_varint};
use super::{MAX_DEPTH, ProtoError, duration};

/// Writes a tree as a message. Members that the message does not have are left out.
///
/// # Errors
/// When a value is not of its field's type, or the tree is too deep.
pub fn from_json(value: &Value, message: MessageRef) -> Result<Vec<u8>, ProtoError> {
    let mut out = Vec::new();
    message_body(&mut out, value, message, "", 0)?;
    Ok(out)
}

fn wrong(field: &str, value: &Value) -> ProtoError {
    ProtoError::WrongType { field: field.to_owned(), found: scalar::json_type(value) }
}

pub(super) fn message_body(
    out: &mut Vec<u8>,
    value: &Value,
    message: MessageRef,
    name: &str,
    depth: usize,
) -> Result<(), ProtoError> {
    if depth > MAX_DEPTH {
        return Err(ProtoError::TooDeep);
    }
    match (message.shape, value) {
        (Shape::Object, Value::Object(map)) => members(out, map, message, depth),
        (Shape::Object, other) => Err(wrong(name, other)),
        (Shape::Json, value) => {
            put_bytes(out, 1, value.to_string().as_bytes());
            Ok(())
        }
        (Shape::Strings, Value::Array(items)) => {
            for item in items {
                put_bytes(out, 1, item.as_str().ok_or_else(|| wrong(name, item))?.as_bytes());
            }
            Ok(())
        }
        (Shape::SchemaOrArray | Shape::SchemaOrBool | Shape::SchemaOrStrings, value) => {
            union(out, value, message, name, depth)
        }
        (shape, value) => token(out, value, shape, name),
    }
}

fn members(out: &mut Vec<u8>, map: &Map<String, Value>, message: MessageRef, depth: usize) -> Result<(), ProtoError> {
    for field in &message.wire {
        if field.is_inline() {
            if let Some(part) = field.message() {
                let mut body = Vec::new();
                members(&mut body, map, part, depth + 1)?;
                put_bytes(out, field.number, &body);
            }
            continue;
        }
        let Some(value) = map.get(field.json).filter(|v| !v.is_null() && field.number != 0) else {
            continue;
        };
        match (field.cardinality, value) {
            (Cardinality::One, value) => one(out, field, field.number, value, depth)?,
            (Cardinality::List, Value::Array(items)) => {
                items.iter().try_for_each(|item| one(out, field, field.number, item, depth))?;
            }
            (Cardinality::Map, Value::Object(entries)) => {
                for (key, value) in entries {
                    let mut entry = Vec::new();
                    put_bytes(&mut entry, 1, key.as_bytes());
                    one(&mut entry, field, 2, value, depth)?;
                    put_bytes(out, field.number, &entry);
                }
            }
            (_, other) => return Err(wrong(field.json, other)),
        }
    }
    Ok(())
}

fn one(out: &mut Vec<u8>, field: &Field, number: u32, value: &Value, depth: usize) -> Result<(), ProtoError> {
    let bad = || wrong(field.json, value);
    match field.kind {
        Type::Bool => put_varint(out, number, value.as_bool().ok_or_else(bad)?.into()),
        Type::Int32 => {
            let value = value.as_i64().filter(|v| i32::try_from(*v).is_ok()).ok_or_else(bad)?;
            put_varint(out, number, value.cast_unsigned());
        }
        Type::Int64 => put_varint(out, number, value.as_i64().ok_or_else(bad)?.cast_unsigned()),
        Type::Double => put_fixed64(out, number, value.as_f64().ok_or_else(bad)?.to_bits()),
        Type::String => put_bytes(out, number, value.as_str().ok_or_else(bad)?.as_bytes()),
        Type::Bytes => {
            let bytes = value.as_str().and_then(decoded).ok_or_else(bad)?;
            put_bytes(out, number, &bytes);
        }
        Type::Message(at) => {
            let mut body = Vec::new();
            message_body(&mut body, value, &Schema::builtin().messages[usize::from(at)], field.json, depth + 1)?;
            put_bytes(out, number, &body);
        }
    }
    Ok(())
}

/// Bytes of their form in JSON.
pub(super) fn decoded(text: &str) -> Option<Vec<u8>> {
    base64::decode(text).ok()
}

fn union(out: &mut Vec<u8>, value: &Value, message: MessageRef, name: &str, depth: usize) -> Result<(), ProtoError> {
    let part = |list: bool, flag: bool| {
        let fits = |f: &&Field| (f.cardinality == Cardinality::List) == list && (f.kind == Type::Bool) == flag;
        message.wire.iter().find(fits).ok_or_else(|| wrong(name, value))
    };
    match value {
        Value::Array(items) => {
            let field = part(true, false)?;
            items.iter().try_for_each(|item| one(out, field, field.number, item, depth))
        }
        Value::Bool(_) => one(out, part(false, true)?, 1, value, depth),
        Value::Object(_) => {
            if let Ok(allows) = part(false, true) {
                put_varint(out, allows.number, 1);
            }
            let field = part(false, false)?;
            one(out, field, field.number, value, depth)
        }
        other => Err(wrong(name, other)),
    }
}

/// Messages whose JSON is one token.
fn token(out: &mut Vec<u8>, value: &Value, shape: Shape, name: &str) -> Result<(), ProtoError> {
    let bad = || wrong(name, value);
    match (shape, value) {
        (Shape::Quantity, Value::String(text)) => put_bytes(out, 1, text.as_bytes()),
        (Shape::Quantity, Value::Number(number)) => put_bytes(out, 1, number.to_string().as_bytes()),
        (Shape::IntOrString, Value::String(text)) => {
            put_varint(out, 1, 1);
            put_varint(out, 2, 0);
            put_bytes(out, 3, text.as_bytes());
        }
        (Shape::IntOrString, Value::Number(number)) => {
            let number = number.as_i64().filter(|n| i32::try_from(*n).is_ok()).ok_or_else(bad)?;
            put_varint(out, 1, 0);
            put_varint(out, 2, number.cast_unsigned());
            put_bytes(out, 3, b"");
        }
        (Shape::Duration, Value::String(text)) => {
            put_varint(out, 1, duration::parse(text).ok_or_else(bad)?.cast_unsigned())
        }
        (Shape::Time | Shape::MicroTime, Value::String(text)) => {
            let at = time::parse(text, shape == Shape::MicroTime).map_err(|_| bad())?;
            // Both are written even when zero: an empty message is no time at all.
            put_varint(out, 1, at.seconds.cast_unsigned());
            put_varint(out, 2, if shape == Shape::MicroTime { at.nanos.into() } else { 0 });
        }
        (Shape::Time | Shape::MicroTime, Value::Null) => {}
        _ => return Err(bad()),
    }
    Ok(())
}
