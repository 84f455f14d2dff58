//! Field errors and name rules: what every validation in the project is written with.
//!
//! The texts are Kubernetes' own, since clients match on them and people search for them. Nothing here knows
//! a kind: rules of kinds live in `orc-api`. All functions are pure.

mod error;
pub mod ip;
pub mod names;
mod path;
mod quote;

pub use error::{FieldError, FieldErrorKind, FieldErrors, Shown, aggregate};
pub use path::FieldPath;
pub use quote::{go_json, go_quote};
