//! A bounded table whose entries end at a time of their own: clients that stick to an endpoint, and flows of datagrams.
//!
//! It knows no clock: every call that depends on the time is told it. When it is full, a new entry takes the place of the one
//! that would end first.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use jiff::Timestamp;

/// The table.
#[derive(Debug)]
pub struct Expiring<K, V> {
    entries: HashMap<K, Entry<V>>,
    by_end: BTreeMap<End, K>,
    bound: usize,
    made: u64,
}

/// When an entry ends. The number keeps entries apart that end at the same time, in the order that they were set.
type End = (Timestamp, u64);

#[derive(Debug)]
struct Entry<V> {
    value: V,
    end: End,
}

impl<K: Clone + Eq + Hash, V> Expiring<K, V> {
    /// An empty table for at most `bound` entries.
    ///
    /// # Panics
    /// When the bound is 0.
    pub fn new(bound: usize) -> Self {
        assert!(bound > 0, "a table has room for one entry at least");
        Self { entries: HashMap::new(), by_end: BTreeMap::new(), bound, made: 0 }
    }

    /// How many entries there are, those that have ended but were not removed yet among them.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of a key, unless it has ended.
    pub fn get(&self, key: &K, now: Timestamp) -> Option<&V> {
        self.entries.get(key).filter(|entry| entry.end.0 > now).map(|entry| &entry.value)
    }

    /// The value of a key, be it that it has ended and was not removed yet.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// Sets the value of a key and when it ends. In a full table, the entry that ends first gives way and is returned.
    pub fn insert(&mut self, key: K, value: V, end: Timestamp) -> Option<V> {
        self.remove(&key);
        let gone = (self.entries.len() >= self.bound).then(|| self.remove_first()).flatten();
        let end = self.next(end);
        self.by_end.insert(end, key.clone());
        self.entries.insert(key, Entry { value, end });
        gone
    }

    /// Sets when the entry of a key ends; does nothing when there is none.
    pub fn prolong(&mut self, key: &K, end: Timestamp) {
        let end = self.next(end);
        if let Some(entry) = self.entries.get_mut(key) {
            let before = std::mem::replace(&mut entry.end, end);
            self.by_end.remove(&before);
            self.by_end.insert(end, key.clone());
        }
    }

    /// Removes the entry of a key.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.remove(key)?;
        self.by_end.remove(&entry.end);
        Some(entry.value)
    }

    /// Removes what has ended.
    pub fn expire(&mut self, now: Timestamp) {
        while self.by_end.first_key_value().is_some_and(|((end, _), _)| *end <= now) {
            self.remove_first();
        }
    }

    /// Removes the entries that a predicate does not hold for.
    pub fn retain(&mut self, holds: impl Fn(&K, &V) -> bool) {
        let by_end = &mut self.by_end;
        self.entries.retain(|key, entry| {
            let stays = holds(key, &entry.value);
            if !stays {
                by_end.remove(&entry.end);
            }
            stays
        });
    }

    fn next(&mut self, end: Timestamp) -> End {
        self.made += 1;
        (end, self.made)
    }

    fn remove_first(&mut self) -> Option<V> {
        let (_, key) = self.by_end.pop_first()?;
        self.entries.remove(&key).map(|entry| entry.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u8, u32, i64),
        Prolong(u8, i64),
        Remove(u8),
        Expire(i64),
        Retain(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        let (key, end) = (0..12_u8, 0..40_i64);
        prop_oneof![
            (key.clone(), any::<u32>(), end.clone()).prop_map(|(key, value, end)| Step::Insert(key, value, end)),
            (key.clone(), end.clone()).prop_map(|(key, end)| Step::Prolong(key, end)),
            key.prop_map(Step::Remove),
            end.prop_map(Step::Expire),
            (2..5_u32).prop_map(Step::Retain),
        ]
    }

    /// The same, as slowly and plainly as possible: entries in the order that they were set.
    #[derive(Default)]
    struct Model(Vec<(u8, u32, i64)>);

    impl Model {
        fn set(&mut self, key: u8, value: u32, end: i64) {
            self.0.retain(|entry| entry.0 != key);
            if self.0.len() >= BOUND {
                let first = self.0.iter().enumerate().min_by_key(|(at, entry)| (entry.2, *at)).unwrap().0;
                self.0.remove(first);
            }
            self.0.push((key, value, end));
        }

        fn take(&mut self, step: &Step) {
            match *step {
                Step::Insert(key, value, end) => self.set(key, value, end),
                Step::Prolong(key, end) => {
                    if let Some(value) = self.0.iter().find(|entry| entry.0 == key).map(|entry| entry.1) {
                        self.set(key, value, end);
                    }
                }
                Step::Remove(key) => self.0.retain(|entry| entry.0 != key),
                Step::Expire(now) => self.0.retain(|entry| entry.2 > now),
                Step::Retain(of) => self.0.retain(|entry| !entry.1.is_multiple_of(of)),
            }
        }
    }

    const BOUND: usize = 6;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn take(table: &mut Expiring<u8, u32>, step: &Step) {
        match *step {
            Step::Insert(key, value, end) => drop(table.insert(key, value, at(end))),
            Step::Prolong(key, end) => table.prolong(&key, at(end)),
            Step::Remove(key) => drop(table.remove(&key)),
            Step::Expire(now) => table.expire(at(now)),
            Step::Retain(of) => table.retain(|_, value| !value.is_multiple_of(of)),
        }
    }

    proptest! {
        #[test]
        fn it_does_what_the_plain_model_does(steps in prop::collection::vec(step(), 0..200), now in 0..40_i64) {
            let (mut table, mut model) = (Expiring::new(BOUND), Model::default());
            for step in &steps {
                take(&mut table, step);
                model.take(step);
                prop_assert_eq!(table.len(), model.0.len());
                prop_assert_eq!(table.by_end.len(), table.entries.len());
                for key in 0..12 {
                    let wanted = model.0.iter().find(|entry| entry.0 == key && entry.2 > now).map(|entry| &entry.1);
                    prop_assert_eq!(table.get(&key, at(now)), wanted);
                }
            }
        }
    }

    #[test]
    fn what_ends_first_gives_way() {
        let mut table = Expiring::new(2);
        assert_eq!(table.insert("a", 1, at(30)), None);
        assert_eq!(table.insert("b", 2, at(20)), None);
        assert_eq!(table.insert("c", 3, at(40)), Some(2));
        assert_eq!((table.get(&"a", at(29)), table.get(&"a", at(30))), (Some(&1), None));
    }
}
