//! Where the use of pods comes from.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use orc_core::ApiError;

/// What a pod uses, as PodMetrics say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodUsage {
    /// The pod's name.
    pub pod: String,
    /// The end of the window.
    pub at: Timestamp,
    /// The time that rates are of.
    pub window: SignedDuration,
    /// By container, then by resource, in thousandths (of a core, of a byte).
    pub containers: BTreeMap<String, BTreeMap<String, i64>>,
}

/// The resource metrics API (`metrics.k8s.io`).
#[async_trait]
pub trait ResourceMetrics: Send + Sync + 'static {
    /// What the pods of a namespace use that a label selector selects. Pods whose use is not known are left out.
    ///
    /// # Errors
    /// When the API cannot be asked.
    async fn pods(&self, namespace: &str, selector: &str) -> Result<Vec<PodUsage>, ApiError>;
}
