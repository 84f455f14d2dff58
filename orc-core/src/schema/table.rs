//! The table itself: messages, their fields, and how to find them.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::parse;

/// A message of the built-in table; lives as long as the process.
pub type MessageRef = &'static Message;

/// All messages of the served API level.
#[derive(Debug)]
pub struct Schema {
    pub(super) messages: Vec<Message>,
    pub(super) by_name: HashMap<&'static str, usize>,
    pub(super) by_kind: HashMap<(&'static str, &'static str, &'static str), usize>,
}

/// One message: an object of the API, or one of the values whose JSON is not an object of fields.
#[derive(Debug)]
pub struct Message {
    /// The name in protobuf, such as `k8s.io.api.core.v1.Container`.
    pub name: &'static str,
    /// How its JSON looks.
    pub shape: Shape,
    /// Server-side apply owns it as one value.
    pub atomic: bool,
    /// It has `kind` and `apiVersion` (listed among the fields with number 0).
    pub is_kind: bool,
    /// The fields as protobuf has them: a part that is inlined in JSON is one field here.
    pub wire: Vec<Field>,
    /// The fields as JSON has them, inlined parts resolved, in declared order.
    pub fields: Vec<Field>,
    /// Positions in `fields`, sorted by the length of the JSON name, then by the name.
    pub(super) by_json: Vec<u16>,
    /// Positions in `fields` of those that are always written.
    pub(super) always: Vec<u16>,
}

/// What the JSON of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An object of the message's fields.
    Object,
    /// A decimal number with a suffix, written as a string and read from a string or a number.
    Quantity,
    /// A number or a string.
    IntOrString,
    /// RFC 3339 in whole seconds; null when zero.
    Time,
    /// RFC 3339 with six fractional digits; null when zero.
    MicroTime,
    /// A Go duration such as `1m30s`.
    Duration,
    /// Any JSON, held as bytes in protobuf.
    Json,
    /// A list of strings.
    Strings,
    /// A schema or a list of schemas (`items` of a definition's schema).
    SchemaOrArray,
    /// A schema or a boolean.
    SchemaOrBool,
    /// A schema or a list of strings.
    SchemaOrStrings,
}

/// The type of one value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A boolean.
    Bool,
    /// A 32-bit integer.
    Int32,
    /// A 64-bit integer.
    Int64,
    /// A floating point number.
    Double,
    /// A string.
    String,
    /// Bytes, base64 in JSON.
    Bytes,
    /// A message, by its position in the table.
    Message(u16),
}

/// How many values a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// One value.
    One,
    /// A list.
    List,
    /// A map from strings.
    Map,
}

/// When a field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Always; a missing one as the zero of its type (lists and maps as null).
    Always,
    /// Always; a missing one as null.
    AlwaysNullable,
    /// When it is not zero or empty.
    NonZero,
    /// When it was given, even as zero.
    Given,
}

/// How server-side apply merges a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListType {
    /// As one value.
    Atomic,
    /// By equal elements.
    Set,
    /// By these keys of its elements.
    Map(Vec<&'static str>),
}

/// How server-side apply merges a map or an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapType {
    /// As one value.
    Atomic,
    /// Key by key.
    Granular,
}

/// What strategic merge does with a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    /// Lists are merged, not replaced.
    pub merge: bool,
    /// Objects are replaced, not merged.
    pub replace: bool,
    /// `$retainKeys` is honoured, to clear the other members of a union.
    pub retain_keys: bool,
    /// The key that elements of a merged list of objects are matched by.
    pub merge_key: Option<&'static str>,
}

/// One field of a message.
#[derive(Clone, Debug)]
pub struct Field {
    /// The name in JSON; empty for an inlined part (only in [`Message::wire`]).
    pub json: &'static str,
    /// The number in protobuf; 0 for `kind` and `apiVersion`, which protobuf does not carry.
    pub number: u32,
    /// The type of one value.
    pub kind: Type,
    /// One value, a list or a map.
    pub cardinality: Cardinality,
    /// When it is written.
    pub presence: Presence,
    /// How apply merges it, when it is a list.
    pub list_type: Option<ListType>,
    /// How apply merges it, when it is a map or an object.
    pub map_type: Option<MapType>,
    /// What strategic merge does with it.
    pub patch: PatchStrategy,
}

impl Field {
    /// The message that the field's values are, if they are messages.
    pub fn message(&self) -> Option<MessageRef> {
        match self.kind {
            Type::Message(at) => Some(&Schema::builtin().messages[usize::from(at)]),
            _ => None,
        }
    }

    /// The field is a part whose fields stand in the parent's JSON object.
    pub fn is_inline(&self) -> bool {
        self.json.is_empty()
    }
}

/// The order of names in which most comparisons are of two numbers.
pub(super) fn by_length(name: &str) -> (usize, &str) {
    (name.len(), name)
}

impl Message {
    /// The field of a JSON name.
    pub fn field(&self, json: &str) -> Option<&Field> {
        let at = self
            .by_json
            .binary_search_by_key(&by_length(json), |&at| by_length(self.fields[usize::from(at)].json))
            .ok()?;
        Some(&self.fields[usize::from(self.by_json[at])])
    }

    /// The fields that are always written, in declared order.
    pub fn always(&self) -> impl Iterator<Item = &Field> {
        self.always.iter().map(|&at| &self.fields[usize::from(at)])
    }

    /// The last part of the name: `Container`.
    pub fn short_name(&self) -> &'static str {
        self.name.rsplit_once('.').map_or(self.name, |(_, short)| short)
    }

    /// The name as Go prints it: `v1.Container`.
    pub fn go_name(&self) -> &'static str {
        let stem = self.name.rsplit_once('.').map_or("", |(package, _)| package);
        stem.rfind('.').map_or(self.name, |dot| &self.name[dot + 1..])
    }

    /// The name in the OpenAPI documents: `io.k8s.api.core.v1.Container`.
    pub fn openapi_name(&self) -> String {
        let tail = self.name.strip_prefix("k8s.io.").unwrap_or(self.name);
        let tail = tail.replacen("apiextensions_apiserver", "apiextensions-apiserver", 1).replacen(
            "kube_aggregator",
            "kube-aggregator",
            1,
        );
        format!("io.k8s.{tail}")
    }
}

impl Schema {
    /// The table of the served level, decoded at first use.
    pub fn builtin() -> &'static Self {
        static BUILTIN: LazyLock<Schema> = LazyLock::new(|| parse::parse(include_str!("../../data/schema.txt")));
        &BUILTIN
    }

    /// The message of a kind. Options, `Status` and the like are kinds of every group.
    pub fn message_of(&self, group: &str, version: &str, kind: &str) -> Option<MessageRef> {
        let builtin = Self::builtin();
        let at =
            self.by_kind.get(&(group, version, kind)).or_else(|| self.by_kind.get(&("meta.k8s.io", "v1", kind)))?;
        builtin.messages.get(*at)
    }

    /// The message of an `apiVersion` and kind.
    pub fn message_of_type(&self, api_version: &str, kind: &str) -> Option<MessageRef> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        self.message_of(group, version, kind)
    }

    /// The message of a full protobuf name, such as `k8s.io.apimachinery.pkg.apis.meta.v1.ObjectMeta`.
    pub fn message(&self, name: &str) -> Option<MessageRef> {
        self.by_name.get(name).and_then(|&at| Self::builtin().messages.get(at))
    }

    /// `ObjectMeta`, which every object has, custom ones too.
    pub fn object_meta(&self) -> MessageRef {
        self.message("k8s.io.apimachinery.pkg.apis.meta.v1.ObjectMeta").expect("the table has ObjectMeta")
    }

    /// All messages, by package and name.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter()
    }
}
