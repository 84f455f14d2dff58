//! Slots by score: the k-th of those with one score without walking them.

use std::collections::BTreeMap;

use crate::plugin::{IGNORED, MAX_SCORE, Normal};
use crate::set::{Bits, NodeSet};

/// Slots of a chunk.
const CHUNK: usize = 4096;

/// A set of slots with order statistics. A chunk of 4,096 slots is held only where there are slots, and its number is kept
/// beside it: among half a million slots the k-th is found by adding up 122 numbers and the bits of one chunk.
#[derive(Debug, Default)]
pub(super) struct RankSet {
    lens: Vec<u32>,
    chunks: Vec<Option<Box<[u64; CHUNK / 64]>>>,
    len: usize,
}

impl RankSet {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn insert(&mut self, slot: usize) {
        let (chunk, word, bit) = place(slot);
        if chunk >= self.lens.len() {
            self.lens.resize(chunk + 1, 0);
            self.chunks.resize_with(chunk + 1, || None);
        }
        let words = self.chunks[chunk].get_or_insert_with(|| Box::new([0; CHUNK / 64]));
        debug_assert_eq!(words[word] & bit, 0, "a slot has one score");
        words[word] |= bit;
        self.lens[chunk] += 1;
        self.len += 1;
    }

    fn remove(&mut self, slot: usize) {
        let (chunk, word, bit) = place(slot);
        let Some(Some(words)) = self.chunks.get_mut(chunk) else { return };
        words[word] &= !bit;
        self.lens[chunk] -= 1;
        self.len -= 1;
        if self.lens[chunk] == 0 {
            self.chunks[chunk] = None;
        }
    }

    pub(super) fn contains(&self, slot: usize) -> bool {
        let (chunk, word, bit) = place(slot);
        self.chunks.get(chunk).and_then(Option::as_ref).is_some_and(|words| words[word] & bit != 0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let held = self.chunks.iter().enumerate().filter_map(|(at, chunk)| Some((at, chunk.as_ref()?)));
        held.flat_map(|(at, chunk)| {
            let words = chunk.iter().enumerate();
            words.flat_map(move |(word, bits)| Bits(*bits).map(move |bit| at * CHUNK + word * 64 + bit))
        })
    }

    fn below(&self, slot: usize) -> usize {
        let (chunk, word, bit) = place(slot);
        let before: u32 = self.lens.iter().take(chunk).sum();
        let inside = self.chunks.get(chunk).and_then(Option::as_ref).map_or(0, |words| {
            words[..word].iter().map(|word| word.count_ones()).sum::<u32>() + (words[word] & (bit - 1)).count_ones()
        });
        (before + inside) as usize
    }
}

fn place(slot: usize) -> (usize, usize, u64) {
    (slot / CHUNK, slot % CHUNK / 64, 1 << (slot % 64))
}

/// The `k`-th slot in ascending order of sets that have no slot in common, those of `barred` passed over.
pub(super) fn nth(sets: &[&RankSet], barred: &NodeSet, mut k: usize) -> Option<usize> {
    // Each passed-over slot before the wanted one moves it up by one.
    for slot in barred.iter().filter(|slot| sets.iter().any(|set| set.contains(*slot))) {
        let before: usize = sets.iter().map(|set| set.below(slot)).sum();
        k += usize::from(before <= k);
    }
    let chunks = sets.iter().map(|set| set.lens.len()).max().unwrap_or(0);
    for chunk in 0..chunks {
        let here: u32 = sets.iter().filter_map(|set| set.lens.get(chunk)).sum();
        if k < here as usize {
            return within(sets, chunk, k).map(|at| chunk * CHUNK + at);
        }
        k -= here as usize;
    }
    None
}

fn within(sets: &[&RankSet], chunk: usize, mut k: usize) -> Option<usize> {
    for word in 0..CHUNK / 64 {
        let held = sets.iter().filter_map(|set| set.chunks.get(chunk).and_then(Option::as_ref));
        let bits = held.fold(0, |bits, words| bits | words[word]);
        let here = bits.count_ones() as usize;
        if k < here {
            return Bits(bits).nth(k).map(|bit| word * 64 + bit);
        }
        k -= here;
    }
    None
}

/// Slots by a score.
#[derive(Debug, Default)]
pub(super) struct Ranks(BTreeMap<i64, RankSet>);

impl Ranks {
    pub(super) fn insert(&mut self, slot: usize, score: i64) {
        self.0.entry(score).or_default().insert(slot);
    }

    pub(super) fn remove(&mut self, slot: usize, score: i64) {
        let Some(slots) = self.0.get_mut(&score) else { return };
        slots.remove(slot);
        if slots.len == 0 {
            self.0.remove(&score);
        }
    }

    /// The highest score that has slots outside `barred`, with all slots of that score and how many of them are outside.
    pub(super) fn best(&self, barred: &NodeSet) -> Option<(i64, &RankSet, usize)> {
        self.0.iter().rev().find_map(|(score, slots)| {
            let open = slots.len() - barred.iter().filter(|slot| slots.contains(*slot)).count();
            (open > 0).then_some((*score, slots, open))
        })
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = (i64, usize)> + '_ {
        self.0.iter().flat_map(|(score, slots)| slots.iter().map(move |slot| (*score, slot)))
    }
}

/// The lowest and the highest raw score; zeros when there is none.
pub(super) fn bounds(raws: impl Iterator<Item = i64>) -> (i64, i64) {
    let wide = raws.filter(|raw| *raw != IGNORED).fold(None, |seen: Option<(i64, i64)>, raw| {
        Some(seen.map_or((raw, raw), |(low, high)| (low.min(raw), high.max(raw))))
    });
    wide.unwrap_or_default()
}

/// The score of a raw score within bounds.
pub(super) fn normalized(normal: Normal, raw: i64, (low, high): (i64, i64)) -> i64 {
    match normal {
        _ if raw == IGNORED => 0,
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
        // Kubernetes divides before it multiplies, in floating point; 29 of 100 is 28.
        Normal::MinMax => (MAX_SCORE as f64 * ((raw - low) as f64 / (high - low) as f64)) as i64,
        Normal::Mirror if high == 0 => MAX_SCORE,
        Normal::Mirror => MAX_SCORE * (high + low - raw) / high,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn the_kth_of_several_sets(slots in prop::collection::btree_map(0usize..20_000, 0usize..3, 0..80),
                                   barred in prop::collection::btree_set(0usize..20_000, 0..5), gone in 0usize..20) {
            let mut sets: [RankSet; 3] = Default::default();
            slots.iter().for_each(|(slot, set)| sets[*set].insert(*slot));
            let some: BTreeSet<usize> = slots.keys().copied().step_by(3).collect();
            let left: Vec<usize> = slots.keys().copied().enumerate().filter(|(at, _)| at % 20 != gone).map(|(_, slot)| slot).collect();
            slots.iter().enumerate().filter(|(at, _)| at % 20 == gone).for_each(|(_, (slot, set))| sets[*set].remove(*slot));
            let barred: NodeSet = barred.into_iter().chain(some).collect();
            let open: Vec<usize> = left.into_iter().filter(|slot| !barred.contains(*slot)).collect();
            let sets: Vec<&RankSet> = sets.iter().collect();
            for k in 0..=open.len() {
                prop_assert_eq!(nth(&sets, &barred, k), open.get(k).copied());
            }
            prop_assert_eq!(sets.iter().map(|set| set.iter().count()).sum::<usize>(), sets.iter().map(|set| set.len()).sum::<usize>());
        }
    }
}
