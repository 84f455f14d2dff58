//! The test kit: laws that every implementation must keep, and faults to try them under.
//!
//! Public so that an embedder who brings a backend of his own can hold it to the same laws as ours.

mod backend;
mod faults;
mod world;

pub use self::backend::check_backend;
pub use self::faults::FaultyBackend;
pub use self::world::World;
