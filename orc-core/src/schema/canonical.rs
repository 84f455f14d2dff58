//! What a stored object looks like: what Go's encoder would have written after decoding.
//!
//! Fields that are left out when zero are dropped, fields that are always written are filled in, nulls vanish. Two
//! passes, because a patch is normalised and must not be filled.

use serde_json::{Map, Value, json};

use super::scalar;
use super::table::{Cardinality, Field, Message, MessageRef, Presence, Schema, Shape, Type};

/// Both passes: [`normalise`], then [`fill_always`].
///
/// Fractions of seconds in plain times are left, as a decoder keeps them: Kubernetes compares and checks them and drops them
/// when it writes (see [`written`]).
pub fn canonical(value: &mut Value, message: MessageRef) {
    normalise(value, message);
    fill_always(value, message);
}

/// As [`canonical`], in the form in which the object is written: plain times in whole seconds.
pub fn written(value: &mut Value, message: MessageRef) {
    normalise_as(value, message, true);
    fill_always(value, message);
}

/// Drops nulls, and zero values of fields that are left out when zero. Nulls inside lists and maps become zeros.
pub fn normalise(value: &mut Value, message: MessageRef) {
    normalise_as(value, message, false);
}

fn normalise_as(value: &mut Value, message: MessageRef, whole_seconds: bool) {
    let message = match message.shape {
        Shape::Object => message,
        Shape::SchemaOrArray | Shape::SchemaOrBool | Shape::SchemaOrStrings => schema_props(),
        Shape::Time if whole_seconds => return scalar::drop_fraction(value),
        _ => return,
    };
    match value {
        Value::Object(map) => normalise_map(map, message, whole_seconds),
        Value::Array(items) => items.iter_mut().for_each(|item| normalise_as(item, message, whole_seconds)),
        _ => {}
    }
}

fn normalise_map(map: &mut Map<String, Value>, message: MessageRef, whole_seconds: bool) {
    map.retain(|key, value| {
        let Some(field) = message.field(key) else {
            return !value.is_null();
        };
        if value.is_null() {
            return false;
        }
        each(field, value, &mut |item, inner| {
            if let Some(inner) = inner {
                normalise_as(item, inner, whole_seconds);
            }
        });
        !(field.presence == Presence::NonZero && is_zero(value))
    });
}

/// Writes the fields that are always written and are missing. Expects a normalised value.
pub fn fill_always(value: &mut Value, message: MessageRef) {
    let message = match message.shape {
        Shape::Object => message,
        Shape::SchemaOrArray | Shape::SchemaOrBool | Shape::SchemaOrStrings => schema_props(),
        _ => return,
    };
    match value {
        Value::Object(map) => {
            for field in message.always() {
                if let Some(missing) = missing(field).filter(|_| !map.contains_key(field.json)) {
                    map.insert(field.json.to_owned(), missing);
                }
            }
            for (name, value) in map.iter_mut().filter(|(_, value)| value.is_object() || value.is_array()) {
                if let Some(field) = message.field(name) {
                    each(field, value, &mut |item, inner| inner.into_iter().for_each(|inner| fill_always(item, inner)));
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill_always(item, message)),
        _ => {}
    }
}

/// What stands for a missing field, if it is written at all.
fn missing(field: &Field) -> Option<Value> {
    match field.presence {
        Presence::NonZero | Presence::Given => None,
        Presence::AlwaysNullable => Some(Value::Null),
        Presence::Always => Some(zero(field)),
    }
}

fn zero(field: &Field) -> Value {
    if field.cardinality != Cardinality::One {
        return Value::Null;
    }
    match field.kind {
        Type::Message(_) => field.message().map_or(Value::Null, zero_message),
        kind => zero_scalar(kind),
    }
}

fn zero_scalar(kind: Type) -> Value {
    match kind {
        Type::Bool => json!(false),
        Type::Int32 | Type::Int64 | Type::Double => json!(0),
        Type::String => json!(""),
        Type::Bytes | Type::Message(_) => Value::Null,
    }
}

fn zero_message(message: &Message) -> Value {
    match message.shape {
        Shape::Object => json!({}),
        Shape::Quantity => json!("0"),
        Shape::IntOrString => json!(0),
        Shape::Duration => json!("0s"),
        _ => Value::Null,
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) => false,
    }
}

/// Visits the values of a field with their message; nulls in lists and maps become zeros first.
fn each(field: &Field, value: &mut Value, visit: &mut dyn FnMut(&mut Value, Option<MessageRef>)) {
    let inner = field.message();
    let mut item = |item: &mut Value| {
        if item.is_null() {
            *item = inner.map_or_else(|| zero_scalar(field.kind), zero_message);
        }
        visit(item, inner);
    };
    match (field.cardinality, value) {
        (Cardinality::One, value) => visit(value, inner),
        (Cardinality::List, Value::Array(items)) => items.iter_mut().for_each(&mut item),
        (Cardinality::Map, Value::Object(items)) => items.values_mut().for_each(&mut item),
        _ => {}
    }
}

fn schema_props() -> MessageRef {
    let name = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
    Schema::builtin().message(name).expect("the table has JSONSchemaProps")
}
