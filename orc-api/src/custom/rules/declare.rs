//! Types and values of CEL by schema (`k8s.io/apiserver/pkg/cel/common/schemas.go`).

use super::super::structural::{ListType, Schema, SchemaType};
use crate::cel::{Key, List, ListKind, MAX_REQUEST, ObjectType, Type, Value, convert, duration, names};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The type of a value of this schema, or `None` where a schema does not tell. `root` adds the type header and names.
pub fn declare(schema: &Schema, root: bool) -> Option<Type> {
    if schema.int_or_string {
        return Some(Type::Dyn);
    }
    Some(match schema.kind? {
        SchemaType::Boolean => Type::Bool,
        SchemaType::Integer => Type::Int,
        SchemaType::Number => Type::Double,
        SchemaType::String => text(schema),
        SchemaType::Array => {
            let items = schema.items.as_ref()?;
            let most = schema.item_count.max.unwrap_or((MAX_REQUEST - 2) / (least(items) + 1));
            Type::List(Arc::new(declare(items, items.embedded)?), most)
        }
        SchemaType::Object => match schema.value_schema() {
            Some(values) => {
                let most = schema.property_count.max.unwrap_or((MAX_REQUEST - 2) / (least(values) + 6));
                Type::Map(Arc::new(Type::text()), Arc::new(declare(values, values.embedded)?), most)
            }
            None => Type::Object(Arc::new(object(schema, root || schema.embedded))),
        },
    })
}

fn text(schema: &Schema) -> Type {
    match schema.format.as_str() {
        "byte" => Type::Bytes(schema.length.max.unwrap_or(MAX_REQUEST - 2)),
        "duration" => Type::Duration,
        "date" | "date-time" => Type::Timestamp,
        // A character takes up to four bytes.
        _ => {
            let listed = schema.allowed.iter().filter_map(Json::as_str).map(|text| text.len() as u64).max();
            let most = schema.length.max.map(|n| n.saturating_mul(4)).or(listed);
            Type::String(most.unwrap_or(MAX_REQUEST - 2))
        }
    }
}

/// The fewest bytes that a value takes in a request.
fn least(schema: &Schema) -> u64 {
    match schema.kind {
        Some(SchemaType::Object) => {
            let required =
                |name: &String| schema.properties.get(name).map(|inner| name.len() as u64 + 4 + least(inner));
            2 + schema.required.iter().filter_map(required).sum::<u64>()
        }
        Some(SchemaType::Boolean) => 4,
        Some(SchemaType::Integer | SchemaType::Number) => 1,
        _ => 2,
    }
}

fn object(schema: &Schema, resource: bool) -> ObjectType {
    let mut fields = BTreeMap::new();
    for (name, inner) in &schema.properties {
        if let (Some(escaped), Some(kind)) = (names::escape(name), declare(inner, inner.embedded)) {
            fields.insert(escaped, kind);
        }
    }
    if resource {
        fields.entry("apiVersion".into()).or_insert_with(Type::text);
        fields.entry("kind".into()).or_insert_with(Type::text);
        let names = ["name", "generateName"].map(|name| (name.to_owned(), Type::text()));
        let metadata = ObjectType { name: "object".into(), fields: BTreeMap::from(names) };
        fields.insert("metadata".into(), Type::Object(Arc::new(metadata)));
    }
    ObjectType { name: "object".into(), fields }
}

/// A value of this schema as rules see it: fields that are not described are not there.
pub fn value(json: &Json, schema: &Schema, root: bool) -> Value {
    match json {
        _ if schema.int_or_string => convert::from_json(json),
        Json::String(text) => scalar(text, schema),
        Json::Number(n) if schema.kind == Some(SchemaType::Number) => Value::Double(n.as_f64().unwrap_or(f64::NAN)),
        Json::Number(n) if schema.kind == Some(SchemaType::Integer) => {
            Value::Int(n.as_i64().unwrap_or_else(|| n.as_f64().map_or(0, |f| f as i64)))
        }
        Json::Array(items) => list(items, schema),
        Json::Object(map) => match schema.value_schema() {
            Some(inner) => {
                Value::Map(Arc::new(map.iter().map(|(k, v)| (Key::text(k), value(v, inner, inner.embedded))).collect()))
            }
            None => fields(map, schema, root || schema.embedded),
        },
        other => convert::from_json(other),
    }
}

fn scalar(text: &str, schema: &Schema) -> Value {
    let plain = || Value::string(text);
    match schema.format.as_str() {
        "duration" => duration::parse_openapi(text).map_or_else(plain, Value::Duration),
        "date-time" => text.parse().map_or_else(|_| plain(), Value::Timestamp),
        "date" => format!("{text}T00:00:00Z").parse().map_or_else(|_| plain(), Value::Timestamp),
        "byte" => {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.decode(text).map_or_else(|_| plain(), |b| Value::Bytes(b.into()))
        }
        _ => plain(),
    }
}

fn list(items: &[Json], schema: &Schema) -> Value {
    let Some(inner) = &schema.items else {
        return Value::list(items.iter().map(convert::from_json).collect());
    };
    let kind = match schema.list_type {
        ListType::Atomic => ListKind::Plain,
        ListType::Set => ListKind::Set,
        ListType::Map => {
            let keys = schema.list_map_keys.iter().filter_map(|key| names::escape(key));
            ListKind::Map(keys.map(|key| Key::text(&key)).collect())
        }
    };
    let items = items.iter().map(|item| value(item, inner, inner.embedded)).collect();
    Value::List(Arc::new(List { items, kind }))
}

fn fields(map: &Map<String, Json>, schema: &Schema, resource: bool) -> Value {
    let mut fields = BTreeMap::new();
    for (name, json) in map {
        let Some(escaped) = names::escape(name) else { continue };
        if resource && name == "metadata" {
            let given = ["name", "generateName"].into_iter().filter_map(|name| Some((name, json.get(name)?)));
            let names = given.map(|(name, json)| (Key::text(name), convert::from_json(json))).collect();
            fields.insert(Key::text(name), Value::Map(Arc::new(names)));
        } else if let Some(inner) = schema.properties.get(name) {
            fields.insert(Key::text(&escaped), value(json, inner, inner.embedded));
        } else if resource && matches!(name.as_str(), "apiVersion" | "kind") {
            fields.insert(Key::text(name), convert::from_json(json));
        }
    }
    Value::Map(Arc::new(fields))
}
