//! Types of expressions.
//!
//! A type carries how large its values may get (`max`), so that one pass gives types and the worst cost. The size is not a
//! part of the type's identity: two texts of different lengths have the same type.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The size of a value that nothing bounds but the request: 3 MiB, as Kubernetes assumes.
pub const MAX_REQUEST: u64 = 3 * 1024 * 1024;

/// A type, and the bound of its size: bytes of texts, items of lists, entries of maps.
#[derive(Clone, Debug)]
pub enum Type {
    /// Anything; checked when the expression runs.
    Dyn,
    /// `null`
    Null,
    /// `bool`
    Bool,
    /// `int`, 64 bits
    Int,
    /// `uint`, 64 bits
    Uint,
    /// `double`
    Double,
    /// `string`
    String(u64),
    /// `bytes`
    Bytes(u64),
    /// `duration`
    Duration,
    /// `timestamp`
    Timestamp,
    /// `list(T)`
    List(Arc<Type>, u64),
    /// `map(K, V)`
    Map(Arc<Type>, Arc<Type>, u64),
    /// An object with known fields.
    Object(Arc<ObjectType>),
    /// `optional_type(T)`
    Optional(Arc<Type>),
    /// The type of a type.
    Type,
    /// A type of an extension library, such as `kubernetes.URL`.
    Opaque(Opaque),
    /// A parameter of a signature; never the type of an expression.
    Param(u8),
}

/// Types of Kubernetes' libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Opaque {
    /// `kubernetes.URL`
    Url,
    /// `kubernetes.Quantity`
    Quantity,
    /// `net.IP`
    Ip,
    /// `net.CIDR`
    Cidr,
    /// `kubernetes.NamedFormat`
    Format,
    /// `kubernetes.Semver`
    Semver,
    /// `kubernetes.authorization.Authorizer` and what its methods give
    Authorizer,
    /// A pattern that was compiled with the expression; no expression has this type.
    Pattern,
}

impl Opaque {
    /// The name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Url => "kubernetes.URL",
            Self::Quantity => "kubernetes.Quantity",
            Self::Ip => "net.IP",
            Self::Cidr => "net.CIDR",
            Self::Format => "kubernetes.NamedFormat",
            Self::Semver => "kubernetes.Semver",
            Self::Authorizer => "kubernetes.authorization.Authorizer",
            Self::Pattern => "regex",
        }
    }
}

/// An object with known fields.
#[derive(Clone, Debug, Default)]
pub struct ObjectType {
    /// The name in messages.
    pub name: String,
    /// The fields by the names that expressions use (see [`super::names::escape`]).
    pub fields: BTreeMap<String, Type>,
}

impl Type {
    /// A text that only the request bounds.
    pub fn text() -> Self {
        Self::String(MAX_REQUEST)
    }

    /// A list that only the request bounds.
    pub fn list(item: Type) -> Self {
        Self::List(Arc::new(item), MAX_REQUEST)
    }

    /// A map that only the request bounds.
    pub fn map(key: Type, value: Type) -> Self {
        Self::Map(Arc::new(key), Arc::new(value), MAX_REQUEST)
    }

    /// An optional value.
    pub fn optional(value: Type) -> Self {
        Self::Optional(Arc::new(value))
    }

    /// How large a value may get; one for what has no size.
    pub fn max(&self) -> u64 {
        match self {
            Self::String(max) | Self::Bytes(max) | Self::List(_, max) | Self::Map(_, _, max) => *max,
            Self::Dyn => MAX_REQUEST,
            Self::Optional(inner) => inner.max(),
            Self::Object(object) => object.fields.len() as u64,
            _ => 1,
        }
    }

    /// The same type with another bound.
    pub fn with_max(self, max: u64) -> Self {
        match self {
            Self::String(_) => Self::String(max),
            Self::Bytes(_) => Self::Bytes(max),
            Self::List(item, _) => Self::List(item, max),
            Self::Map(key, value, _) => Self::Map(key, value, max),
            other => other,
        }
    }

    /// What a comprehension over a value of this type binds: the items of a list, the keys of a map.
    pub fn iterated(&self) -> Option<Type> {
        match self {
            Self::List(item, _) => Some(Type::clone(item)),
            Self::Map(key, _, _) => Some(Type::clone(key)),
            Self::Dyn => Some(Self::Dyn),
            _ => None,
        }
    }

    /// The type that both fit, or `Dyn`.
    pub fn join(&self, other: &Type) -> Type {
        match (self, other) {
            (a, b) if a.accepts(b) && !matches!(b, Type::Dyn) => self.clone().with_max(a.max().max(b.max())),
            (a, b) if b.accepts(a) && !matches!(a, Type::Dyn) => b.clone().with_max(a.max().max(b.max())),
            _ => Type::Dyn,
        }
    }

    /// Whether a value of `other` may stand where this type is wanted. Parameters accept everything here; signatures
    /// bind them (see `check::signature`).
    pub fn accepts(&self, other: &Type) -> bool {
        match (self, other) {
            (Self::Dyn | Self::Param(_), _) | (_, Self::Dyn | Self::Param(_)) => true,
            (Self::List(a, _), Self::List(b, _)) | (Self::Optional(a), Self::Optional(b)) => a.accepts(b),
            (Self::Map(k, v, _), Self::Map(l, w, _)) => k.accepts(l) && v.accepts(w),
            (Self::Object(a), Self::Object(b)) => Arc::ptr_eq(a, b) || a.name == b.name,
            (Self::Opaque(a), Self::Opaque(b)) => a == b,
            // A null fits what may be absent in Kubernetes' objects.
            (Self::Object(_) | Self::Duration | Self::Timestamp | Self::Optional(_) | Self::Opaque(_), Self::Null)
            | (Self::Null, Self::Object(_) | Self::Duration | Self::Timestamp | Self::Optional(_) | Self::Opaque(_)) => {
                true
            }
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String(_) => f.write_str("string"),
            Self::Bytes(_) => f.write_str("bytes"),
            Self::Duration => f.write_str("google.protobuf.Duration"),
            Self::Timestamp => f.write_str("google.protobuf.Timestamp"),
            Self::List(item, _) => write!(f, "list({item})"),
            Self::Map(key, value, _) => write!(f, "map({key}, {value})"),
            Self::Object(object) => f.write_str(&object.name),
            Self::Optional(inner) => write!(f, "optional_type({inner})"),
            Self::Type => f.write_str("type"),
            Self::Opaque(opaque) => f.write_str(opaque.name()),
            Self::Param(n) => write!(f, "{}", char::from(b'A' + (n % 26))),
        }
    }
}
