//! Sets of completion indexes, in the text form of `status.completedIndexes`: `1,3-5,7`.
//!
//! Follows `orderedIntervals` of `k8s.io/kubernetes/pkg/controller/job/indexed_job_utils.go`: sorted, disjoint, not touching.
//! Size is the number of ranges, not of indexes.

use std::fmt;

/// A set of indexes, as ranges with both ends included.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Indexes(Vec<(i32, i32)>);

impl Indexes {
    /// Reads the text form. Indexes from `completions` on are left out, and so is what is no index.
    pub(crate) fn parse(text: &str, completions: i32) -> Self {
        let mut set = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) else { continue };
            if first >= 0 && first <= last && first < completions {
                set.push(first, last.min(completions - 1));
            }
        }
        set
    }

    /// The set of indexes in any order.
    pub(crate) fn of(indexes: impl IntoIterator<Item = i32>) -> Self {
        let mut sorted: Vec<i32> = indexes.into_iter().collect();
        sorted.sort_unstable();
        let mut set = Self::default();
        for index in sorted {
            set.push(index, index);
        }
        set
    }

    /// Adds a range that begins no sooner than the last one did.
    fn push(&mut self, first: i32, last: i32) {
        match self.0.last_mut() {
            Some(end) if first <= end.1.saturating_add(1) => end.1 = end.1.max(last),
            _ => self.0.push((first, last)),
        }
    }

    /// The indexes of both.
    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut ranges: Vec<_> = self.0.iter().chain(&other.0).copied().collect();
        ranges.sort_unstable();
        let mut set = Self::default();
        for (first, last) in ranges {
            set.push(first, last);
        }
        set
    }

    /// Whether an index is in the set.
    pub(crate) fn contains(&self, index: i32) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < index);
        self.0.get(at).is_some_and(|(first, _)| *first <= index)
    }

    /// How many indexes there are.
    pub(crate) fn len(&self) -> i32 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// How many indexes are in both.
    pub(crate) fn common(&self, other: &Self) -> i32 {
        let within = |(first, last): &(i32, i32)| -> i32 {
            let overlap = |(a, b): &(i32, i32)| ((*b).min(*last) - (*a).max(*first) + 1).max(0);
            other.0.iter().map(overlap).sum()
        };
        self.0.iter().map(within).sum()
    }

    /// The lowest indexes below `end` that are not in the set, in order.
    pub(crate) fn missing(&self, end: i32) -> impl Iterator<Item = i32> + '_ {
        let starts = std::iter::once(0).chain(self.0.iter().map(|(_, last)| last + 1));
        let ends = self.0.iter().map(|(first, _)| *first).chain(std::iter::once(end));
        starts.zip(ends).flat_map(move |(from, to)| from..to.min(end))
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (first, last)) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn text_is_as_upstream() {
        assert_eq!(Indexes::of([7, 1, 3, 4, 5]).to_string(), "1,3-5,7");
        assert_eq!(Indexes::of([0, 1]).to_string(), "0,1");
        assert_eq!(Indexes::parse("0,1,3-9", 5).to_string(), "0,1,3,4");
        assert_eq!(Indexes::parse("", 5), Indexes::default());
    }

    proptest! {
        #[test]
        fn a_set_is_a_set(a in prop::collection::btree_set(0..40_i32, 0..20), b in prop::collection::btree_set(0..40_i32, 0..20)) {
            let (x, y) = (Indexes::of(a.iter().copied()), Indexes::of(b.iter().copied()));
            prop_assert_eq!(Indexes::parse(&x.to_string(), 40), x.clone());
            prop_assert_eq!(x.union(&y), Indexes::of(a.union(&b).copied()));
            prop_assert_eq!(x.common(&y) as usize, a.intersection(&b).count());
            prop_assert_eq!(x.len() as usize, a.len());
            prop_assert_eq!(x.missing(40).collect::<BTreeSet<_>>(), (0..40).filter(|i| !a.contains(i)).collect());
            prop_assert!((0..40).all(|i| x.contains(i) == a.contains(&i)));
        }
    }
}
