//! One resource: present objects, history and topics. Pure; the driver applies changes, readers take snapshots.

use std::sync::Arc;

use imbl::OrdMap;
use orc_core::Revision;

use super::history::{Change, History};
use super::place::Place;
use super::topic::{TopicKey, Topics};
use crate::signal::Signal;
use crate::stored::Stored;

/// The objects of a resource: a persistent map, so that a snapshot costs nothing and never blocks the writer.
pub(crate) type Objects = OrdMap<Place, Arc<Stored>>;

/// Whom to wake once the shard is unlocked.
pub(crate) type Wake = Vec<Arc<Signal>>;

/// The state of one resource.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) objects: Objects,
    pub(crate) history: History,
    pub(crate) topics: Topics,
    /// The last change applied here.
    pub(crate) last: Revision,
}

impl Shard {
    pub(crate) fn new(objects: Objects, history: History, last: Revision) -> Self {
        Self { objects, history, topics: Topics::default(), last }
    }

    /// Applies a change: `after` is the new state, `None` a deletion of `place`.
    pub(crate) fn apply(&mut self, place: Place, revision: Revision, after: Option<Arc<Stored>>) -> Wake {
        if revision <= self.last {
            return Wake::new();
        }
        self.last = revision;
        self.put(place, revision, after)
    }

    /// Applies deletions that share a revision. All at once: nobody may see a part of a revision, since a watch from it would
    /// never be told the rest.
    pub(crate) fn remove_all(&mut self, places: Vec<Place>, revision: Revision) -> Wake {
        if revision <= self.last {
            return Wake::new();
        }
        self.last = revision;
        places.into_iter().flat_map(|place| self.put(place, revision, None)).collect()
    }

    fn put(&mut self, place: Place, revision: Revision, after: Option<Arc<Stored>>) -> Wake {
        let before = match &after {
            Some(stored) => self.objects.insert(place, stored.clone()),
            None => self.objects.remove(&place),
        };
        if before.is_none() && after.is_none() {
            return Wake::new();
        }
        let change = Arc::new(Change { revision, before, after });
        let number = self.history.push(change.clone());
        self.topics.note(&change, number, self.history.first())
    }

    /// Puts another state in the place of this one, of which the way there is not known: every watcher has to list again.
    pub(crate) fn reset(&mut self, objects: Objects, at: Revision) -> Wake {
        self.objects = objects;
        self.last = self.last.max(at);
        self.history.reset(self.last);
        self.topics.everybody(self.history.end())
    }

    /// The objects as they were at a revision; `None` below the floor.
    pub(crate) fn at(&self, revision: Revision) -> Option<Objects> {
        if revision < self.history.floor() {
            return None;
        }
        let mut objects = self.objects.clone();
        for change in self.history.newest_down_to(revision) {
            let place = Place::of(change.key());
            match &change.before {
                Some(before) => objects.insert(place, before.clone()),
                None => objects.remove(&place),
            };
        }
        Some(objects)
    }

    /// One object as it was at a revision; the outer `None` is below the floor.
    pub(crate) fn object_at(&self, place: &Place, revision: Revision) -> Option<Option<Arc<Stored>>> {
        if revision < self.history.floor() {
            return None;
        }
        let earlier = self.history.newest_down_to(revision).filter(|change| Place::of(change.key()) == *place).last();
        Some(match earlier {
            Some(change) => change.before.clone(),
            None => self.objects.get(place).cloned(),
        })
    }

    /// Up to `limit` changes of a topic from the number `next` on, and the number to go on from; `None` when some fell off.
    pub(crate) fn read(&self, key: &TopicKey, next: u64, limit: usize) -> Option<(Vec<Arc<Change>>, u64)> {
        let (first, end) = (self.history.first(), self.history.end());
        let topic = self.topics.get(key)?;
        let plain = *key == TopicKey::All || next < topic.since;
        let numbers: Vec<u64> = if plain {
            if next < first {
                return None;
            }
            let stop = if *key == TopicKey::All { end } else { topic.since };
            (next..stop).take(limit).collect()
        } else {
            topic.from(next, first)?.take(limit).collect()
        };
        let on = match numbers.last() {
            Some(last) if numbers.len() == limit || plain => last + 1,
            _ => end,
        };
        Some((numbers.iter().filter_map(|number| self.history.get(*number).cloned()).collect(), on))
    }
}

#[cfg(test)]
mod tests {
    use orc_core::{Head, ObjectKey, ResourceId};
    use proptest::prelude::*;

    use super::*;

    fn stored(name: &str, revision: u64) -> Arc<Stored> {
        let key = ObjectKey::namespaced(ResourceId::new("", "pods"), "d", name);
        Arc::new(Stored::new(key, Revision(revision), Head::default(), format!("{name}{revision}").into()))
    }

    #[test]
    fn deletions_of_one_revision_are_one_change() {
        let mut shard = Shard::new(Objects::new(), History::new(Revision(0), 9, usize::MAX), Revision(0));
        let places: Vec<Place> = (1..=3).map(|n| Place::of(&stored(&n.to_string(), n).key)).collect();
        for (n, place) in (1..=3).zip(&places) {
            shard.apply(place.clone(), Revision(n), Some(stored(&n.to_string(), n)));
        }
        shard.remove_all(places[..2].to_vec(), Revision(4));
        assert_eq!((shard.objects.len(), shard.last), (1, Revision(4)));
        assert_eq!(shard.at(Revision(3)).map(|then| then.len()), Some(3), "before it all were there");
        assert_eq!(shard.history.end() - shard.history.number_after(Revision(3)), 2, "each is told");
        assert!(shard.remove_all(places, Revision(4)).is_empty(), "a revision is applied once");
        assert_eq!(shard.objects.len(), 1);
    }

    proptest! {
        /// Every earlier state within the history is found again by undoing changes.
        #[test]
        fn earlier_states_are_found_again(ops in proptest::collection::vec((0u8..4, any::<bool>()), 1..60), keep in 1usize..40) {
            let mut shard = Shard::new(Objects::new(), History::new(Revision(0), keep, usize::MAX), Revision(0));
            let mut states = vec![Objects::new()];
            for (at, (name, put)) in ops.into_iter().enumerate() {
                let (revision, one) = (at as u64 + 1, stored(&name.to_string(), at as u64 + 1));
                shard.apply(Place::of(&one.key), Revision(revision), put.then_some(one));
                states.push(shard.objects.clone());
            }
            for (revision, state) in states.iter().enumerate() {
                let revision = Revision(revision as u64);
                match shard.at(revision) {
                    Some(found) => prop_assert_eq!(&found, state),
                    None => prop_assert!(revision < shard.history.floor()),
                }
                for name in 0..4 {
                    let place = Place::of(&stored(&name.to_string(), 1).key);
                    if let Some(found) = shard.object_at(&place, revision) {
                        prop_assert_eq!(found.as_ref(), state.get(&place));
                    }
                }
            }
        }
    }
}
