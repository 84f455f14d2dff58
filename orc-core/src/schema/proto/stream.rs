//! JSON text to protobuf in one pass, without a tree in between.
//!
//! Lists and watches turn stored bodies over by the thousand: a tree of each would cost more than everything else. Parts of a
//! body whose JSON and protobuf are of another shape (inlined parts, unions) go through a small tree of their own.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::LazyLock;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::table::{Cardinality, Field, MessageRef, Schema, Shape, Type};
use super::wire::{put_bytes, put_fixed64, put_tag, put_varint, varint};
use super::write::{self, message_body};
use super::{MAX_DEPTH, ProtoError};

/// Writes a JSON text as a message, as [`from_json`](super::from_json) writes its tree; fields come in the text's order.
///
/// # Errors
/// [`ProtoError::Text`] when the text is not JSON, or a value of it is not of its field's type.
pub fn from_text(json: &[u8], message: MessageRef) -> Result<Vec<u8>, ProtoError> {
    let mut out = Vec::with_capacity(json.len() / 2);
    let mut reader = serde_json::Deserializer::from_slice(json);
    let written = Body { out: &mut out, message, depth: 0 }.deserialize(&mut reader);
    written.and_then(|()| reader.end()).map_err(|error| ProtoError::Text(error.to_string()))?;
    Ok(out)
}

/// Messages with a part that is inlined in JSON, by address.
static INLINING: LazyLock<HashSet<usize>> = LazyLock::new(|| {
    let messages = Schema::builtin().messages();
    messages.filter(|message| message.wire.iter().any(Field::is_inline)).map(|m| std::ptr::from_ref(m).addr()).collect()
});

/// The content of a message.
struct Body<'o> {
    out: &'o mut Vec<u8>,
    message: MessageRef,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Body<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        if self.depth > MAX_DEPTH {
            return Err(D::Error::custom(ProtoError::TooDeep));
        }
        match self.message.shape {
            Shape::Object if !INLINING.contains(&std::ptr::from_ref(self.message).addr()) => from.deserialize_map(self),
            Shape::Json => {
                let raw = <&RawValue>::deserialize(from)?;
                put_bytes(self.out, 1, raw.get().as_bytes());
                Ok(())
            }
            _ => {
                let value = Value::deserialize(from)?;
                message_body(self.out, &value, self.message, "", self.depth).map_err(D::Error::custom)
            }
        }
    }
}

impl<'de> Visitor<'de> for Body<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object ({})", self.message.short_name())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            match self.message.field(&name).filter(|field| field.number != 0) {
                Some(field) => map.next_value_seed(Member { out: self.out, field, depth: self.depth })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// All values of a field.
struct Member<'o> {
    out: &'o mut Vec<u8>,
    field: &'static Field,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        match self.field.cardinality {
            // A field that is null is absent; `Option` sees that before the value's own seed is asked.
            Cardinality::One => from.deserialize_option(self),
            Cardinality::List | Cardinality::Map => from.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the value of {}", self.field.json)
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        One { out: self.out, field: self.field, number: self.field.number, depth: self.depth }.deserialize(from)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if self.field.cardinality != Cardinality::List {
            return Err(A::Error::custom(wrong(self.field, "array")));
        }
        let (field, number, depth) = (self.field, self.field.number, self.depth);
        while items.next_element_seed(One { out: &mut *self.out, field, number, depth })?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        if self.field.cardinality != Cardinality::Map {
            return Err(A::Error::custom(wrong(self.field, "object")));
        }
        while let Some(key) = entries.next_key::<Cow<'de, str>>()? {
            let start = open(self.out, self.field.number);
            put_bytes(self.out, 1, key.as_bytes());
            entries.next_value_seed(One { out: &mut *self.out, field: self.field, number: 2, depth: self.depth })?;
            close(self.out, start);
        }
        Ok(())
    }
}

fn wrong(field: &Field, found: &'static str) -> ProtoError {
    ProtoError::WrongType { field: field.json.to_owned(), found }
}

/// One value of a field.
struct One<'o> {
    out: &'o mut Vec<u8>,
    field: &'static Field,
    number: u32,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        let Some(message) = self.field.message() else { return from.deserialize_any(self) };
        let start = open(self.out, self.number);
        Body { out: &mut *self.out, message, depth: self.depth + 1 }.deserialize(from)?;
        close(self.out, start);
        Ok(())
    }
}

impl One<'_> {
    fn integer<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        match self.field.kind {
            Type::Int32 if i32::try_from(value).is_err() => Err(E::custom(wrong(self.field, "number"))),
            Type::Int32 | Type::Int64 => {
                put_varint(self.out, self.number, value.cast_unsigned());
                Ok(())
            }
            _ => self.visit_f64(value as f64),
        }
    }
}

impl<'de> Visitor<'de> for One<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of {}", self.field.json)
    }
    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        if self.field.kind != Type::Bool {
            return Err(E::custom(wrong(self.field, "bool")));
        }
        put_varint(self.out, self.number, value.into());
        Ok(())
    }
    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.integer(value)
    }
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.integer(value),
            Err(_) => self.visit_f64(value as f64),
        }
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        if self.field.kind != Type::Double {
            return Err(E::custom(wrong(self.field, "number")));
        }
        put_fixed64(self.out, self.number, value.to_bits());
        Ok(())
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        match self.field.kind {
            Type::String => put_bytes(self.out, self.number, text.as_bytes()),
            Type::Bytes => {
                let bytes = write::decoded(text).ok_or_else(|| E::custom(wrong(self.field, "string")))?;
                put_bytes(self.out, self.number, &bytes);
            }
            _ => return Err(E::custom(wrong(self.field, "string"))),
        }
        Ok(())
    }
}

/// Bytes kept free for a message's length: enough for messages of 128 bytes to 16 KB.
const LENGTH: usize = 2;

/// Begins a message of unknown length; returns where its content starts.
fn open(out: &mut Vec<u8>, number: u32) -> usize {
    put_tag(out, number);
    out.extend_from_slice(&[0; LENGTH]);
    out.len()
}

/// Ends a message: its length goes before its content, which moves where the length takes more or less than was kept free.
fn close(out: &mut Vec<u8>, start: usize) {
    let (mut digits, length) = ([0_u8; 10], out.len() - start);
    let used = varint(&mut digits, length as u64);
    out.splice(start - LENGTH..start, digits[..used].iter().copied());
}
