//! The way back: inverses of changes, written while a mark is open.

use std::sync::Arc;

use orc_core::Name;

use super::{Nominated, Placed, View};
use crate::facts::{Fact, FactKey};
use crate::node::NodeInfo;

/// A state to go back to. Marks nest: the last one taken is the first to be undone or kept.
#[derive(Debug)]
#[must_use = "a mark must be undone or kept, or the journal grows"]
pub struct Mark {
    at: usize,
    depth: usize,
}

#[derive(Debug)]
enum Step {
    Pushed,
    Node(usize, Option<Arc<NodeInfo>>),
    Pod(Name, Option<Placed>),
    Nominated(Name, Option<Nominated>),
    Fact(FactKey, Option<Arc<Fact>>),
}

#[derive(Debug, Default)]
pub(super) struct Journal {
    steps: Vec<Step>,
    depth: usize,
}

impl Journal {
    pub(super) fn pushed(&mut self) {
        self.write(|| Step::Pushed);
    }

    pub(super) fn node(&mut self, slot: usize, before: Option<Arc<NodeInfo>>) {
        self.write(|| Step::Node(slot, before));
    }

    pub(super) fn pod(&mut self, uid: Name, before: Option<&Placed>) {
        self.write(|| Step::Pod(uid, before.cloned()));
    }

    pub(super) fn nominated(&mut self, uid: Name, before: Option<&Nominated>) {
        self.write(|| Step::Nominated(uid, before.cloned()));
    }

    pub(super) fn fact(&mut self, key: &FactKey, before: Option<&Arc<Fact>>) {
        self.write(|| Step::Fact(key.clone(), before.cloned()));
    }

    fn write(&mut self, step: impl FnOnce() -> Step) {
        if self.depth > 0 {
            self.steps.push(step());
        }
    }
}

impl View {
    /// Remembers the present state.
    pub(crate) fn mark(&mut self) -> Mark {
        self.journal.depth += 1;
        self.log.held = true;
        Mark { at: self.journal.steps.len(), depth: self.journal.depth }
    }

    /// Goes back to a mark.
    ///
    /// # Panics
    /// When a mark taken later is still open, which is a programmer's error.
    pub(crate) fn undo(&mut self, mark: Mark) {
        self.check(&mark);
        let steps = self.journal.steps.split_off(mark.at);
        // The way back is not journaled: an outer mark must see neither the steps nor their inverses.
        self.journal.depth = 0;
        for step in steps.into_iter().rev() {
            match step {
                Step::Pushed => self.pop_slot(),
                Step::Node(slot, before) => self.swap_node(slot, before),
                Step::Pod(uid, before) => drop(self.swap_pod(uid, before)),
                Step::Nominated(uid, before) => drop(self.swap_nominated(uid, before)),
                Step::Fact(key, before) => drop(self.swap_fact(&key, before)),
            }
        }
        self.journal.depth = mark.depth - 1;
        self.log.held = self.journal.depth > 0;
    }

    /// Closes a mark and keeps what was done since.
    ///
    /// # Panics
    /// As [`View::undo`].
    pub(crate) fn keep(&mut self, mark: Mark) {
        self.check(&mark);
        self.journal.depth = mark.depth - 1;
        self.log.held = self.journal.depth > 0;
        if self.journal.depth == 0 {
            self.journal.steps.clear();
        }
    }

    fn check(&self, mark: &Mark) {
        assert_eq!(mark.depth, self.journal.depth, "marks are closed in the reverse order of being taken");
    }
}
