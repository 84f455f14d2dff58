//! `x-kubernetes-validations`: rules in CEL beside the schema.
//!
//! A definition's rules are checked once ([`check()`]: they compile, their worst cost is bounded, they see old values only
//! where these can be told), compiled once for each version ([`Validator::compile`]), and run on each write.

mod check;
mod compile;
mod declare;
mod field_path;
mod message;
mod run;

pub use check::check;
pub use compile::Validator;
pub use declare::{declare, value};
pub use run::Findings;
