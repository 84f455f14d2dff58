//! Admission: what a write passes between its decoding and its commit.
//!
//! The built-in plugins need the store and live in the registry; here is what stands by itself: the [`Attributes`] of a
//! request and the Pod Security Standards. See `docs/design/admission.md`.

mod attributes;
pub mod pod_security;

pub use attributes::{Attributes, Operation};
