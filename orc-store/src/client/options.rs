//! How to read, list, watch and delete.

use orc_core::Revision;
use orc_core::labels::{FieldSelector, Selector};

/// How fresh a read must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Freshness {
    /// Everything acknowledged before the call.
    #[default]
    Latest,
    /// At least this revision; waits for it, with a deadline.
    AtLeast(Revision),
    /// Exactly this revision.
    Exact(Revision),
    /// Whatever is at hand.
    Any,
}

/// How to read one object.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOptions {
    /// How fresh.
    pub freshness: Freshness,
}

/// Which objects of a scope.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Selection {
    /// By labels.
    pub labels: Selector,
    /// By selectable fields; `metadata.name` and `metadata.namespace` always work.
    pub fields: FieldSelector,
}

/// Where a paged list goes on: opaque to clients, pinned to one revision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Continue {
    /// The revision of the first page.
    pub at: Revision,
    /// The last raw key that was returned; the next page starts behind it.
    pub after: String,
}

/// How to list.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Which objects.
    pub select: Selection,
    /// How fresh.
    pub freshness: Freshness,
    /// The most objects to return, `None` for all.
    pub limit: Option<usize>,
    /// Where to go on.
    pub next: Option<Continue>,
}

/// Where a watch starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WatchStart {
    /// With the present objects as `Added`, then a bookmark with `initial_end`, then changes. The state is at least as
    /// fresh as asked.
    #[default]
    Initial,
    /// As `Initial`, the state being at least of this revision.
    InitialAtLeast(Revision),
    /// With the changes after this revision.
    After(Revision),
    /// With the changes from now on.
    Now,
}

/// How to watch.
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    /// Which objects.
    pub select: Selection,
    /// From where.
    pub start: WatchStart,
    /// Whether to send bookmarks now and then (the one that ends the initial state is always sent).
    pub bookmarks: bool,
}

/// What must hold for a write.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Preconditions {
    /// The object's uid.
    pub uid: Option<String>,
    /// The object's revision.
    pub revision: Option<Revision>,
}

/// What a deletion does with dependents.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Propagation {
    /// The garbage collector deletes them afterwards.
    #[default]
    Background,
    /// They go first; the object stays with the `foregroundDeletion` finalizer until then.
    Foreground,
    /// They stay and lose the owner reference.
    Orphan,
}

/// How to delete.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// Seconds to wait for the object to end by itself; `None` is the object's own wish.
    pub grace_seconds: Option<i64>,
    /// What must hold.
    pub preconditions: Preconditions,
    /// What becomes of dependents; `None` is the kind's default.
    pub propagation: Option<Propagation>,
}
