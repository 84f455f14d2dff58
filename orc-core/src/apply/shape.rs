//! What server-side apply needs to know of a place in an object: how it is put together, and who may own what in it.

use serde_json::{Map, Value};

use super::element::Element;
use crate::schema::{Cardinality, Field, ListType, MapType, MessageRef, Presence, Shape as Form, Type};

/// A place in an object.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// A value of one message.
    Message(MessageRef),
    /// A field as a whole: its list or map, or its one value.
    Field(&'static Field),
    /// One element of a list or map field.
    Item(&'static Field),
    /// A place that no schema describes: objects are merged, lists are one value.
    Free,
}

/// How a place is put together.
#[derive(Clone, Copy, Debug)]
pub enum Build {
    /// One value, owned as a whole.
    Leaf,
    /// An object with known fields.
    Struct(MessageRef),
    /// A map of places.
    Map(Place),
    /// A list whose elements have an identity.
    List(&'static Field),
    /// As the value says: objects are maps, all else is a leaf.
    Guess,
}

impl Place {
    /// How the place is put together.
    pub fn build(self) -> Build {
        match self {
            Self::Free => Build::Guess,
            Self::Message(message) => of_message(message),
            Self::Item(field) => field.message().map_or(Build::Leaf, of_message),
            Self::Field(field) => of_field(field),
        }
    }
}

fn of_message(message: MessageRef) -> Build {
    match message.shape {
        Form::Object if !message.atomic => Build::Struct(message),
        _ => Build::Leaf,
    }
}

fn of_field(field: &'static Field) -> Build {
    let atomic = field.map_type == Some(MapType::Atomic);
    match field.cardinality {
        Cardinality::One if atomic => Build::Leaf,
        Cardinality::One => field.message().map_or(Build::Leaf, of_message),
        Cardinality::Map if atomic => Build::Leaf,
        Cardinality::Map => Build::Map(Place::Item(field)),
        Cardinality::List => match field.list_type {
            Some(ListType::Set | ListType::Map(_)) => Build::List(field),
            Some(ListType::Atomic) | None => Build::Leaf,
        },
    }
}

/// The identity of a list's element: its keys, or in a set its value.
///
/// # Errors
/// The rule that the element breaks.
pub(super) fn identity(field: &Field, item: &Value) -> Result<Element, String> {
    let Some(ListType::Map(keys)) = &field.list_type else {
        return match item {
            Value::Object(_) | Value::Array(_) => {
                Err("associative list without keys has an element that's a map type".to_owned())
            }
            item => Ok(Element::value(item)),
        };
    };
    let Value::Object(item) = item else {
        return Err("associative list with keys may not have non-map elements".to_owned());
    };
    let mut found = Map::new();
    let mut named = false;
    for key in keys {
        match item.get(*key) {
            Some(value) => {
                named = true;
                found.insert((*key).to_owned(), value.clone());
            }
            None => {
                let fallback = key_default(field, key);
                named |= fallback.is_some();
                found.insert((*key).to_owned(), fallback.unwrap_or_default());
            }
        }
    }
    if !named {
        let keys: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
            keys.join(" ")
        ));
    }
    Ok(Element::key(found))
}

/// The value of a key that an element leaves out, from the OpenAPI schema: fields that are always written default to their
/// zero, and protocols to TCP.
fn key_default(field: &Field, key: &str) -> Option<Value> {
    let key_field = field.message()?.field(key)?;
    if key == "protocol" {
        return Some("TCP".into());
    }
    match (key_field.presence, key_field.kind) {
        (Presence::Always, Type::String) => Some("".into()),
        (Presence::Always, Type::Int32 | Type::Int64) => Some(0.into()),
        _ => None,
    }
}

/// The place of a member of an object, `None` where the object has no such field.
pub(super) fn member(build: Build, name: &str) -> Option<Place> {
    match build {
        Build::Struct(message) => message.field(name).map(Place::Field),
        Build::Map(place) => Some(place),
        Build::Guess => Some(Place::Free),
        Build::Leaf | Build::List(_) => None,
    }
}
