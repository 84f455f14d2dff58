//! The compact tree that a schema is parsed into.

use crate::cel::pattern::Pattern;
use serde_json::Value;
use std::collections::BTreeMap;

/// `type` of a schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SchemaType {
    /// `object`
    Object,
    /// `array`
    Array,
    /// `string`
    String,
    /// `integer`
    Integer,
    /// `number`
    Number,
    /// `boolean`
    Boolean,
}

impl SchemaType {
    /// The word in a schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }

    /// The type of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Object, Self::Array, Self::String, Self::Integer, Self::Number, Self::Boolean]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

/// `x-kubernetes-list-type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ListType {
    /// One value that is replaced as a whole; the default.
    #[default]
    Atomic,
    /// Items are unique scalars.
    Set,
    /// Items are objects, unique by their key fields.
    Map,
}

/// `additionalProperties`.
#[derive(Clone, PartialEq, Debug)]
pub enum Additional {
    /// Any value (`true`) or none but those listed (`false`).
    Any(bool),
    /// Values of this schema.
    Schema(Box<Schema>),
}

/// One entry of `x-kubernetes-validations`. Texts are empty when absent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rule {
    /// The CEL expression.
    pub rule: String,
    /// What is said when it does not hold.
    pub message: String,
    /// A CEL expression that makes the message.
    pub message_expression: String,
    /// `FieldValueInvalid`, `FieldValueForbidden`, `FieldValueRequired` or `FieldValueDuplicate`.
    pub reason: Option<String>,
    /// The field that is blamed, as a path from the rule's place such as `.spec.n`.
    pub field_path: String,
    /// Whether `oldSelf` is an optional value, so that the rule also runs on create.
    pub optional_old_self: bool,
}

/// A part of a schema. Parts of `allOf`, `anyOf`, `oneOf` and `not` are of the same form.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Schema {
    /// `type`
    pub kind: Option<SchemaType>,
    /// `format`; empty when absent
    pub format: String,
    /// Whether null is a value of its own here.
    pub nullable: bool,
    /// `default`; never null
    pub default: Option<Value>,
    /// `x-kubernetes-preserve-unknown-fields`
    pub preserve_unknown: bool,
    /// `x-kubernetes-embedded-resource`
    pub embedded: bool,
    /// `x-kubernetes-int-or-string`
    pub int_or_string: bool,
    /// `x-kubernetes-list-type`
    pub list_type: ListType,
    /// `x-kubernetes-list-map-keys`
    pub list_map_keys: Vec<String>,
    /// `x-kubernetes-map-type: atomic`
    pub atomic_map: bool,
    /// `x-kubernetes-validations`
    pub rules: Vec<Rule>,
    /// `items`
    pub items: Option<Box<Schema>>,
    /// `properties`
    pub properties: BTreeMap<String, Schema>,
    /// `additionalProperties`
    pub additional: Option<Additional>,
    /// `required`
    pub required: Vec<String>,
    /// `enum`
    pub allowed: Vec<Value>,
    /// `pattern`
    pub pattern: Option<Pattern>,
    /// `minimum`, `maximum` and `multipleOf`
    pub number: NumberBounds,
    /// `minLength` and `maxLength`, in characters
    pub length: Bounds,
    /// `minItems` and `maxItems`
    pub item_count: Bounds,
    /// `minProperties` and `maxProperties`
    pub property_count: Bounds,
    /// `uniqueItems`
    pub unique_items: bool,
    /// `allOf`
    pub all_of: Vec<Schema>,
    /// `anyOf`
    pub any_of: Vec<Schema>,
    /// `oneOf`
    pub one_of: Vec<Schema>,
    /// `not`
    pub not: Option<Box<Schema>>,
}

/// Least and most, both inclusive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bounds {
    /// The least.
    pub min: Option<u64>,
    /// The most.
    pub max: Option<u64>,
}

/// Rules about a number.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct NumberBounds {
    /// `minimum`
    pub min: Option<f64>,
    /// `maximum`
    pub max: Option<f64>,
    /// `exclusiveMinimum`
    pub exclusive_min: bool,
    /// `exclusiveMaximum`
    pub exclusive_max: bool,
    /// `multipleOf`
    pub multiple_of: Option<f64>,
}

impl Schema {
    /// The schema of the values of a map, if it is one.
    pub fn value_schema(&self) -> Option<&Schema> {
        match &self.additional {
            Some(Additional::Schema(schema)) => Some(schema),
            _ => None,
        }
    }

    /// The schema of a field or map entry.
    pub fn child(&self, key: &str) -> Option<&Schema> {
        self.properties.get(key).or_else(|| self.value_schema())
    }

    /// Whether fields that are not described stay.
    pub fn keeps_unknown(&self) -> bool {
        self.preserve_unknown || matches!(self.additional, Some(Additional::Any(true)))
    }

    /// Whether there is a CEL rule here or below.
    pub fn has_rules(&self) -> bool {
        !self.rules.is_empty()
            || self.items.as_ref().is_some_and(|items| items.has_rules())
            || self.properties.values().any(Schema::has_rules)
            || self.value_schema().is_some_and(Schema::has_rules)
    }
}
