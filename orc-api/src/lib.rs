//! Placeholder.

pub mod kinds;
