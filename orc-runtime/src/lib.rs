//! Container runtimes and the node agent that reconciles pods against one.
//!
//! [`runtime`] holds the traits and their data, in the shape of the CRI. [`process`] is the runtime that runs programs
//! of the host itself, without a daemon; [`shim`] is the small process that holds each of its pods, [`pod_net`] gives
//! them their network, and [`rootless`] makes all of it work for an ordinary user. [`machine`] is the pure life of one pod,
//! [`agent`] drives a node's machines against the API and a runtime, and [`sim`] is a runtime without processes.

pub mod agent;
pub mod machine;
pub mod pod_net;
pub mod process;
pub mod rootless;
pub mod runtime;
pub mod shim;
pub mod sim;
mod streaming;

#[cfg(feature = "fuzzing")]
pub use streaming::fuzzing;
