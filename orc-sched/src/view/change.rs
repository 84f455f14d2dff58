//! Changes of the view, kept for a while so that candidate sets catch up instead of starting over.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::facts::{Fact, FactKey};
use crate::node::NodeInfo;
use crate::pod::PodInfo;

/// The fewest changes that are kept. Behind by more, evaluating every node again costs no more than following.
const LEAST_KEPT: usize = 1024;

/// The slot of a change that happened to no node.
pub const NO_SLOT: usize = usize::MAX;

/// One change of the view.
#[derive(Clone, Debug)]
pub struct Change {
    /// The slot where it happened; [`NO_SLOT`] for a fact.
    pub slot: usize,
    /// What happened.
    pub kind: ChangeKind,
}

/// What happened in a slot.
#[derive(Clone, Debug)]
pub enum ChangeKind {
    /// The node came, went or is described differently.
    Node {
        /// The node before.
        before: Option<Arc<NodeInfo>>,
        /// The node after.
        after: Option<Arc<NodeInfo>>,
    },
    /// A pod came to the node or left it.
    Pod {
        /// The pod.
        pod: Arc<PodInfo>,
        /// The node as it was then.
        node: Arc<NodeInfo>,
        /// Whether it came.
        added: bool,
    },
    /// Something beside nodes and pods came, went or changed; with what it was.
    Fact(FactKey, Option<Arc<Fact>>),
}

impl Change {
    pub(super) fn pod(slot: usize, pod: &Arc<PodInfo>, node: &Arc<NodeInfo>, added: bool) -> Self {
        Self { slot, kind: ChangeKind::Pod { pod: pod.clone(), node: node.clone(), added } }
    }
}

/// The last changes, numbered. Bounded by the number of slots; the oldest fall out, but never while a mark is open, so that a
/// "what if" costs nobody the base to follow from.
#[derive(Debug, Default)]
pub(super) struct ChangeLog {
    kept: VecDeque<Change>,
    first: u64,
    bound: usize,
    pub(super) held: bool,
}

impl ChangeLog {
    /// Keeps enough for so many slots.
    pub(super) fn allow(&mut self, slots: usize) {
        self.bound = self.bound.max(slots).max(LEAST_KEPT);
    }

    pub(super) fn push(&mut self, change: Change) {
        self.kept.push_back(change);
        while !self.held && self.kept.len() > self.bound.max(LEAST_KEPT) {
            self.kept.pop_front();
            self.first += 1;
        }
    }

    pub(super) fn next(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    pub(super) fn since(&self, seen: u64) -> Option<impl Iterator<Item = &Change>> {
        let skip = usize::try_from(seen.checked_sub(self.first)?).ok()?;
        Some(self.kept.range(skip.min(self.kept.len())..))
    }

    /// Forgets the changes from a number on.
    pub(super) fn rewind(&mut self, to: u64) {
        let keep = to.checked_sub(self.first).and_then(|keep| usize::try_from(keep).ok());
        self.kept.truncate(keep.unwrap_or_default());
    }
}
