//! What a watch tells, and what ends it.

use std::sync::Arc;

use orc_core::Revision;

use crate::stored::Stored;

/// One item of a watch. `Arc`s only: nothing is copied on the way from the log to a watcher.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// The object came into the watch's scope: it was created, or a change made it match.
    Added(Arc<Stored>),
    /// The object changed and was, and is, in scope.
    Modified {
        /// The object now.
        now: Arc<Stored>,
        /// The object before.
        before: Before,
    },
    /// The object left the scope.
    Removed {
        /// The last state that was in scope.
        last: Arc<Stored>,
        /// The revision at which it left.
        at: Revision,
        /// Why.
        why: RemovedWhy,
    },
    /// Nothing at or below `at` is still to come.
    Bookmark {
        /// The revision.
        at: Revision,
        /// Whether this one ends the initial state.
        initial_end: bool,
    },
}

/// What is known of an object's state before a change.
#[derive(Clone, Debug)]
pub enum Before {
    /// The state before.
    Known(Arc<Stored>),
    /// Not known (a remote server does not send it).
    Unknown,
}

/// Why an object left a watch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RemovedWhy {
    /// It was deleted.
    Deleted,
    /// It no longer matches the selectors.
    LeftScope,
    /// Not known (a remote server does not say).
    Unknown,
}

/// What ends a watch.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WatchEnd {
    /// The watcher fell behind the kept history, or asked for a revision below it: list again.
    #[error("the revision is too old: {asked} ({floor})")]
    Expired {
        /// The revision the watcher stood at.
        asked: Revision,
        /// The oldest revision from which a watch can start.
        floor: Revision,
    },
    /// The server or store is shutting down, or the connection ended: watch again from the last revision.
    #[error("the watch was closed: {0}")]
    Closed(String),
}

impl WatchEvent {
    /// The object the event is about, `None` for a bookmark.
    pub fn object(&self) -> Option<&Arc<Stored>> {
        match self {
            Self::Added(now) | Self::Modified { now, .. } => Some(now),
            Self::Removed { last, .. } => Some(last),
            Self::Bookmark { .. } => None,
        }
    }

    /// The event's place in the order of changes.
    pub fn revision(&self) -> Revision {
        match self {
            Self::Added(now) | Self::Modified { now, .. } => now.revision,
            Self::Removed { at, .. } | Self::Bookmark { at, .. } => *at,
        }
    }
}
