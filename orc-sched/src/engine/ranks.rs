//! Feasible nodes by score.

use std::collections::BTreeMap;

use crate::plugin::{MAX_SCORE, Normal};
use crate::set::NodeSet;

/// The slots of feasible nodes by their score: the best ones and the k-th among them without looking at the rest.
#[derive(Debug, Default)]
pub(super) struct Ranks(BTreeMap<i64, NodeSet>);

impl Ranks {
    pub(super) fn insert(&mut self, slot: usize, score: i64) {
        self.0.entry(score).or_default().insert(slot);
    }

    pub(super) fn remove(&mut self, slot: usize, score: i64) {
        let Some(slots) = self.0.get_mut(&score) else { return };
        slots.remove(slot);
        if slots.is_empty() {
            self.0.remove(&score);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The highest score that has slots outside `barred`, with those slots.
    pub(super) fn best(&self, barred: &NodeSet) -> Option<(i64, std::borrow::Cow<'_, NodeSet>)> {
        use std::borrow::Cow;
        self.0.iter().rev().find_map(|(score, slots)| {
            if barred.is_empty() {
                return Some((*score, Cow::Borrowed(slots)));
            }
            let mut open = slots.clone();
            open.retain(|slot| !barred.contains(slot));
            (!open.is_empty()).then_some((*score, Cow::Owned(open)))
        })
    }
}

/// The raw scores of the feasible nodes, counted, to know the lowest and the highest.
#[derive(Debug, Default)]
pub(super) struct Spread(BTreeMap<i64, u32>);

impl Spread {
    pub(super) fn add(&mut self, raw: i64) {
        *self.0.entry(raw).or_default() += 1;
    }

    pub(super) fn remove(&mut self, raw: i64) {
        if let Some(count) = self.0.get_mut(&raw) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&raw);
            }
        }
    }

    /// The lowest and the highest.
    pub(super) fn bounds(&self) -> (i64, i64) {
        let low = self.0.keys().next().copied().unwrap_or_default();
        (low, self.0.keys().next_back().copied().unwrap_or_default())
    }
}

/// The score of a raw score within bounds.
pub(super) fn normalized(normal: Normal, raw: i64, (low, high): (i64, i64)) -> i64 {
    match normal {
        Normal::None | Normal::Whole => raw,
        // A reversed score of nothing but zeros is the best for all.
        Normal::Max { reverse } if high == 0 => {
            if reverse {
                MAX_SCORE
            } else {
                raw
            }
        }
        Normal::Max { reverse } => {
            let share = MAX_SCORE * raw / high;
            if reverse { MAX_SCORE - share } else { share }
        }
        Normal::MinMax if high == low => 0,
        Normal::MinMax => MAX_SCORE * (raw - low) / (high - low),
    }
}
