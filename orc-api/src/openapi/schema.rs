//! Schemas of messages.

use std::collections::BTreeMap;

use orc_core::schema::{Cardinality, Field, ListType, MapType, MessageRef, Presence, Shape, Type};
use serde_json::{Map, Value, json};

use super::texts::{FieldText, Texts, TypeText};

/// Schemas by OpenAPI name, with all that they refer to.
pub(super) struct Schemas<'a> {
    /// Where a reference points: `#/components/schemas/` or `#/definitions/`.
    prefix: &'static str,
    pub(super) texts: &'a Texts<'a>,
    pub(super) all: BTreeMap<String, Value>,
}

impl<'a> Schemas<'a> {
    pub(super) fn new(prefix: &'static str, texts: &'a Texts<'a>) -> Self {
        Self { prefix, texts, all: BTreeMap::new() }
    }

    /// Adds a message and everything below it; returns a reference to it.
    pub(super) fn reference(&mut self, message: MessageRef) -> Value {
        let name = message.openapi_name();
        if !self.all.contains_key(&name) {
            // First a placeholder: some messages contain themselves.
            self.all.insert(name.clone(), Value::Null);
            let schema = self.schema(message, &name);
            self.all.insert(name.clone(), schema);
        }
        json!({"$ref": format!("{}{name}", self.prefix)})
    }

    /// Adds a type that only the texts know, all of whose fields are strings (the version's).
    pub(super) fn strings(&mut self, name: &str) -> Value {
        if let Some(said) = self.texts.of(name).filter(|_| !self.all.contains_key(name)) {
            let mut fields: Vec<&str> = said.fields().collect();
            fields.sort_unstable();
            let one = |field: &&str| {
                let mut schema = json!({"type": "string"});
                describe(&mut schema, &self.texts.description(&said.field(field)));
                if self.is_v3() && said.requires(field) {
                    schema["default"] = "".into();
                }
                ((*field).to_owned(), schema)
            };
            let properties: Map<_, _> = fields.iter().map(one).collect();
            let required: Vec<&str> = fields.iter().copied().filter(|field| said.requires(field)).collect();
            let mut schema = json!({"type": "object", "properties": properties, "required": required});
            describe(&mut schema, &said.description());
            self.all.insert(name.to_owned(), schema);
        }
        json!({"$ref": self.pointer(name)})
    }

    fn schema(&mut self, message: MessageRef, name: &str) -> Value {
        let texts = self.texts;
        let said = texts.of(name);
        let mut schema = match message.shape {
            Shape::Object => self.object(message, said),
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
        };
        describe(&mut schema, &said.map(TypeText::description).unwrap_or_default());
        if let Some(unions) = unions(name) {
            schema["x-kubernetes-unions"] = unions;
        }
        schema
    }

    /// The reference to a schema of that name.
    pub(super) fn pointer(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(super) fn is_v3(&self) -> bool {
        self.prefix.contains("components")
    }

    fn object(&mut self, message: MessageRef, said: Option<&TypeText<'_>>) -> Value {
        let mut properties = Map::new();
        for field in &message.fields {
            let said = said.map(|said| said.field(field.json)).unwrap_or_default();
            properties.insert(field.json.to_owned(), self.field(field, &said));
        }
        let mut schema = json!({"type": "object"});
        if !properties.is_empty() {
            schema["properties"] = properties.into();
        }
        let names = message.fields.iter().map(|field| field.json);
        let required: Vec<&str> = names.filter(|name| said.is_some_and(|said| said.requires(name))).collect();
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if message.atomic {
            schema["x-kubernetes-map-type"] = "atomic".into();
        }
        schema
    }

    fn field(&mut self, field: &Field, said: &FieldText<'_>) -> Value {
        let mut one = self.one(field);
        let values = self.texts.enumeration(said);
        if let Some((values, true)) = &values {
            one["enum"] = values.clone();
        }
        let mut schema = match field.cardinality {
            Cardinality::One => one,
            Cardinality::List => json!({"type": "array", "items": one}),
            Cardinality::Map => json!({"type": "object", "additionalProperties": one}),
        };
        if let Some((values, false)) = values {
            schema["enum"] = values;
        }
        describe(&mut schema, &self.texts.description(said));
        // Swagger's clients took defaults for what the server does; upstream prunes them there.
        if let Some(default) = default(field, said).filter(|_| self.is_v3()) {
            schema["default"] = default;
        }
        mark(&mut schema, field);
        if self.is_v3() { apart(schema) } else { schema }
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

fn describe(schema: &mut Value, text: &str) {
    if !text.is_empty() {
        schema["description"] = text.into();
    }
}

/// In OpenAPI 3 a reference stands alone; what is said of the field goes around it.
fn apart(mut schema: Value) -> Value {
    let Some(map) = schema.as_object_mut().filter(|map| map.len() > 1) else { return schema };
    if let Some(reference) = map.remove("$ref") {
        map.insert("allOf".to_owned(), json!([{"$ref": reference}]));
    }
    schema
}

/// The default: what the type says, or the zero of a value that is always there.
fn default(field: &Field, said: &FieldText<'_>) -> Option<Value> {
    let always = field.presence == Presence::Always && field.cardinality == Cardinality::One && field.number > 0;
    said.default().or_else(|| match field.kind {
        _ if !always => None,
        Type::Bool => Some(json!(false)),
        Type::Int32 | Type::Int64 | Type::Double => Some(json!(0)),
        Type::String => Some(json!("")),
        Type::Bytes => None,
        Type::Message(_) => field.message().filter(|message| message.shape == Shape::Object).map(|_| json!({})),
    })
}

/// The unions that types say they are, of which there are three.
fn unions(name: &str) -> Option<Value> {
    let (discriminator, fields) = match name.strip_prefix("io.k8s.api.flowcontrol.v1.")? {
        "LimitResponse" => ("type", json!({"queuing": "Queuing"})),
        "PriorityLevelConfigurationSpec" => ("type", json!({"exempt": "Exempt", "limited": "Limited"})),
        "Subject" => ("kind", json!({"group": "Group", "serviceAccount": "ServiceAccount", "user": "User"})),
        _ => return None,
    };
    Some(json!([{"discriminator": discriminator, "fields-to-discriminateBy": fields}]))
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
