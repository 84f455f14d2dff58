//! What watchers of a resource wait for, so that a change wakes only those it may concern.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use orc_core::{Name, ObjectKey};

use super::history::Change;
use crate::client::{Scope, Selection};
use crate::signal::{Listener, Signal};
use crate::stored::Stored;

/// The narrowest thing that covers a watch.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum TopicKey {
    All,
    Namespace(Name),
    /// Objects of one name, in one namespace or (`None`) in any.
    Named(Option<Name>, Name),
    /// Objects with this value in this selectable field.
    Field(Name, Name),
    /// Objects of one namespace or (`None`) of any with this label.
    Label(Option<Name>, Name, Name),
}

impl TopicKey {
    pub(crate) fn of(scope: &Scope, select: &Selection) -> Self {
        if let Some(name) = select.fields.exact("metadata.name") {
            return Self::Named(scope.namespace.clone(), Name::new(name));
        }
        let declared = select.fields.requirements().iter().find(|r| r.equals && !r.field.starts_with("metadata."));
        if let Some(field) = declared {
            return Self::Field(Name::new(&field.field), Name::new(&field.value));
        }
        if let Some((label, value)) = select.labels.equals().next() {
            return Self::Label(scope.namespace.clone(), Name::shared(label), Name::shared(value));
        }
        match &scope.namespace {
            Some(namespace) => Self::Namespace(namespace.clone()),
            None => Self::All,
        }
    }
}

/// One topic while it has watchers: the numbers of the changes that touch it.
#[derive(Debug)]
pub(crate) struct Topic {
    wake: Arc<Signal>,
    /// The number from which `numbers` is complete.
    pub(crate) since: u64,
    /// Behind the greatest number that fell off.
    lost: u64,
    numbers: VecDeque<u64>,
    watchers: usize,
}

impl Topic {
    /// The touching changes from a number on; `None` when some of them fell off.
    pub(crate) fn from(&self, next: u64, first: u64) -> Option<impl Iterator<Item = u64> + '_> {
        let start = self.numbers.partition_point(|number| *number < next);
        let gone = self.numbers.get(start).is_some_and(|number| *number < first);
        (next >= self.lost && !gone).then(|| self.numbers.range(start..).copied())
    }
}

/// Counts what topics are about, so that a change is looked at only for that.
#[derive(Debug, Default)]
struct Uses(BTreeMap<Name, usize>);

impl Uses {
    fn add(&mut self, of: &Name) {
        *self.0.entry(of.clone()).or_default() += 1;
    }

    fn remove(&mut self, of: &Name) {
        if let Some(count) = self.0.get_mut(of) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(of);
            }
        }
    }
}

/// The topics of a resource.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    topics: BTreeMap<TopicKey, Topic>,
    /// How many `Field` topics there are for each path, and `Label` topics for each key.
    paths: Uses,
    labels: Uses,
}

impl Topics {
    /// Adds a watcher. `end` is the number of the next change.
    pub(crate) fn join(&mut self, key: &TopicKey, end: u64) -> Listener {
        let topic = self.topics.entry(key.clone()).or_insert_with(|| {
            match key {
                TopicKey::Field(path, _) => self.paths.add(path),
                TopicKey::Label(_, label, _) => self.labels.add(label),
                TopicKey::All | TopicKey::Namespace(_) | TopicKey::Named(..) => {}
            }
            Topic { wake: Arc::default(), since: end, lost: end, numbers: VecDeque::new(), watchers: 0 }
        });
        topic.watchers += 1;
        topic.wake.listen()
    }

    /// Takes a watcher away.
    pub(crate) fn leave(&mut self, key: &TopicKey) {
        let Some(topic) = self.topics.get_mut(key) else { return };
        topic.watchers -= 1;
        if topic.watchers > 0 {
            return;
        }
        self.topics.remove(key);
        match key {
            TopicKey::Field(path, _) => self.paths.remove(path),
            TopicKey::Label(_, label, _) => self.labels.remove(label),
            TopicKey::All | TopicKey::Namespace(_) | TopicKey::Named(..) => {}
        }
    }

    pub(crate) fn get(&self, key: &TopicKey) -> Option<&Topic> {
        self.topics.get(key)
    }

    /// Notes a change under its number; numbers below `first` are gone. Returns whom to wake.
    pub(crate) fn note(&mut self, change: &Change, number: u64, first: u64) -> Vec<Arc<Signal>> {
        let touched = self.touched(change);
        let mut wake = Vec::with_capacity(touched.len());
        for key in touched {
            let Some(topic) = self.topics.get_mut(&key) else { continue };
            while topic.numbers.front().is_some_and(|number| *number < first) {
                topic.lost = topic.numbers.pop_front().map_or(topic.lost, |number| number + 1);
            }
            if key != TopicKey::All {
                topic.numbers.push_back(number);
            }
            wake.push(topic.wake.clone());
        }
        wake
    }

    /// Everybody, because the history was reset.
    pub(crate) fn everybody(&mut self, end: u64) -> Vec<Arc<Signal>> {
        let reset = |topic: &mut Topic| {
            topic.numbers.clear();
            (topic.lost, topic.since) = (end, end);
            topic.wake.clone()
        };
        self.topics.values_mut().map(reset).collect()
    }

    fn touched(&self, change: &Change) -> Vec<TopicKey> {
        let key: &ObjectKey = change.key();
        let mut touched = vec![TopicKey::All, TopicKey::Named(None, key.name.clone())];
        if let Some(namespace) = &key.namespace {
            touched.push(TopicKey::Named(Some(namespace.clone()), key.name.clone()));
            touched.push(TopicKey::Namespace(namespace.clone()));
        }
        for path in self.paths.0.keys() {
            let value = |stored: &Option<Arc<Stored>>| stored.as_ref().map(|s| Name::new(s.head.field(path)));
            let (before, after) = (value(&change.before), value(&change.after));
            if before != after {
                touched.extend(before.map(|value| TopicKey::Field(path.clone(), value)));
            }
            touched.extend(after.map(|value| TopicKey::Field(path.clone(), value)));
        }
        for label in self.labels.0.keys() {
            let value = |stored: &Option<Arc<Stored>>| stored.as_ref()?.head.labels.get(label).map(Name::shared);
            let (before, after) = (value(&change.before), value(&change.after));
            let gone = before.filter(|before| Some(before) != after.as_ref());
            for value in gone.into_iter().chain(after) {
                let in_namespace = key.namespace.clone().map(|namespace| (Some(namespace), value.clone()));
                let topics = in_namespace.into_iter().chain([(None, value)]);
                touched.extend(topics.map(|(namespace, value)| TopicKey::Label(namespace, label.clone(), value)));
            }
        }
        touched
    }
}
