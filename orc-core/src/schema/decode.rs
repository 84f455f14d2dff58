//! Strict decoding: a body against its message, as Kubernetes' JSON decoder does it.
//!
//! Runs over the bytes (or any serde source), not over a tree, because unknown fields are reported in document order and
//! duplicates are gone from a tree. Unknown fields are dropped; a value of the wrong type is an error, the first one wins.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::scalar;
use super::table::{Cardinality, Field, MessageRef, Schema, Shape, Type};
use crate::quantity::Quantity;

/// How many strict errors are kept, as upstream does.
const MAX_STRICT: usize = 100;
/// How many bytes of paths are written for them: keys may be as long as a body, and the same error may come again and again.
const MAX_STRICT_BYTES: usize = 1 << 20;

/// A field that a strict decoder refuses and a lenient one drops. Its `Display` is Kubernetes' text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrictError {
    /// The message has no such field; the value was dropped.
    #[error("unknown field {0:?}")]
    Unknown(String),
    /// The field was given twice; the last value won.
    #[error("duplicate field {0:?}")]
    Duplicate(String),
}

/// Why a body cannot be decoded. Its `Display` is Kubernetes' text, without the sentence around it.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The text ended too early.
    #[error("unexpected end of JSON input")]
    Truncated,
    /// The text is not JSON.
    #[error("{0}")]
    Syntax(String),
    /// A value has the wrong type or cannot be read as what its field is.
    #[error("{0}")]
    Type(String),
}

/// A decoded body.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The object, without unknown fields; times and quantities in their canonical form.
    pub value: Value,
    /// What a strict decoder would have refused, in document order.
    pub strict: Vec<StrictError>,
}

impl Decoded {
    /// The text for `fieldValidation=Strict`: `strict decoding error: unknown field "a", duplicate field "b"`.
    pub fn strict_error(&self) -> Option<String> {
        let all: Vec<_> = self.strict.iter().map(ToString::to_string).collect();
        (!all.is_empty()).then(|| format!("strict decoding error: {}", all.join(", ")))
    }
}

/// Decodes JSON bytes. Without a message (custom resources) only `metadata` is typed, the rest is taken as it is.
///
/// # Errors
/// When the bytes are not JSON or a value has the wrong type.
pub fn decode_json(bytes: &[u8], message: Option<MessageRef>) -> Result<Decoded, DecodeError> {
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let decoded = decode(&mut source, message)?;
    source.end().map_err(|e| DecodeError::from_json(&e))?;
    Ok(decoded)
}

/// Decodes a tree, such as the result of a patch.
///
/// # Errors
/// When a value has the wrong type.
pub fn check(value: &Value, message: Option<MessageRef>) -> Result<Decoded, DecodeError> {
    decode(value, message)
}

/// Decodes from any self-describing source whose error is serde_json's.
///
/// # Errors
/// See [`decode_json`].
pub fn decode<'de, D>(source: D, message: Option<MessageRef>) -> Result<Decoded, DecodeError>
where
    D: Deserializer<'de, Error = serde_json::Error>,
{
    let mut cx = Context::default();
    let expect = message.map_or(Expect::CustomObject, Expect::Message);
    let value = Node { cx: &mut cx, expect }.deserialize(source).map_err(|e| DecodeError::from_json(&e))?;
    match cx.wrong {
        Some(text) => Err(DecodeError::Type(text)),
        None => Ok(Decoded { value, strict: cx.strict }),
    }
}

/// Drops the fields that the message does not have. Values are left as they are.
pub fn prune(value: &mut Value, message: MessageRef) {
    let Value::Object(map) = value else { return };
    if message.shape != Shape::Object {
        return;
    }
    map.retain(|key, value| {
        let Some(field) = message.field(key) else {
            return false;
        };
        if let Some(inner) = field.message() {
            match (field.cardinality, value) {
                (Cardinality::One, value) => prune(value, inner),
                (Cardinality::List, Value::Array(items)) => items.iter_mut().for_each(|v| prune(v, inner)),
                (Cardinality::Map, Value::Object(items)) => items.values_mut().for_each(|v| prune(v, inner)),
                _ => {}
            }
        }
        true
    });
}

impl DecodeError {
    fn from_json(error: &serde_json::Error) -> Self {
        if error.is_eof() { Self::Truncated } else { Self::Syntax(error.to_string()) }
    }
}

/// What a place in the document must hold.
#[derive(Clone, Copy)]
enum Expect {
    Field(&'static Field),
    Element(Type),
    Message(MessageRef),
    CustomObject,
    /// Anything; duplicates are reported.
    Any,
    /// Anything; nothing is reported (raw JSON inside a typed object).
    Raw,
}

impl Expect {
    /// The same place with what it says made plain: a message, a scalar, a list or a map.
    fn plain(self) -> Plain {
        match self {
            Self::Field(f) => match f.cardinality {
                Cardinality::List => Plain::List(Self::Element(f.kind)),
                Cardinality::Map => Plain::Map(Self::Element(f.kind)),
                Cardinality::One => Self::Element(f.kind).plain(),
            },
            Self::Element(Type::Message(at)) => Plain::of(&Schema::builtin().messages[usize::from(at)]),
            Self::Element(scalar) => Plain::Scalar(scalar),
            Self::Message(message) => Plain::of(message),
            Self::CustomObject => Plain::Custom,
            Self::Any => Plain::Any(Self::Any),
            Self::Raw => Plain::Any(Self::Raw),
        }
    }
}

enum Plain {
    Object(MessageRef),
    Custom,
    List(Expect),
    Map(Expect),
    Scalar(Type),
    Shaped(MessageRef),
    Any(Expect),
}

impl Plain {
    fn of(message: MessageRef) -> Self {
        match message.shape {
            Shape::Object => Self::Object(message),
            Shape::Json => Self::Any(Expect::Raw),
            Shape::Strings => Self::List(Expect::Element(Type::String)),
            _ => Self::Shaped(message),
        }
    }
}

#[derive(Default)]
struct Context {
    path: Vec<Step>,
    strict: Vec<StrictError>,
    strict_bytes: usize,
    wrong: Option<String>,
}

enum Step {
    Field(&'static str, MessageRef),
    Key(String),
    Index(usize),
}

impl Context {
    /// The path with indices and keys, as strict errors have it: `spec.containers[0].foo`.
    fn strict_path(&self, last: &str) -> String {
        let mut out = String::new();
        for step in &self.path {
            match step {
                Step::Field(name, _) => push_name(&mut out, name),
                Step::Key(name) => push_name(&mut out, name),
                Step::Index(at) => out.push_str(&format!("[{at}]")),
            }
        }
        push_name(&mut out, last);
        out
    }

    fn report(&mut self, kind: fn(String) -> StrictError, last: &str) {
        if self.strict.len() >= MAX_STRICT || self.strict_bytes >= MAX_STRICT_BYTES {
            return;
        }
        let path = self.strict_path(last);
        self.strict_bytes += path.len();
        let error = kind(path);
        if !self.strict.contains(&error) {
            self.strict.push(error);
        }
    }

    /// Notes a value of the wrong type in Go's words.
    fn wrong_type(&mut self, found: &str, wanted: &str) {
        let (mut names, mut owner) = (String::new(), None);
        for step in &self.path {
            if let Step::Field(name, message) = step {
                push_name(&mut names, name);
                owner = Some(message.short_name());
            }
        }
        self.fail(match owner {
            Some(owner) => {
                format!("json: cannot unmarshal {found} into Go struct field {owner}.{names} of type {wanted}")
            }
            None => format!("json: cannot unmarshal {found} into Go value of type {wanted}"),
        });
    }

    fn fail(&mut self, text: String) {
        self.wrong.get_or_insert(text);
    }
}

fn push_name(out: &mut String, name: &str) {
    if !out.is_empty() {
        out.push('.');
    }
    out.push_str(name);
}

struct Node<'a> {
    cx: &'a mut Context,
    expect: Expect,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl Node<'_> {
    fn scalar(self, value: Value) -> Value {
        match self.expect.plain() {
            Plain::Any(_) => value,
            Plain::Scalar(kind) => match scalar::check(kind, &value) {
                scalar::Verdict::Fits => scalar::kept(kind, value),
                scalar::Verdict::WrongType { found } => self.wrong(&found),
                scalar::Verdict::Unreadable(text) => self.unreadable(text),
            },
            Plain::Shaped(message) => match scalar::shaped(message.shape, value) {
                Ok(value) => value,
                Err(scalar::Verdict::Unreadable(text)) => self.unreadable(text),
                Err(scalar::Verdict::WrongType { found }) => self.wrong(&found),
                Err(scalar::Verdict::Fits) => Value::Null,
            },
            _ => {
                let found = scalar::json_type(&value);
                self.wrong(found)
            }
        }
    }

    /// Whether a map is one of the core group's lists of resources, whose amounts are defaulted to whole thousandths.
    fn is_resource_list(&self, element: Expect) -> bool {
        let quantities = matches!(element.plain(), Plain::Shaped(message) if message.shape == Shape::Quantity);
        let core = |step: &Step| matches!(step, Step::Field(_, of) if of.name.starts_with("k8s.io.api.core.v1."));
        quantities && self.cx.path.last().is_some_and(core)
    }

    fn unreadable(self, text: String) -> Value {
        self.cx.fail(text);
        Value::Null
    }

    fn wrong(self, found: &str) -> Value {
        let wanted = go_type(self.expect);
        self.cx.wrong_type(found, &wanted);
        Value::Null
    }

    fn child<'b>(cx: &'b mut Context, expect: Expect) -> Node<'b> {
        Node { cx, expect }
    }

    fn members<'de, A: MapAccess<'de>>(self, mut access: A, of: &Members) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let (expect, step) = match of {
                Members::Message(message) => match message.field(&key) {
                    Some(field) => (Expect::Field(field), Step::Field(field.json, message)),
                    None => {
                        access.next_value::<IgnoredAny>()?;
                        self.cx.report(StrictError::Unknown, &key);
                        continue;
                    }
                },
                Members::Custom if key == "metadata" => {
                    (Expect::Message(Schema::builtin().object_meta()), Step::Key(key.clone()))
                }
                Members::Custom => (Expect::Any, Step::Key(key.clone())),
                Members::Each(expect) => (*expect, Step::Key(key.clone())),
            };
            if map.contains_key(&key) && !matches!(expect, Expect::Raw) {
                self.cx.report(StrictError::Duplicate, &key);
            }
            self.cx.path.push(step);
            let value = access.next_value_seed(Self::child(self.cx, expect))?;
            self.cx.path.pop();
            // A second object under the same key is decoded into the first, as Go does.
            match (map.get_mut(&key), value) {
                (Some(Value::Object(first)), Value::Object(second)) if matches!(expect, Expect::Field(_)) => {
                    first.extend(second);
                }
                (_, value) => drop(map.insert(key, value)),
            }
        }
        Ok(Value::Object(map))
    }
}

/// A list of resources with its amounts rounded up to thousandths (`SetDefaults_ResourceList`).
fn rounded(mut list: Value) -> Value {
    for amount in list.as_object_mut().into_iter().flat_map(Map::values_mut) {
        let quantity = amount.as_str().and_then(|text| Quantity::parse(text).ok());
        if let Some(rounded) = quantity.and_then(|quantity| quantity.rounded_to_milli()) {
            *amount = rounded.to_string().into();
        }
    }
    list
}

enum Members {
    Message(MessageRef),
    Custom,
    Each(Expect),
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        match self.expect.plain() {
            Plain::Object(message) => self.members(access, &Members::Message(message)),
            Plain::Custom => self.members(access, &Members::Custom),
            Plain::Map(expect) if self.is_resource_list(expect) => {
                self.members(access, &Members::Each(expect)).map(rounded)
            }
            Plain::Map(expect) | Plain::Any(expect) => self.members(access, &Members::Each(expect)),
            Plain::Shaped(m) if is_schema_union(m.shape) => self.members(access, &Members::Message(schema_props())),
            Plain::List(_) | Plain::Scalar(_) | Plain::Shaped(_) => {
                while access.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(self.wrong("object"))
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let element = match self.expect.plain() {
            Plain::List(expect) | Plain::Any(expect) => expect,
            Plain::Shaped(m) if m.shape == Shape::SchemaOrArray => Expect::Message(schema_props()),
            Plain::Shaped(m) if m.shape == Shape::SchemaOrStrings => Expect::Element(Type::String),
            _ => {
                while access.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(self.wrong("array"));
            }
        };
        let mut items = Vec::new();
        loop {
            self.cx.path.push(Step::Index(items.len()));
            let item = access.next_element_seed(Self::child(self.cx, element))?;
            self.cx.path.pop();
            match item {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        self.deserialize(source)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(self.scalar(v.into()))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(self.scalar(v.into()))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(self.scalar(v.into()))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(self.scalar(v.into()))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(self.scalar(v.into()))
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(self.scalar(v.into()))
    }
}

fn is_schema_union(shape: Shape) -> bool {
    matches!(shape, Shape::SchemaOrArray | Shape::SchemaOrBool | Shape::SchemaOrStrings)
}

fn schema_props() -> MessageRef {
    let name = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
    Schema::builtin().message(name).expect("the table has JSONSchemaProps")
}

/// The Go type of a place, for messages.
fn go_type(expect: Expect) -> String {
    let element = |kind| match kind {
        Type::Bool => "bool",
        Type::Int32 => "int32",
        Type::Int64 => "int64",
        Type::Double => "float64",
        Type::String => "string",
        Type::Bytes => "[]uint8",
        Type::Message(at) => Schema::builtin().messages[usize::from(at)].go_name(),
    };
    match expect {
        Expect::Field(f) => match f.cardinality {
            Cardinality::One => element(f.kind).to_owned(),
            Cardinality::List => format!("[]{}", element(f.kind)),
            Cardinality::Map => format!("map[string]{}", element(f.kind)),
        },
        Expect::Element(kind) => element(kind).to_owned(),
        Expect::Message(message) => message.go_name().to_owned(),
        Expect::CustomObject | Expect::Any | Expect::Raw => "map[string]interface {}".to_owned(),
    }
}
