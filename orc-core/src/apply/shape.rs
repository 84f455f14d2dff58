//! What server-side apply needs to know of a place in an object: how it is put together, and who may own what in it.

use serde_json::{Map, Value};

use super::element::Element;
use super::node::{ListNode, Node, ObjectNode};
use crate::schema::{Cardinality, Field, ListType, MapType, MessageRef, Presence, Shape as Form, Type};

/// A place in an object.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// A value of one message.
    Message(MessageRef),
    /// A field as a whole: its list or map, or its one value.
    Field(&'static Field),
    /// One element of a list or map field.
    Item(&'static Field),
    /// A value of a type that came at run time.
    Node(&'a Node),
    /// A place that no schema describes: objects are merged, lists are one value.
    Free,
}

/// How a place is put together.
#[derive(Clone, Copy, Debug)]
pub enum Build<'a> {
    /// One value, owned as a whole.
    Leaf,
    /// An object with known fields.
    Struct(MessageRef),
    /// The same, of a type that came at run time.
    Object(&'a ObjectNode),
    /// A map of places.
    Map(Place<'a>),
    /// A list whose elements have an identity.
    List(Elements<'a>),
    /// As the value says: objects are maps, all else is a leaf.
    Guess,
}

/// The elements of a list that have an identity.
#[derive(Clone, Copy, Debug)]
pub enum Elements<'a> {
    /// Of a field of a message.
    Field(&'static Field),
    /// Of a type that came at run time.
    Node(&'a ListNode),
}

impl<'a> Elements<'a> {
    /// The place of one element.
    pub fn item(self) -> Place<'a> {
        match self {
            Self::Field(field) => Place::Item(field),
            Self::Node(list) => Place::Node(&list.items),
        }
    }
}

impl<'a> Place<'a> {
    /// How the place is put together.
    pub fn build(self) -> Build<'a> {
        match self {
            Self::Free => Build::Guess,
            Self::Node(node) => of_node(node),
            Self::Message(message) => of_message(message),
            Self::Item(field) => field.message().map_or(Build::Leaf, of_message),
            Self::Field(field) => of_field(field),
        }
    }
}

fn of_node(node: &Node) -> Build<'_> {
    match node {
        Node::Leaf(_) => Build::Leaf,
        Node::Object(object) => Build::Object(object),
        Node::Map(inner) => Build::Map(Place::Node(inner)),
        Node::List(list) => Build::List(Elements::Node(list)),
        Node::Message(message) => of_message(message),
        Node::Free => Build::Guess,
    }
}

fn of_message(message: MessageRef) -> Build<'static> {
    match message.shape {
        Form::Object if !message.atomic => Build::Struct(message),
        _ => Build::Leaf,
    }
}

fn of_field(field: &'static Field) -> Build<'static> {
    let atomic = field.map_type == Some(MapType::Atomic);
    match field.cardinality {
        Cardinality::One if atomic => Build::Leaf,
        Cardinality::One => field.message().map_or(Build::Leaf, of_message),
        Cardinality::Map if atomic => Build::Leaf,
        Cardinality::Map => Build::Map(Place::Item(field)),
        Cardinality::List => match field.list_type {
            Some(ListType::Set | ListType::Map(_)) => Build::List(Elements::Field(field)),
            Some(ListType::Atomic) | None => Build::Leaf,
        },
    }
}

/// The identity of a list's element: its keys, or in a set its value.
///
/// # Errors
/// The rule that the element breaks.
pub(super) fn identity(list: Elements<'_>, item: &Value) -> Result<Element, String> {
    let keys = keys(list);
    if keys.is_empty() {
        return match item {
            Value::Object(_) | Value::Array(_) => {
                Err("associative list without keys has an element that's a map type".to_owned())
            }
            item => Ok(Element::value(item)),
        };
    }
    let Value::Object(item) = item else {
        return Err("associative list with keys may not have non-map elements".to_owned());
    };
    let mut found = Map::new();
    let mut named = false;
    for (key, fallback) in &keys {
        let value = item.get(*key).cloned().or_else(|| fallback.clone());
        named |= value.is_some();
        found.insert((*key).to_owned(), value.unwrap_or_default());
    }
    if !named {
        let keys: Vec<String> = keys.iter().map(|(key, _)| format!("{key:?}")).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
            keys.join(" ")
        ));
    }
    Ok(Element::key(found))
}

/// The fields that tell elements apart, with the value of one that is left out; none where the element itself does.
fn keys(list: Elements<'_>) -> Vec<(&str, Option<Value>)> {
    match list {
        Elements::Field(field) => match &field.list_type {
            Some(ListType::Map(keys)) => keys.iter().map(|key| (*key, key_default(field, key))).collect(),
            _ => Vec::new(),
        },
        Elements::Node(list) => list.keys.iter().map(|(key, fallback)| (key.as_str(), fallback.clone())).collect(),
    }
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
pub(super) fn member<'a>(build: Build<'a>, name: &str) -> Option<Place<'a>> {
    match build {
        Build::Object(object) => object.field(name).map(Place::Node),
        Build::Struct(message) => message.field(name).map(Place::Field),
        Build::Map(place) => Some(place),
        Build::Guess => Some(Place::Free),
        Build::Leaf | Build::List(_) => None,
    }
}

/// Whether a member of an object is one that its schema names, and so is there because something below it is.
pub(super) fn is_named(build: Build<'_>, name: &str) -> bool {
    match build {
        Build::Struct(_) => true,
        Build::Object(object) => object.fields.contains_key(name),
        _ => false,
    }
}
