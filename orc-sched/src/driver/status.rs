//! What operators read of the scheduler.

use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

use super::metrics::{SchedulerMetrics, Shared};

/// How the scheduler does.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SchedulerStatus {
    /// Decisions that found a node.
    pub placed: u64,
    /// Decisions that found none.
    pub unschedulable: u64,
    /// Pods that were bound.
    pub bound: u64,
    /// Bindings that failed.
    pub bind_failures: u64,
    /// Pods for which others were taken away.
    pub preemptions: u64,
    /// Pods that were taken away.
    pub victims: u64,
    /// Conditions and events that were dropped because too many waited.
    pub dropped_reports: u64,
    /// Pods that are ready to be tried.
    pub active: usize,
    /// Pods that wait after a failure.
    pub backoff: usize,
    /// Pods that fit nowhere.
    pub parked: usize,
    /// Pods behind scheduling gates.
    pub gated: usize,
    /// Pods on their way to the API.
    pub binding: usize,
    /// When the last decision was made.
    pub last_decision: Option<Timestamp>,
    /// What the last failed binding said.
    pub last_error: Option<String>,
}

/// A handle to read the status with while the scheduler runs.
#[derive(Clone, Default)]
pub struct StatusReader(pub(super) Arc<Mutex<SchedulerStatus>>, Shared);

impl StatusReader {
    /// What the scheduler counts.
    pub fn metrics(&self) -> &SchedulerMetrics {
        &self.1
    }

    pub(super) fn shared_metrics(&self) -> Shared {
        self.1.clone()
    }

    /// The status now.
    pub fn read(&self) -> SchedulerStatus {
        self.0.lock().clone()
    }
}
