//! Structural schemas: what a custom resource may hold.
//!
//! A schema is *structural* when every field is described outside of the logical parts (`allOf`, `anyOf`, `oneOf`, `not`), so
//! that pruning and defaulting need no search (KEP-1693). The tree is parsed once for each version of a definition and shared.
//!
//! | module | holds |
//! |---|---|
//! | [`schema`], [`parse`] | the tree |
//! | [`mod@check`] | what a definition's schema may say, with Kubernetes' texts and paths |
//! | [`mod@prune`] | dropping fields that are not described |
//! | [`mod@default`] | filling in defaults |
//! | [`mod@validate`] | checking values |
//! | [`mod@format`] | `format` of texts; patterns are in [`crate::cel::pattern`] |

pub mod check;
pub mod default;
pub mod format;
pub mod parse;
pub mod prune;
pub mod schema;
pub mod validate;

pub use crate::cel::pattern::Pattern;
pub use parse::SchemaError;
pub use schema::{Additional, ListType, Rule, Schema, SchemaType};
