//! What a pass decides: plain data.

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use std::sync::Arc;

/// The one write of a pass; the next pass looks at what it changed.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Step {
    /// A volume in the place of what was read.
    Volume(Box<PersistentVolume>),
    /// A volume's status.
    VolumeStatus(Box<PersistentVolume>),
    /// A claim in the place of what was read.
    Claim(Box<PersistentVolumeClaim>),
    /// A claim's status.
    ClaimStatus(Box<PersistentVolumeClaim>),
    /// Make a volume for the claim on a node.
    Provision(Arc<StorageClass>, Arc<Node>),
    /// Take away what a released volume stands for, then the volume.
    Wipe,
}

/// Something to tell people about the object of the pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Told {
    pub(super) warning: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// What a pass wants.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Plan {
    pub(super) told: Vec<Told>,
    pub(super) step: Option<Step>,
}

impl Plan {
    /// A step, or nothing to do.
    pub(super) fn of(step: Option<Step>) -> Self {
        Self { told: Vec::new(), step }
    }

    /// Tells of the normal course of things.
    pub(super) fn normal(mut self, reason: &'static str, message: impl Into<String>) -> Self {
        self.told.push(Told { warning: false, reason, message: message.into() });
        self
    }

    /// Tells of trouble.
    pub(super) fn warning(mut self, reason: &'static str, message: impl Into<String>) -> Self {
        self.told.push(Told { warning: true, reason, message: message.into() });
        self
    }
}
