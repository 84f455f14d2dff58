//! Protobuf to JSON.

use serde_json::{Map, Value};

use super::super::table::{Cardinality, Field, MessageRef, Presence, Schema, Shape, Type};
use super::super::{base64, time};
use super::wire::{Reader, Wire};
use super::{MAX_DEPTH, MAX_VALUES, ProtoError, duration};

/// Reads a message into a tree. Zero values of fields that are left out when zero are left out; fields that are always
/// written are present only if they were on the wire (see [`super::super::canonical`]).
///
/// # Errors
/// When the bytes are not the message, or exceed a bound.
pub fn to_json(bytes: &[u8], message: MessageRef) -> Result<Value, ProtoError> {
    Decoder { left: MAX_VALUES }.message(bytes, message, 0)
}

struct Decoder {
    left: usize,
}

impl Decoder {
    fn message(&mut self, bytes: &[u8], message: MessageRef, depth: usize) -> Result<Value, ProtoError> {
        if depth > MAX_DEPTH {
            return Err(ProtoError::TooDeep);
        }
        match message.shape {
            Shape::Object => {
                let mut map = Map::new();
                self.members(bytes, message, &mut map, depth)?;
                Ok(Value::Object(map))
            }
            shape => self.shaped(bytes, shape, message, depth),
        }
    }

    fn members(
        &mut self,
        bytes: &[u8],
        message: MessageRef,
        map: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), ProtoError> {
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.next()? {
            let Some(field) = message.wire.iter().find(|f| f.number == number) else {
                continue;
            };
            self.left = self.left.checked_sub(1).ok_or(ProtoError::TooLarge)?;
            match (field.message(), field.cardinality) {
                (Some(part), _) if field.is_inline() => {
                    if depth >= MAX_DEPTH {
                        return Err(ProtoError::TooDeep);
                    }
                    self.members(wire.bytes()?, part, map, depth + 1)?;
                }
                (_, Cardinality::One) => self.one(field, wire, map, depth)?,
                (_, Cardinality::List) => self.element(field, wire, map, depth)?,
                (_, Cardinality::Map) => self.entry(field, wire, map, depth)?,
            }
        }
        Ok(())
    }

    fn one(
        &mut self,
        field: &Field,
        wire: Wire<'_>,
        map: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), ProtoError> {
        let value = self.value(field, wire, depth)?;
        let zero = match &value {
            Value::Null => true,
            Value::Bool(b) => !b,
            Value::Number(n) => n.as_f64() == Some(0.0),
            Value::String(s) => s.is_empty(),
            _ => false,
        };
        if value.is_null() || (zero && field.presence == Presence::NonZero) {
            map.remove(field.json);
        } else if let (Some(Value::Object(first)), Value::Object(_)) = (map.get_mut(field.json), &value) {
            // A message in several pieces is one message.
            let Value::Object(second) = value else {
                return Ok(());
            };
            first.extend(second);
        } else {
            map.insert(field.json.to_owned(), value);
        }
        Ok(())
    }

    fn element(
        &mut self,
        field: &Field,
        wire: Wire<'_>,
        map: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), ProtoError> {
        let mut items = Vec::new();
        match (wire, field.kind) {
            (Wire::Bytes(packed), Type::Bool | Type::Int32 | Type::Int64 | Type::Double) => {
                let mut reader = Reader::new(packed);
                while !reader.is_empty() {
                    self.left = self.left.checked_sub(1).ok_or(ProtoError::TooLarge)?;
                    let wire = if field.kind == Type::Double {
                        Wire::Fixed64(reader.fixed64()?)
                    } else {
                        Wire::Varint(reader.varint()?)
                    };
                    items.push(self.value(field, wire, depth)?);
                }
            }
            _ => items.push(self.value(field, wire, depth)?),
        }
        if let Value::Array(list) = map.entry(field.json).or_insert_with(|| Value::Array(Vec::new())) {
            list.append(&mut items);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        field: &Field,
        wire: Wire<'_>,
        map: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), ProtoError> {
        let (mut key, mut value) = (String::new(), None);
        let mut reader = Reader::new(wire.bytes()?);
        while let Some((number, wire)) = reader.next()? {
            match number {
                1 => key = wire.text()?,
                2 => value = Some(self.value(field, wire, depth)?),
                _ => {}
            }
        }
        let value = match (value, field.message(), field.kind) {
            (Some(value), ..) => value,
            (None, Some(message), _) => self.message(&[], message, depth + 1)?,
            (None, None, Type::Bool) => false.into(),
            (None, None, Type::String | Type::Bytes) => "".into(),
            (None, None, _) => 0.into(),
        };
        if let Value::Object(entries) = map.entry(field.json).or_insert_with(|| Value::Object(Map::new())) {
            entries.insert(key, value);
        }
        Ok(())
    }

    fn value(&mut self, field: &Field, wire: Wire<'_>, depth: usize) -> Result<Value, ProtoError> {
        Ok(match field.kind {
            Type::Bool => (wire.varint()? != 0).into(),
            Type::Int32 => (wire.varint()? as i32).into(),
            Type::Int64 => wire.varint()?.cast_signed().into(),
            Type::Double => match wire {
                Wire::Fixed64(bits) => f64::from_bits(bits).into(),
                _ => return Err(ProtoError::Malformed("wrong wire type for a double")),
            },
            Type::String => wire.text()?.into(),
            Type::Bytes => base64::encode(wire.bytes()?).into(),
            Type::Message(at) => {
                self.message(wire.bytes()?, &Schema::builtin().messages[usize::from(at)], depth + 1)?
            }
        })
    }

    fn shaped(&mut self, bytes: &[u8], shape: Shape, message: MessageRef, depth: usize) -> Result<Value, ProtoError> {
        match shape {
            Shape::SchemaOrArray | Shape::SchemaOrBool | Shape::SchemaOrStrings => {
                self.union(bytes, shape, message, depth)
            }
            Shape::Strings => {
                let (mut reader, mut items) = (Reader::new(bytes), Vec::new());
                while let Some((number, wire)) = reader.next()? {
                    if number == 1 {
                        self.left = self.left.checked_sub(1).ok_or(ProtoError::TooLarge)?;
                        items.push(wire.text()?.into());
                    }
                }
                Ok(Value::Array(items))
            }
            _ => scalar(bytes, shape),
        }
    }

    /// Field 1 is a schema or `allows`, field 2 the other form.
    fn union(&mut self, bytes: &[u8], shape: Shape, message: MessageRef, depth: usize) -> Result<Value, ProtoError> {
        let (mut reader, mut first, mut list, mut flag) = (Reader::new(bytes), None, Vec::new(), false);
        while let Some((number, wire)) = reader.next()? {
            let Some(field) = message.wire.iter().find(|f| f.number == number) else {
                continue;
            };
            self.left = self.left.checked_sub(1).ok_or(ProtoError::TooLarge)?;
            match (field.cardinality, self.value(field, wire, depth)?) {
                (Cardinality::List, value) => list.push(value),
                (_, Value::Bool(allows)) => flag = allows,
                (_, value) => first = Some(value),
            }
        }
        Ok(match (shape, first) {
            (Shape::SchemaOrBool, Some(schema)) => schema,
            (Shape::SchemaOrBool, None) => flag.into(),
            (_, Some(schema)) if list.is_empty() => schema,
            (_, None) if list.is_empty() => Value::Null,
            _ => Value::Array(list),
        })
    }
}

/// Messages whose JSON is one token, or any JSON.
fn scalar(bytes: &[u8], shape: Shape) -> Result<Value, ProtoError> {
    let (mut reader, mut numbers, mut raw, mut text) = (Reader::new(bytes), [0u64; 3], &[][..], String::new());
    while let Some((number, wire)) = reader.next()? {
        match (shape, number, wire) {
            (Shape::Quantity, 1, wire) | (Shape::IntOrString, 3, wire) => text = wire.text()?,
            (Shape::Json, 1, wire) => raw = wire.bytes()?,
            (Shape::Time | Shape::MicroTime | Shape::IntOrString, 1 | 2, wire) | (Shape::Duration, 1, wire) => {
                numbers[number as usize] = wire.varint()?;
            }
            _ => {}
        }
    }
    Ok(match shape {
        Shape::Quantity if text.is_empty() => "0".into(),
        Shape::Quantity => text.into(),
        Shape::IntOrString if numbers[1] == 1 => text.into(),
        Shape::IntOrString => (numbers[2] as i32).into(),
        Shape::Duration => duration::format(numbers[1].cast_signed()).into(),
        Shape::Json if raw.is_empty() => Value::Null,
        Shape::Json => serde_json::from_slice(raw).map_err(|_| ProtoError::Malformed("a raw value is not JSON"))?,
        _ if bytes.is_empty() => Value::Null,
        _ => moment(numbers[1].cast_signed(), numbers[2].cast_signed(), shape == Shape::MicroTime)?,
    })
}

/// The years that RFC 3339 can write: 0000 to 9999.
const WRITABLE: std::ops::Range<i64> = -62_167_219_200..253_402_300_800;

fn moment(seconds: i64, nanos: i64, micro: bool) -> Result<Value, ProtoError> {
    let nanos = u32::try_from(nanos).ok().filter(|n| *n < 1_000_000_000);
    match nanos {
        Some(nanos) if WRITABLE.contains(&seconds) => Ok(time::format(time::Moment { seconds, nanos }, micro).into()),
        _ => Err(ProtoError::Malformed("a time is out of range")),
    }
}
