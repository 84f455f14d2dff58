//! From `openAPIV3Schema` to the tree.

use super::schema::{Additional, Bounds, ListType, NumberBounds, Rule, Schema, SchemaType};
use crate::cel::pattern::Pattern;
use crate::kinds::tree::{flag, get, has, list, text, texts};
use serde_json::Value;
use std::collections::BTreeMap;

/// The deepest nesting of schemas. A request body has at most 120 levels, and a schema takes two for each of its own.
pub const MAX_DEPTH: usize = 64;

/// Why a schema has no tree: it is no schema at all. Rules of content are for [`super::check`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct SchemaError {
    /// Where, from the root of the schema.
    pub path: String,
    /// What is wrong.
    pub problem: String,
}

impl Schema {
    /// Parses an `openAPIV3Schema`. Fields that mean nothing to validation (titles, examples) are left out.
    ///
    /// # Errors
    /// When a part that must be an object is something else, a type is unknown, a pattern does not compile, or the
    /// nesting is deeper than [`MAX_DEPTH`].
    pub fn parse(schema: &Value) -> Result<Schema, SchemaError> {
        Parser { path: Vec::new() }.schema(schema)
    }
}

struct Parser {
    path: Vec<String>,
}

impl Parser {
    fn error(&self, problem: impl Into<String>) -> SchemaError {
        let path = if self.path.is_empty() { "openAPIV3Schema".to_owned() } else { self.path.join(".") };
        SchemaError { path, problem: problem.into() }
    }

    fn below(&mut self, step: String, value: &Value) -> Result<Schema, SchemaError> {
        self.path.push(step);
        let parsed = self.schema(value)?;
        self.path.pop();
        Ok(parsed)
    }

    fn schema(&mut self, value: &Value) -> Result<Schema, SchemaError> {
        if !value.is_object() {
            return Err(self.error("a schema must be an object"));
        }
        if self.path.len() > MAX_DEPTH {
            return Err(self.error(format!("schemas are nested more than {MAX_DEPTH} deep")));
        }
        Ok(Schema {
            kind: self.kind(text(value, "type"))?,
            format: text(value, "format").to_owned(),
            nullable: flag(value, "nullable"),
            default: value.get("default").filter(|v| !v.is_null()).cloned(),
            preserve_unknown: flag(value, "x-kubernetes-preserve-unknown-fields"),
            embedded: flag(value, "x-kubernetes-embedded-resource"),
            int_or_string: flag(value, "x-kubernetes-int-or-string"),
            list_type: list_type(value),
            list_map_keys: owned(value, "x-kubernetes-list-map-keys"),
            atomic_map: text(value, "x-kubernetes-map-type") == "atomic",
            rules: list(value, "x-kubernetes-validations").iter().map(rule).collect(),
            items: self.optional(value, "items")?,
            properties: self.properties(value)?,
            additional: self.additional(value)?,
            required: owned(value, "required"),
            allowed: list(value, "enum").to_vec(),
            pattern: self.pattern(text(value, "pattern"))?,
            number: number(value),
            length: bounds(value, "minLength", "maxLength"),
            item_count: bounds(value, "minItems", "maxItems"),
            property_count: bounds(value, "minProperties", "maxProperties"),
            unique_items: flag(value, "uniqueItems"),
            all_of: self.many(value, "allOf")?,
            any_of: self.many(value, "anyOf")?,
            one_of: self.many(value, "oneOf")?,
            not: self.optional(value, "not")?,
        })
    }

    fn kind(&self, word: &str) -> Result<Option<SchemaType>, SchemaError> {
        match word {
            "" => Ok(None),
            word => SchemaType::from_word(word).map(Some).ok_or_else(|| self.error(format!("unknown type {word:?}"))),
        }
    }

    fn pattern(&self, source: &str) -> Result<Option<Pattern>, SchemaError> {
        match source {
            "" => Ok(None),
            source => Pattern::compile(source).map(Some).map_err(|e| self.error(e.to_string())),
        }
    }

    fn optional(&mut self, value: &Value, field: &str) -> Result<Option<Box<Schema>>, SchemaError> {
        match has(value, field) {
            true => self.below(field.to_owned(), get(value, field)).map(|schema| Some(Box::new(schema))),
            false => Ok(None),
        }
    }

    fn many(&mut self, value: &Value, field: &str) -> Result<Vec<Schema>, SchemaError> {
        let items = list(value, field).iter().enumerate();
        items.map(|(i, inner)| self.below(format!("{field}[{i}]"), inner)).collect()
    }

    fn properties(&mut self, value: &Value) -> Result<BTreeMap<String, Schema>, SchemaError> {
        let fields = get(value, "properties").as_object().into_iter().flatten();
        fields.map(|(name, inner)| Ok((name.clone(), self.below(format!("properties[{name}]"), inner)?))).collect()
    }

    fn additional(&mut self, value: &Value) -> Result<Option<Additional>, SchemaError> {
        Ok(match get(value, "additionalProperties") {
            Value::Null => None,
            Value::Bool(any) => Some(Additional::Any(*any)),
            inner => Some(Additional::Schema(Box::new(self.below("additionalProperties".to_owned(), inner)?))),
        })
    }
}

fn list_type(value: &Value) -> ListType {
    match text(value, "x-kubernetes-list-type") {
        "set" => ListType::Set,
        "map" => ListType::Map,
        _ => ListType::Atomic,
    }
}

fn owned(value: &Value, field: &str) -> Vec<String> {
    texts(value, field).into_iter().map(str::to_owned).collect()
}

fn bounds(value: &Value, min: &str, max: &str) -> Bounds {
    Bounds { min: get(value, min).as_u64(), max: get(value, max).as_u64() }
}

fn number(value: &Value) -> NumberBounds {
    NumberBounds {
        min: get(value, "minimum").as_f64(),
        max: get(value, "maximum").as_f64(),
        exclusive_min: flag(value, "exclusiveMinimum"),
        exclusive_max: flag(value, "exclusiveMaximum"),
        multiple_of: get(value, "multipleOf").as_f64(),
    }
}

fn rule(value: &Value) -> Rule {
    let reason = text(value, "reason");
    Rule {
        rule: text(value, "rule").to_owned(),
        message: text(value, "message").to_owned(),
        message_expression: text(value, "messageExpression").to_owned(),
        reason: (!reason.is_empty()).then(|| reason.to_owned()),
        field_path: text(value, "fieldPath").to_owned(),
        optional_old_self: flag(value, "optionalOldSelf"),
    }
}
