//! The laboratory.

mod input;
pub mod openb;

pub use input::InputError;
