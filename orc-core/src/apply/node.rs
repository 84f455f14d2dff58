//! Types that are no built-in messages: those of custom resources.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::schema::MessageRef;

/// The type of a place, as a schema that came at run time describes it.
#[derive(Clone, Debug)]
pub enum Node {
    /// One value, owned as a whole.
    Leaf(Scalar),
    /// An object with known fields.
    Object(ObjectNode),
    /// A map from strings to values of one type.
    Map(Box<Node>),
    /// A list whose elements have an identity.
    List(Box<ListNode>),
    /// A built-in message, such as the metadata of an object.
    Message(MessageRef),
    /// Not described: objects are merged, lists are one value.
    Free,
}

/// What a leaf must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// Anything.
    Any,
    /// A text.
    Text,
    /// A number.
    Number,
    /// A boolean.
    Bool,
}

/// An object with known fields.
#[derive(Clone, Debug, Default)]
pub struct ObjectNode {
    /// The fields, by name.
    pub fields: BTreeMap<String, Node>,
    /// Whether fields that are not described may stand beside them.
    pub open: bool,
}

/// A list whose elements have an identity.
#[derive(Clone, Debug)]
pub struct ListNode {
    /// The type of an element.
    pub items: Node,
    /// The fields that tell elements apart, each with the value of one that is left out; empty where the element itself
    /// does.
    pub keys: Vec<(String, Option<Value>)>,
}

impl ObjectNode {
    /// The type of a field, `None` where the object has none of that name.
    pub fn field(&self, name: &str) -> Option<&Node> {
        self.fields.get(name).or_else(|| self.open.then_some(&Node::Free))
    }
}
