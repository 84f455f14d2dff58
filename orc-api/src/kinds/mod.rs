//! The rules of the built-in kinds: defaulting, validation, and which parts an update may touch.
//!
//! Every kind is a file with a table of plain functions ([`rules::Kind`]) on the object's JSON tree; [`strategy`] finds
//! the table by storage resource. Nothing here does I/O or keeps state, so the rules run the same in the server, in a
//! test and in a client that checks before it sends. Texts and order of checks are Kubernetes', as clients see both.

pub mod meta;
mod registry;
mod rules;
mod strategy;
pub mod tree;

pub use registry::{known, strategy};
pub use strategy::Strategy;
