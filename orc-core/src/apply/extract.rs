//! The fields that a configuration speaks of.

use std::collections::BTreeSet;

use serde_json::Value;

use super::element::Element;
use super::set::FieldSet;
use super::shape::{Build, Place, identity, is_named, member};

/// The fields of a value. Places that do not fit the schema are left out; see [`check`].
pub fn fields(value: &Value, place: Place<'_>) -> FieldSet {
    let mut set = FieldSet::default();
    walk(value, place, &mut Vec::new(), &mut set);
    set
}

fn walk(value: &Value, place: Place<'_>, path: &mut Vec<Element>, set: &mut FieldSet) {
    match (place.build(), value) {
        (Build::List(field), Value::Array(items)) => {
            for item in items {
                let Ok(element) = identity(field, item) else { continue };
                path.push(element);
                walk(item, field.item(), path, set);
                set.insert(path);
                path.pop();
            }
        }
        (build @ (Build::Struct(_) | Build::Object(_) | Build::Map(_) | Build::Guess), Value::Object(map)) => {
            for (name, inner) in map {
                let Some(place) = member(build, name) else { continue };
                path.push(Element::Field(name.clone()));
                walk(inner, place, path, set);
                let known = is_named(build, name);
                if !known || inner.is_null() || inner.as_object().is_some_and(serde_json::Map::is_empty) {
                    set.insert(path);
                }
                path.pop();
            }
        }
        (Build::List(_) | Build::Struct(_) | Build::Object(_) | Build::Map(_), _) => {}
        (Build::Leaf | Build::Guess, _) => set.insert(path),
    }
}

/// Checks a configuration against the schema: unknown fields, wrong types, elements that occur twice.
///
/// # Errors
/// The first rule that is broken, with its path, as upstream words it.
pub fn check(value: &Value, place: Place<'_>) -> Result<(), String> {
    step(value, place, &mut String::new())
}

fn step(value: &Value, place: Place<'_>, path: &mut String) -> Result<(), String> {
    let wrong = |path: &str, wanted: &str| Err(format!("{path}: expected {wanted}, got {}", found(value)));
    match (place.build(), value) {
        (_, Value::Null) | (Build::Guess, _) => Ok(()),
        (Build::List(field), Value::Array(items)) => {
            let mut seen = BTreeSet::new();
            for (at, item) in items.iter().enumerate() {
                let element = identity(field, item).map_err(|why| format!("{path}: element {at}: {why}"))?;
                if !seen.insert(element.clone()) {
                    return Err(format!("{path}: duplicate entries for key {element}"));
                }
                below(path, &element.to_string(), |path| step(item, field.item(), path))?;
            }
            Ok(())
        }
        (build @ (Build::Struct(_) | Build::Object(_) | Build::Map(_)), Value::Object(map)) => {
            map.iter().try_for_each(|(name, inner)| {
                below(path, &format!(".{name}"), |path| match member(build, name) {
                    Some(place) => step(inner, place, path),
                    None => Err(format!("{path}: field not declared in schema")),
                })
            })
        }
        (Build::List(_), _) => wrong(path, "list"),
        (Build::Struct(_) | Build::Object(_) | Build::Map(_), _) => wrong(path, "map"),
        (Build::Leaf, value) => scalar(value, place).map_or(Ok(()), |wanted| wrong(path, wanted)),
    }
}

fn below(path: &mut String, step: &str, inner: impl FnOnce(&mut String) -> Result<(), String>) -> Result<(), String> {
    let length = path.len();
    path.push_str(step);
    let result = inner(path);
    path.truncate(length);
    result
}

fn found(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "boolean".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "list".to_owned(),
        Value::Object(_) => "map".to_owned(),
    }
}

/// What a scalar place wanted instead of the value.
fn scalar(value: &Value, place: Place<'_>) -> Option<&'static str> {
    use super::node::{Node, Scalar};
    use crate::schema::Cardinality;
    let wanted = match place {
        Place::Field(field) if field.cardinality == Cardinality::One => field.kind.into(),
        Place::Item(field) => field.kind.into(),
        Place::Node(Node::Leaf(scalar)) => *scalar,
        _ => Scalar::Any,
    };
    match (wanted, value) {
        (Scalar::Number, value) if !value.is_number() => Some("numeric (int or float)"),
        (Scalar::Bool, value) if !value.is_boolean() => Some("boolean"),
        (Scalar::Text, value) if !value.is_string() => Some("string"),
        _ => None,
    }
}

impl From<crate::schema::Type> for super::node::Scalar {
    fn from(kind: crate::schema::Type) -> Self {
        use crate::schema::Type;
        match kind {
            Type::Int32 | Type::Int64 | Type::Double => Self::Number,
            Type::Bool => Self::Bool,
            Type::String | Type::Bytes => Self::Text,
            Type::Message(_) => Self::Any,
        }
    }
}
