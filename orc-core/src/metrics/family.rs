//! Instruments of one name, told apart by labels.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use arc_swap::ArcSwap;

/// Instruments by their labels. A look-up reads a table that is never changed in place; only the first use of new labels
/// copies the table.
///
/// The number of instruments is bounded; past the bound, all further labels share the one of `rest`.
pub struct Family<L, M> {
    table: ArcSwap<HashMap<L, Arc<M>>>,
    make: fn() -> M,
    bound: usize,
    rest: L,
}

impl<L: Hash + Eq + Clone + Ord, M> Family<L, M> {
    /// An empty family of at most `bound` instruments besides that of `rest`.
    pub fn new(make: fn() -> M, bound: usize, rest: L) -> Self {
        Self { table: ArcSwap::default(), make, bound, rest }
    }

    /// The instrument of these labels.
    pub fn of(&self, labels: &L) -> Arc<M> {
        let table = self.table.load();
        if let Some(known) = table.get(labels) {
            return known.clone();
        }
        let full = table.len() >= self.bound;
        drop(table);
        let labels = if full { &self.rest } else { labels };
        // Two first uses at once: the table that is put in place last has the other's instrument as well.
        self.table.rcu(|table| {
            let mut table = HashMap::clone(table);
            table.entry(labels.clone()).or_insert_with(|| Arc::new((self.make)()));
            table
        });
        self.table.load().get(labels).cloned().unwrap_or_else(|| Arc::new((self.make)()))
    }

    /// All instruments, by their labels' order.
    pub fn all(&self) -> Vec<(L, Arc<M>)> {
        let mut all: Vec<_> = self.table.load().iter().map(|(labels, one)| (labels.clone(), one.clone())).collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Counter;

    #[test]
    fn labels_past_the_bound_share_one() {
        let family = Family::new(Counter::default, 2, "rest");
        for labels in ["a", "b", "a", "c", "d"] {
            family.of(&labels).inc();
        }
        let counts: Vec<_> = family.all().into_iter().map(|(labels, one)| (labels, one.get())).collect();
        assert_eq!(counts, [("a", 2), ("b", 1), ("rest", 2)]);
    }

    #[test]
    fn nothing_is_lost_when_many_begin_at_once() {
        let family = Family::new(Counter::default, 100, 0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (1..50).for_each(|labels| family.of(&labels).inc()));
            }
        });
        assert!(family.all().iter().all(|(_, one)| one.get() == 4));
    }
}
