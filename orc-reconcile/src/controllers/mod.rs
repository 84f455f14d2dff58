//! The built-in Kubernetes control loops.

mod deployment;
mod replicaset;
mod support;

pub use deployment::deployment;
pub use replicaset::replicaset;
