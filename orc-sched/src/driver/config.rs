//! How the scheduler runs.

use std::sync::Arc;

use super::binder::{ApiBinder, Binder};
use super::queue::Timing;
use crate::profile::Profile;

/// How the scheduler runs.
#[derive(Clone)]
pub struct SchedulerConfig {
    /// What schedules which pods.
    pub profiles: Vec<Profile>,
    /// What makes a decision true.
    pub binder: Arc<dyn Binder>,
    /// How many pods may be on their way to the API at a time. 64 at 5 ms a write is more than 10,000 pods a second.
    pub binds: usize,
    /// Backoff and flush.
    pub timing: Timing,
    /// Whether `Scheduled` and `FailedScheduling` events are written.
    pub events: bool,
    /// Accepted as Kubernetes' configuration has it, and without effect: all feasible nodes are scored.
    pub percentage_of_nodes_to_score: Option<i32>,
    /// What a configuration asks for that has no effect here, in words; told once when the scheduler is made.
    pub notes: Vec<String>,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self {
            profiles: vec![Profile::default()],
            binder: Arc::new(ApiBinder),
            binds: 64,
            timing: Timing::default(),
            events: true,
            percentage_of_nodes_to_score: None,
            notes: Vec::new(),
        }
    }
}
