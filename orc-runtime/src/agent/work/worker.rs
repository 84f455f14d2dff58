//! One pod in the loop.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;
use orc_core::ObjectKey;

use super::super::observe::SandboxIds;
use crate::machine::{Machine, Observation};
use crate::runtime::SandboxId;

/// A pod's machine, and what is under way beside it.
pub(super) struct Worker {
    pub(super) key: ObjectKey,
    pub(super) machine: Machine,
    pub(super) ids: SandboxIds,
    /// The newest observation taken in.
    pub(super) seen: u64,
    pub(super) observing: bool,
    pub(super) observe_again: bool,
    /// A status that waits for the one being written.
    pub(super) pending: Option<Arc<PodStatus>>,
    pub(super) writing: bool,
    /// Whether it waits for a turn to be written.
    pub(super) queued: bool,
    pub(super) refreshing: bool,
    pub(super) wake: Option<Timestamp>,
    pub(super) retry_status: Option<Timestamp>,
}

impl Worker {
    /// A pod of which the runtime showed this, by the observation of that number.
    pub(super) fn new(key: ObjectKey, machine: Machine, found: &Observation, number: u64) -> Self {
        let ids: BTreeSet<SandboxId> = found.sandboxes.iter().map(|sandbox| sandbox.id.clone()).collect();
        Self {
            key,
            machine,
            ids: Arc::new(parking_lot::Mutex::new(ids)),
            seen: number,
            observing: false,
            observe_again: false,
            pending: None,
            writing: false,
            queued: false,
            refreshing: false,
            wake: None,
            retry_status: None,
        }
    }
}
