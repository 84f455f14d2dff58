//! The audit log: who did what, as far as a policy wants it written down.
//!
//! [`Policy`] decides, request by request, how much is told; [`Log`] writes one JSON event a line to a file that is rotated.
//! Requests and the file meet in a bounded queue, so that a slow disk costs events (batch mode) or time (blocking mode), as
//! the operator chose, and never memory. Bearer tokens are never written, whatever the policy says.

mod event;
mod log;
pub(crate) mod notes;
mod policy;
mod rotate;

use std::sync::Arc;

use orc_core::env::System;

pub(crate) use event::{Record, Stage};
pub use log::{Log, LogConfig, LogError, Mode};
pub use policy::{Level, Policy, PolicyError};

/// A policy and the log that it feeds.
pub struct Audit {
    /// What is written down.
    pub policy: Policy,
    /// Where it goes.
    pub log: Log,
    /// Time and ids.
    pub system: System,
}

impl Audit {
    /// An audit log.
    pub fn new(policy: Policy, log: Log, system: System) -> Arc<Self> {
        Arc::new(Self { policy, log, system })
    }
}
