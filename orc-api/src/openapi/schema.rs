//! Schemas of messages.

use std::collections::BTreeMap;

use orc_core::schema::{Cardinality, Field, ListType, MapType, MessageRef, Shape, Type};
use serde_json::{Map, Value, json};

/// Schemas by OpenAPI name, with all that they refer to.
pub(super) struct Schemas {
    /// Where a reference points: `#/components/schemas/` or `#/definitions/`.
    prefix: &'static str,
    pub(super) all: BTreeMap<String, Value>,
}

impl Schemas {
    pub(super) fn new(prefix: &'static str) -> Self {
        Self { prefix, all: BTreeMap::new() }
    }

    /// Adds a message and everything below it; returns a reference to it.
    pub(super) fn reference(&mut self, message: MessageRef) -> Value {
        let name = message.openapi_name();
        if !self.all.contains_key(&name) {
            // First a placeholder: some messages contain themselves.
            self.all.insert(name.clone(), Value::Null);
            let schema = self.schema(message);
            self.all.insert(name.clone(), schema);
        }
        json!({"$ref": format!("{}{name}", self.prefix)})
    }

    fn schema(&mut self, message: MessageRef) -> Value {
        match message.shape {
            Shape::Object => self.object(message),
            Shape::Quantity if self.is_v3() => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
            Shape::Quantity => json!({"type": "string"}),
            Shape::IntOrString if self.is_v3() => {
                json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
            }
            Shape::IntOrString => json!({"type": "string", "format": "int-or-string"}),
            Shape::Time | Shape::MicroTime => json!({"type": "string", "format": "date-time"}),
            Shape::Duration => json!({"type": "string"}),
            Shape::Strings => json!({"type": "array", "items": {"type": "string"}}),
            Shape::Json if message.short_name() == "JSON" => json!({}),
            Shape::Json => json!({"type": "object"}),
            Shape::SchemaOrArray | Shape::SchemaOrBool | Shape::SchemaOrStrings => json!({}),
        }
    }

    /// The reference to a schema of that name.
    pub(super) fn pointer(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(super) fn is_v3(&self) -> bool {
        self.prefix.contains("components")
    }

    fn object(&mut self, message: MessageRef) -> Value {
        let mut properties = Map::new();
        for field in &message.fields {
            properties.insert(field.json.to_owned(), self.field(field));
        }
        let mut schema = json!({"type": "object"});
        if !properties.is_empty() {
            schema["properties"] = properties.into();
        }
        if message.atomic {
            schema["x-kubernetes-map-type"] = "atomic".into();
        }
        schema
    }

    fn field(&mut self, field: &Field) -> Value {
        let one = self.one(field);
        let mut schema = match field.cardinality {
            // A reference stands alone; what is said of the field goes around it.
            Cardinality::One if one.get("$ref").is_some() && self.is_v3() => json!({"allOf": [one], "default": {}}),
            Cardinality::One => one,
            Cardinality::List => json!({"type": "array", "items": one}),
            Cardinality::Map => json!({"type": "object", "additionalProperties": one}),
        };
        mark(&mut schema, field);
        schema
    }

    fn one(&mut self, field: &Field) -> Value {
        match field.kind {
            Type::Bool => json!({"type": "boolean"}),
            Type::Int32 => json!({"type": "integer", "format": "int32"}),
            Type::Int64 => json!({"type": "integer", "format": "int64"}),
            Type::Double => json!({"type": "number", "format": "double"}),
            Type::String => json!({"type": "string"}),
            Type::Bytes => json!({"type": "string", "format": "byte"}),
            Type::Message(_) => match field.message() {
                Some(message) => self.reference(message),
                None => json!({"type": "object"}),
            },
        }
    }
}

/// The marks that say how lists and maps merge.
fn mark(schema: &mut Value, field: &Field) {
    match &field.list_type {
        Some(ListType::Atomic) => schema["x-kubernetes-list-type"] = "atomic".into(),
        Some(ListType::Set) => schema["x-kubernetes-list-type"] = "set".into(),
        Some(ListType::Map(keys)) => {
            schema["x-kubernetes-list-type"] = "map".into();
            schema["x-kubernetes-list-map-keys"] = json!(keys);
        }
        None => {}
    }
    if field.map_type == Some(MapType::Atomic) {
        schema["x-kubernetes-map-type"] = "atomic".into();
    }
    let patch = field.patch;
    let words: Vec<&str> = [(patch.merge, "merge"), (patch.replace, "replace"), (patch.retain_keys, "retainKeys")]
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, word)| *word)
        .collect();
    if !words.is_empty() {
        schema["x-kubernetes-patch-strategy"] = words.join(",").into();
    }
    if let Some(key) = patch.merge_key {
        schema["x-kubernetes-patch-merge-key"] = key.into();
    }
}
