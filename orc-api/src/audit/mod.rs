//! The audit log: who did what, as far as a policy wants it written down.
//!
//! [`Policy`] decides, request by request, how much is told; [`Log`] writes one JSON event a line to a file that is rotated,
//! [`Webhook`] sends events to a server. Requests and either meet in a bounded queue, so that a slow disk costs events (batch
//! mode) or time (blocking mode), as the operator chose, and never memory. Bearer tokens are never written, whatever the policy says.

mod event;
mod log;
pub(crate) mod notes;
mod policy;
mod rotate;
mod webhook;

use std::sync::Arc;

use orc_core::env::System;

pub(crate) use event::{Record, Stage};
pub use log::{Log, LogConfig, LogError, Mode};
pub use policy::{Level, Policy, PolicyError};
pub use webhook::{Webhook, WebhookConfig};

/// A policy and what it feeds.
pub struct Audit {
    /// What is written down.
    pub policy: Policy,
    /// The file that it goes to.
    pub log: Option<Log>,
    /// The server that it goes to.
    pub webhook: Option<Webhook>,
    /// Time and ids.
    pub system: System,
}

impl Audit {
    /// An audit log in a file.
    pub fn new(policy: Policy, log: Log, system: System) -> Arc<Self> {
        Arc::new(Self { policy, log: Some(log), webhook: None, system })
    }

    /// Hands an event to all; those that are waited for are waited for side by side.
    pub(crate) async fn write(&self, line: String) {
        match (&self.log, &self.webhook) {
            (Some(log), Some(webhook)) => {
                futures::join!(log.write(line.clone()), webhook.write(line));
            }
            (Some(log), None) => log.write(line).await,
            (None, Some(webhook)) => webhook.write(line).await,
            (None, None) => {}
        }
    }

    /// The same without waiting.
    pub(crate) fn write_later(&self, line: String) {
        if let Some(webhook) = &self.webhook {
            webhook.write_later(line.clone());
        }
        if let Some(log) = &self.log {
            log.write_later(line);
        }
    }
}
