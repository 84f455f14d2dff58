//! The rules of the built-in kinds: defaulting, validation, and which parts an update may touch.
//!
//! Every kind is a file with a table of plain functions (`rules::Kind`) on the object's JSON tree; [`strategy`] finds
//! the table by storage resource. Nothing here does I/O or keeps state, so the rules run the same in the server, in a
//! test and in a client that checks before it sends. Texts and order of checks are Kubernetes', as clients see both.

mod admission;
mod apimachinery;
mod autoscaling;
mod certificate;
mod claims;
mod config;
mod definition;
mod device_selector;
mod endpoints;
mod event;
mod lease;
pub mod meta;
mod namespace;
mod network;
mod node;
mod pod;
pub mod pod_spec;
mod policy;
mod ports;
mod rbac;
mod registry;
mod rules;
mod service;
mod storage;
mod strategy;
pub mod tree;
mod warnings;
mod workload;

pub use pod::qos;
pub use registry::{known, strategy};
pub use strategy::Strategy;

#[cfg(test)]
mod tests;
