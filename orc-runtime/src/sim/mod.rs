//! A runtime without processes: what containers do is read from a table, in virtual or real time.
//!
//! For tests, scale tests and research: the agent, the machine and everything above them are the ones of production.
//! [`SimRuntime`] is one node's runtime; [`Fleet`] runs many nodes in one process over one watch of pods.
//!
//! What a container does is a [`Script`]: the runtime's own, changed by annotations of the pod (see [`script`]).
//! By default it starts at once, runs for ever and ends with code 0 when asked to stop.

mod fleet;
mod observe;
mod runtime;
pub mod script;
mod state;
mod streams;
#[cfg(test)]
mod tests;

pub use fleet::{Fleet, FleetConfig};
pub use runtime::{SimConfig, SimRuntime};
pub use script::Script;
