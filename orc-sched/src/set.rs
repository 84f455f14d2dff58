//! Sets of node slots.

/// A set of node slots, as bits. Only the words between the lowest and the highest slot are held, so a set of one slot costs
/// the same in a cluster of ten nodes and of a million.
#[derive(Clone, Debug, Default)]
pub struct NodeSet {
    /// The number of the first word.
    base: usize,
    words: Vec<u64>,
    len: usize,
}

impl NodeSet {
    /// No slots.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a slot; says whether it was new.
    pub fn insert(&mut self, slot: usize) -> bool {
        let (word, bit) = (slot / 64, 1 << (slot % 64));
        if self.words.is_empty() {
            self.base = word;
        }
        if word < self.base {
            self.grow_down(word);
        }
        let at = word - self.base;
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        let new = self.words[at] & bit == 0;
        self.words[at] |= bit;
        self.len += usize::from(new);
        new
    }

    /// Makes room below, as much as is held already: a set that is filled downwards is moved a logarithmic number of times.
    fn grow_down(&mut self, word: usize) {
        let base = word.min(self.base.saturating_sub(self.words.len()));
        self.words.splice(0..0, std::iter::repeat_n(0, self.base - base));
        self.base = base;
    }

    /// Takes a slot out; says whether it was there.
    pub fn remove(&mut self, slot: usize) -> bool {
        let there = self.contains(slot);
        if there {
            self.words[slot / 64 - self.base] &= !(1 << (slot % 64));
            self.len -= 1;
        }
        there
    }

    /// Whether a slot is in the set.
    pub fn contains(&self, slot: usize) -> bool {
        let word = (slot / 64).checked_sub(self.base).and_then(|at| self.words.get(at));
        word.is_some_and(|bits| bits & (1 << (slot % 64)) != 0)
    }

    /// How many slots there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes all slots out.
    pub fn clear(&mut self) {
        self.words.clear();
        self.len = 0;
    }

    /// The slots in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let words = self.words.iter().enumerate();
        words.flat_map(move |(at, bits)| Bits(*bits).map(move |bit| (self.base + at) * 64 + bit))
    }

    /// The slots from one on, in ascending order, and then those below it.
    pub fn iter_from(&self, first: usize) -> impl Iterator<Item = usize> + '_ {
        self.iter().filter(move |slot| *slot >= first).chain(self.iter().take_while(move |slot| *slot < first))
    }

    /// The `k`-th slot in ascending order.
    pub fn nth(&self, mut k: usize) -> Option<usize> {
        for (at, bits) in self.words.iter().enumerate() {
            let here = bits.count_ones() as usize;
            if k < here {
                return Bits(*bits).nth(k).map(|bit| (self.base + at) * 64 + bit);
            }
            k -= here;
        }
        None
    }

    /// Keeps the slots for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        for at in 0..self.words.len() {
            for bit in Bits(self.words[at]) {
                if !keep((self.base + at) * 64 + bit) {
                    self.words[at] &= !(1 << bit);
                    self.len -= 1;
                }
            }
        }
    }
}

impl Extend<usize> for NodeSet {
    fn extend<I: IntoIterator<Item = usize>>(&mut self, slots: I) {
        for slot in slots {
            self.insert(slot);
        }
    }
}

impl FromIterator<usize> for NodeSet {
    fn from_iter<I: IntoIterator<Item = usize>>(slots: I) -> Self {
        let mut set = Self::new();
        set.extend(slots);
        set
    }
}

impl PartialEq for NodeSet {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl Eq for NodeSet {}

/// The set bits of a word.
pub(crate) struct Bits(pub(crate) u64);

impl Iterator for Bits {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let bit = (self.0 != 0).then(|| self.0.trailing_zeros() as usize)?;
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_like_an_ordered_set(steps in prop::collection::vec((0usize..300, any::<bool>()), 0..60)) {
            let (mut set, mut model) = (NodeSet::new(), BTreeSet::new());
            for (slot, add) in steps {
                let changed = if add { (set.insert(slot), model.insert(slot)) } else { (set.remove(slot), model.remove(&slot)) };
                prop_assert_eq!(changed.0, changed.1);
            }
            prop_assert!(set.iter().eq(model.iter().copied()));
            prop_assert_eq!(set.len(), model.len());
            for k in 0..=model.len() {
                prop_assert_eq!(set.nth(k), model.iter().nth(k).copied());
            }
            let from: Vec<_> = model.range(100..).chain(model.range(..100)).copied().collect();
            prop_assert_eq!(set.iter_from(100).collect::<Vec<_>>(), from);
            set.retain(|slot| slot % 3 == 0);
            model.retain(|slot| slot % 3 == 0);
            prop_assert!(set.iter().eq(model.iter().copied()) && set.len() == model.len());
            set.clear();
            prop_assert!(set.is_empty() && set.iter().next().is_none());
        }
    }
}
