//! The affinity terms of pods that have a node: which of them mean a pod that is to be placed.
//!
//! Equal terms are one entry with a count, so a thousand pods of one workload cost as much as one. Terms are found by a label
//! value that they require. An entry that nobody carries any more is kept for a while: its number is part of signatures, and a
//! "what if" that takes the last carrier away must find the same number afterwards.

use std::collections::HashMap;

use orc_core::Name;

use crate::pod::{PodInfo, PodTerm};

/// The number of a term.
pub type TermId = u64;

/// How many entries without a carrier are kept.
const DEAD_KEPT: usize = 1024;

/// In which roles a term is carried.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Roles {
    /// Pods that must not be in a place with those that the term means.
    pub apart: u32,
    /// Pods that must be.
    pub required: u32,
    /// Pods that would like to be, or not to be.
    pub preferred: u32,
}

impl Roles {
    fn any(self) -> bool {
        self != Self::default()
    }
}

#[derive(Clone, Debug)]
struct Entry {
    term: PodTerm,
    roles: Roles,
}

#[derive(Clone, Debug, Default)]
pub(super) struct LiveTerms {
    ids: HashMap<PodTerm, TermId>,
    entries: HashMap<TermId, Entry>,
    /// The terms by a label and value that they require of a pod; under `None` those that require no certain one.
    index: HashMap<Option<(Name, Name)>, Vec<TermId>>,
    next: TermId,
    dead: usize,
}

impl LiveTerms {
    /// Counts the terms of a pod in (`sign` 1) or out (-1).
    pub(super) fn count(&mut self, pod: &PodInfo, sign: i32) {
        let affinity = &pod.affinity;
        if affinity.is_empty() {
            return;
        }
        affinity.apart.iter().for_each(|term| self.change(term, |roles| &mut roles.apart, sign));
        affinity.required.iter().for_each(|term| self.change(term, |roles| &mut roles.required, sign));
        affinity.preferred.iter().for_each(|(_, term)| self.change(term, |roles| &mut roles.preferred, sign));
    }

    fn change(&mut self, term: &PodTerm, role: impl Fn(&mut Roles) -> &mut u32, sign: i32) {
        let id = self.intern(term);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let before = entry.roles.any();
        let count = role(&mut entry.roles);
        *count = count.saturating_add_signed(sign);
        match (before, entry.roles.any()) {
            (true, false) => self.dead += 1,
            (false, true) => self.dead -= 1,
            _ => {}
        }
        if self.dead > DEAD_KEPT {
            self.bury();
        }
    }

    fn intern(&mut self, term: &PodTerm) -> TermId {
        if let Some(id) = self.ids.get(term) {
            return *id;
        }
        self.next += 1;
        self.dead += 1;
        self.ids.insert(term.clone(), self.next);
        self.entries.insert(self.next, Entry { term: term.clone(), roles: Roles::default() });
        self.index.entry(place(term)).or_default().push(self.next);
        self.next
    }

    /// Forgets the entries that nobody carries.
    fn bury(&mut self) {
        let entries = &mut self.entries;
        entries.retain(|_, entry| entry.roles.any());
        self.ids.retain(|_, id| entries.contains_key(id));
        self.index.retain(|_, ids| {
            ids.retain(|id| entries.contains_key(id));
            !ids.is_empty()
        });
        self.dead = 0;
    }

    /// Whether nobody carries a term.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.len() == self.dead
    }

    /// The carried terms that could mean a pod of these labels, by one of the labels; the caller asks the term itself.
    pub(super) fn candidates<'a>(&'a self, pod: &'a PodInfo) -> impl Iterator<Item = (TermId, &'a PodTerm, Roles)> {
        let by_label = pod.labels.iter().map(|(key, value)| Some((Name::new(key), Name::new(value)))).chain([None]);
        let ids = by_label.flat_map(|place| self.index.get(&place).into_iter().flatten());
        ids.filter_map(|id| self.entries.get(id).map(|entry| (*id, &entry.term, entry.roles)))
            .filter(|(_, _, roles)| roles.any())
    }

    fn meaning(&self) -> HashMap<&PodTerm, Roles> {
        let carried = self.entries.values().filter(|entry| entry.roles.any());
        carried.map(|entry| (&entry.term, entry.roles)).collect()
    }
}

impl PartialEq for LiveTerms {
    /// The same terms are carried by as many pods.
    fn eq(&self, other: &Self) -> bool {
        self.meaning() == other.meaning()
    }
}

/// Where a term is found: a label value that it requires.
fn place(term: &PodTerm) -> Option<(Name, Name)> {
    term.selector.equals().next().map(|(key, value)| (Name::new(key), Name::new(value)))
}
