//! The test kit: laws that every implementation must keep, and faults to try them under.
//!
//! Public so that an embedder who brings a backend of his own can hold it to the same laws as ours:
//!
//! ```
//! use std::sync::Arc;
//! use orc_store::backend::{Backend, MemoryBackend};
//! use orc_store::testing::Conformance;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let make = || async { Arc::new(MemoryBackend::new()) as Arc<dyn Backend> };
//! Conformance::of(make).seed(7).operations(40).run().await;
//! # }
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`conformance`] | [`Conformance`]: all laws of a backend, and of a [`Store`](crate::Store) over it |
//! | [`history`] | a recorded history of concurrent calls, and the checker that finds the order it happened in |
//! | [`watching`] | what feeds and watches must tell, given the true log |
//! | [`faults`] | [`FaultyBackend`]: errors, delays, cuts and lost answers, from a seed |
//! | [`day`] | hours of mixed traffic in virtual time, with crashes of the medium |
//!
//! The argument behind the checks: `docs/design/conformance.md`.

pub mod conformance;
pub mod day;
#[cfg(feature = "durable")]
mod disk;
#[cfg(feature = "testing-etcd")]
mod etcd;
pub mod faults;
pub mod history;
mod violation;
pub mod watching;
mod world;

pub use self::conformance::{Conformance, check_backend};
#[cfg(feature = "durable")]
pub use self::disk::{DiskFault, DiskOp, FakeDisk};
#[cfg(feature = "testing-etcd")]
pub use self::etcd::{EtcdOptions, EtcdServer};
pub use self::faults::{FaultPlan, FaultyBackend};
pub use self::violation::Violation;
pub use self::world::World;

pub(crate) use self::violation::ensure;
