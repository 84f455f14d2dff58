//! Admission: what a write passes between its decoding and its commit.
//!
//! The built-in plugins need the store and live in the registry; here is what stands by itself: the [`Attributes`] of a
//! request, what requests a configuration is about ([`matching`], [`conditions`]), webhooks, policies and the Pod Security
//! Standards. See `docs/design/admission.md`.

mod attributes;
pub mod conditions;
pub mod configs;
pub mod expressions;
pub mod matching;
pub mod mutation;
pub mod pod_security;
pub mod policy;
pub mod type_check;
pub mod types;
pub mod variables;
pub mod webhook;

pub use attributes::{Attributes, Operation};
