//! The one table that drives every codec.
//!
//! For each built-in message: JSON name, protobuf number, type, when it is written, list type, map keys, merge key. From
//! it come strict decoding ([`decode`]), what a stored object looks like ([`canonical`]), strategic merge
//! ([`crate::patch`]) and transcoding to and from protobuf ([`proto`]). One table instead of a codec a type, so that a
//! field is described in one place, and so that bytes need no typed view to be checked.
//!
//! The data file is made by `tools/facts.py`; its format is described in `parse.rs`. What is not here: defaults and
//! validation, which are code a kind.

mod base64;
mod canonical;
mod decode;
mod parse;
pub mod proto;
mod scalar;
mod table;
#[cfg(test)]
mod tests;
mod time;

pub use canonical::{canonical, fill_always, normalise, written};
pub use decode::{DecodeError, Decoded, StrictError, check, decode, decode_json, prune};
pub use table::{
    Cardinality, Field, ListType, MapType, Message, MessageRef, PatchStrategy, Presence, Schema, Shape, Type,
};
