//! Values of expressions. Cloning is cheap: what is large is shared.

use super::error::EvalError;
use super::types::Opaque;
use jiff::Timestamp;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A value.
#[derive(Clone, Debug)]
pub enum Value {
    /// `null`
    Null,
    /// A truth value.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A double.
    Double(f64),
    /// A text.
    String(Arc<str>),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// A duration in nanoseconds.
    Duration(i64),
    /// A point in time.
    Timestamp(Timestamp),
    /// A list.
    List(Arc<List>),
    /// A map or an object.
    Map(Arc<BTreeMap<Key, Value>>),
    /// An optional value.
    Optional(Option<Arc<Value>>),
    /// A type, by its name.
    Type(Arc<str>),
    /// A value of an extension library.
    Opaque(Arc<dyn OpaqueValue>),
}

/// A value of an extension library.
pub trait OpaqueValue: fmt::Debug + Send + Sync {
    /// Its type.
    fn kind(&self) -> Opaque;
    /// Whether it equals another of the same type.
    fn same(&self, other: &dyn OpaqueValue) -> bool;
    /// For the library's own functions.
    fn as_any(&self) -> &dyn std::any::Any;
}

/// A list, with what makes two of them equal.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// The items.
    pub items: Vec<Value>,
    /// How the list is compared and joined.
    pub kind: ListKind,
}

/// `x-kubernetes-list-type` at run time.
#[derive(Clone, Debug, Default)]
pub enum ListKind {
    /// Compared item by item.
    #[default]
    Plain,
    /// Compared without order; joining is the union.
    Set,
    /// Compared by the key fields; joining replaces items of the same key.
    Map(Arc<[Key]>),
}

/// A key of a map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A truth value.
    Bool(bool),
    /// A whole number; unsigned numbers that fit are the same key.
    Int(i64),
    /// An unsigned number above the signed ones.
    Uint(u64),
    /// A text.
    String(Arc<str>),
}

impl Value {
    /// A text.
    pub fn string(text: impl AsRef<str>) -> Self {
        Self::String(Arc::from(text.as_ref()))
    }

    /// A plain list.
    pub fn list(items: Vec<Value>) -> Self {
        Self::List(Arc::new(List { items, kind: ListKind::Plain }))
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The name of the type at run time.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Optional(_) => "optional_type",
            Self::Type(_) => "type",
            Self::Opaque(value) => value.kind().name(),
        }
    }

    /// How large the value is, as costs count it: bytes of texts, items of lists and maps, one for the rest.
    pub fn size(&self) -> u64 {
        match self {
            Self::String(text) => text.len() as u64,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::List(list) => list.items.len() as u64,
            Self::Map(map) => map.len() as u64,
            Self::Optional(Some(inner)) => inner.size(),
            _ => 1,
        }
    }

    /// How much a comparison with another value walks at most: it stops where sizes or types differ, so a small value
    /// beside a large one is cheap.
    pub fn comparing(&self, other: &Value) -> u64 {
        match (self, other) {
            (Self::String(_), Self::String(_)) | (Self::Bytes(_), Self::Bytes(_)) => self.size().min(other.size()),
            (Self::List(a), Self::List(b)) if a.items.len() == b.items.len() => {
                let pairs: u64 = a.items.iter().zip(&b.items).map(|(v, w)| v.comparing(w)).sum();
                // Without order, each item may meet every other.
                let rounds = if matches!(a.kind, ListKind::Plain) { 1 } else { a.items.len() as u64 };
                pairs.saturating_mul(rounds).saturating_add(1)
            }
            (Self::Map(a), Self::Map(b)) if a.len() == b.len() => {
                1 + a.iter().filter_map(|(k, v)| Some(1 + v.comparing(b.get(k)?))).sum::<u64>()
            }
            (Self::Optional(Some(a)), Self::Optional(Some(b))) => a.comparing(b),
            _ => 1,
        }
    }

    /// The value as a key of a map.
    pub fn key(&self) -> Option<Key> {
        Some(match self {
            Self::Bool(b) => Key::Bool(*b),
            Self::Int(n) => Key::Int(*n),
            Self::Uint(n) => i64::try_from(*n).map_or(Key::Uint(*n), Key::Int),
            Self::Double(f) if f.fract() == 0.0 && f.abs() < 9.0e15 => Key::Int(*f as i64),
            Self::String(text) => Key::String(text.clone()),
            _ => return None,
        })
    }

    /// Order of two values of one type; numbers compare across types. Not a number has no order.
    pub fn order(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Int(a), Self::Int(b)) | (Self::Duration(a), Self::Duration(b)) => Some(a.cmp(b)),
            (Self::Uint(a), Self::Uint(b)) => Some(a.cmp(b)),
            (Self::Int(a), Self::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Self::Uint(a), Self::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Self::String(a), Self::String(b)) => Some(a.cmp(b)),
            (Self::Bytes(a), Self::Bytes(b)) => Some(a.cmp(b)),
            (Self::Timestamp(a), Self::Timestamp(b)) => Some(a.cmp(b)),
            (a, b) => a.number()?.partial_cmp(&b.number()?),
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Int(n) => Some(*n as f64),
            Self::Uint(n) => Some(*n as f64),
            Self::Double(n) => Some(*n),
            _ => None,
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Type(a), Self::Type(b)) => a == b,
            (Self::Optional(a), Self::Optional(b)) => a == b,
            (Self::Opaque(a), Self::Opaque(b)) => a.kind() == b.kind() && a.same(b.as_ref()),
            (Self::List(a), Self::List(b)) => a.same(b),
            (Self::Map(a), Self::Map(b)) => {
                a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| v == w))
            }
            (a, b) => a.order(b) == Some(Ordering::Equal),
        }
    }
}

impl List {
    /// Looks up the key fields of an item.
    fn key_of(&self, item: &Value) -> Option<Vec<Option<Key>>> {
        let (ListKind::Map(names), Value::Map(fields)) = (&self.kind, item) else { return None };
        Some(names.iter().map(|name| fields.get(name).and_then(Value::key)).collect())
    }

    fn same(&self, other: &List) -> bool {
        if self.items.len() != other.items.len() {
            return false;
        }
        match &self.kind {
            ListKind::Plain => self.items == other.items,
            ListKind::Set => self.items.iter().all(|item| other.items.contains(item)),
            ListKind::Map(_) => self.items.iter().all(|item| {
                let key = self.key_of(item);
                other.items.iter().any(|o| self.key_of(o) == key && o == item)
            }),
        }
    }

    /// Joins two lists as their kind says.
    pub fn join(&self, other: &List) -> List {
        let mut items = self.items.clone();
        match &self.kind {
            ListKind::Plain => items.extend(other.items.iter().cloned()),
            ListKind::Set => {
                for item in &other.items {
                    if !items.contains(item) {
                        items.push(item.clone());
                    }
                }
            }
            ListKind::Map(_) => {
                for item in &other.items {
                    let key = self.key_of(item);
                    match items.iter_mut().find(|have| self.key_of(have) == key) {
                        Some(have) => *have = item.clone(),
                        None => items.push(item.clone()),
                    }
                }
            }
        }
        List { items, kind: self.kind.clone() }
    }
}

impl Key {
    /// The key as a value.
    pub fn value(&self) -> Value {
        match self {
            Self::Bool(b) => Value::Bool(*b),
            Self::Int(n) => Value::Int(*n),
            Self::Uint(n) => Value::Uint(*n),
            Self::String(text) => Value::String(text.clone()),
        }
    }

    /// A text key.
    pub fn text(text: &str) -> Self {
        Self::String(Arc::from(text))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(b) => write!(f, "{b}"),
            Self::Int(n) => write!(f, "{n}"),
            Self::Uint(n) => write!(f, "{n}"),
            Self::String(text) => f.write_str(text),
        }
    }
}

/// What an evaluation gives.
pub type Outcome = Result<Value, EvalError>;
