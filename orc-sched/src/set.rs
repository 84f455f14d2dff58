//! Sets of node slots.

/// A set of node slots, as bits. Walking, clearing and counting look only at the words between the lowest and the highest
/// one that was ever set, so a set of one slot costs the same in a cluster of ten nodes and of ten thousand.
#[derive(Clone, Debug, Default)]
pub struct NodeSet {
    words: Vec<u64>,
    low: usize,
    high: usize,
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
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        if self.low == self.high {
            (self.low, self.high) = (word, word + 1);
        } else {
            (self.low, self.high) = (self.low.min(word), self.high.max(word + 1));
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.len += usize::from(new);
        new
    }

    /// Takes a slot out; says whether it was there.
    pub fn remove(&mut self, slot: usize) -> bool {
        let (word, bit) = (slot / 64, 1u64 << (slot % 64));
        let there = self.words.get(word).is_some_and(|bits| bits & bit != 0);
        if there {
            self.words[word] &= !bit;
            self.len -= 1;
        }
        there
    }

    /// Whether a slot is in the set.
    pub fn contains(&self, slot: usize) -> bool {
        self.words.get(slot / 64).is_some_and(|bits| bits & (1 << (slot % 64)) != 0)
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
        self.words[self.low..self.high].fill(0);
        (self.low, self.high, self.len) = (0, 0, 0);
    }

    /// The slots in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (self.low..self.high).flat_map(move |word| Bits(self.words[word]).map(move |bit| word * 64 + bit))
    }

    /// The `k`-th slot in ascending order.
    pub fn nth(&self, mut k: usize) -> Option<usize> {
        for word in self.low..self.high {
            let here = self.words[word].count_ones() as usize;
            if k < here {
                return Bits(self.words[word]).nth(k).map(|bit| word * 64 + bit);
            }
            k -= here;
        }
        None
    }

    /// Keeps the slots for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        for word in self.low..self.high {
            for bit in Bits(self.words[word]) {
                if !keep(word * 64 + bit) {
                    self.words[word] &= !(1 << bit);
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
struct Bits(u64);

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
            set.retain(|slot| slot % 3 == 0);
            model.retain(|slot| slot % 3 == 0);
            prop_assert!(set.iter().eq(model.iter().copied()) && set.len() == model.len());
            set.clear();
            prop_assert!(set.is_empty() && set.iter().next().is_none());
        }
    }
}
