//! What a store is told at its start.

use std::sync::Arc;
use std::time::Duration;

use orc_core::ResourceId;

use crate::backend::Durability;

/// Gives the selectable fields of a resource, as dotted paths. Asked once a resource, and again by
/// [`Store::refresh_fields`](super::Store::refresh_fields).
pub type FieldsOf = Arc<dyn Fn(&ResourceId) -> Arc<[String]> + Send + Sync>;

/// Bounds and policies of a store.
#[derive(Clone)]
pub struct StoreConfig {
    /// Changes kept for each resource; older ones raise the resource's floor.
    pub history_changes: usize,
    /// Bytes of bodies kept for each resource's history.
    pub history_bytes: usize,
    /// How long changes are kept for each resource, even where there is room. A resource is looked at when others change.
    pub history_age: Duration,
    /// How long a read waits for a revision that is still to come.
    pub future_wait: Duration,
    /// How often an idle watch that wants bookmarks gets one.
    pub bookmark_every: Duration,
    /// Snapshots that are kept beyond the history for paged lists, for each resource.
    pub pinned_pages: usize,
    /// How long such a snapshot is kept.
    pub pinned_for: Duration,
    /// How durable a resource's acknowledgements are unless a commit says otherwise.
    pub durability: fn(&ResourceId) -> Durability,
    /// How long a resource's objects live after their last change, on a backend that
    /// [expires](crate::Backend::expires) keys; `None` for ever.
    pub ttl: fn(&ResourceId) -> Option<Duration>,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            // A relist of 150,000 objects takes seconds; the window must be longer than that at 4,000 changes a second.
            history_changes: 32_768,
            history_bytes: 128 << 20,
            // Twice what etcd's compaction leaves a Kubernetes client.
            history_age: Duration::from_secs(600),
            // Kubernetes' watch cache waits three seconds for a revision.
            future_wait: Duration::from_secs(3),
            // Kubernetes sends one about once a minute.
            bookmark_every: Duration::from_secs(60),
            pinned_pages: 16,
            // etcd is compacted every five minutes, which is how long Kubernetes' continue tokens live at least.
            pinned_for: Duration::from_secs(300),
            durability,
            ttl,
        }
    }
}

/// Leases and events are relaxed: losing the last tenth of a second of them in a crash harms nobody, and they are most of
/// a cluster's writes.
fn durability(resource: &ResourceId) -> Durability {
    match resource.as_str() {
        "leases.coordination.k8s.io" | "events" | "events.events.k8s.io" => Durability::Relaxed,
        _ => Durability::Durable,
    }
}

/// Events live for an hour, as with kube-apiserver's `--event-ttl`.
fn ttl(resource: &ResourceId) -> Option<Duration> {
    matches!(resource.as_str(), "events" | "events.events.k8s.io").then(|| Duration::from_secs(3600))
}
