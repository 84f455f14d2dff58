//! The true log as objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use orc_core::{ObjectKey, Revision};

use crate::backend::{RawEvent, RawKey};
use crate::client::{Scope, Selection};
use crate::store::{FieldsOf, parse_key};
use crate::stored::Stored;
use crate::testing::Violation;
use crate::testing::history::{Log, revision};

/// One object's change, with the states around it.
#[derive(Clone, PartialEq, Debug)]
pub struct Transition {
    /// When.
    pub revision: Revision,
    /// The state before, `None` when there was none.
    pub before: Option<Arc<Stored>>,
    /// The state after, `None` when there is none.
    pub after: Option<Arc<Stored>>,
}

impl Transition {
    /// The object that changed.
    pub fn key(&self) -> Option<&ObjectKey> {
        self.after.as_ref().or(self.before.as_ref()).map(|stored| &stored.key)
    }
}

/// A [`Log`] whose records are objects.
#[derive(Debug)]
pub struct Truth {
    start: Revision,
    initial: BTreeMap<ObjectKey, Arc<Stored>>,
    transitions: Vec<Transition>,
}

const OBJECTS: &str = "every record of a store's backend is an object";

impl Truth {
    /// Reads a log's records as objects. `fields` are the selectable fields, as the store was told.
    ///
    /// # Errors
    /// When a record is no object.
    pub fn of(log: &Log, fields: &FieldsOf) -> Result<Self, Violation> {
        let mut initial = BTreeMap::new();
        for key in log.keys() {
            if let Some((at, body)) = log.at(key, log.start()) {
                let stored = read(key, at, body, fields)?;
                initial.insert(stored.key.clone(), stored);
            }
        }
        let mut truth = Self { start: log.start(), initial, transitions: Vec::with_capacity(log.events().len()) };
        let mut now = truth.initial.clone();
        for event in log.events() {
            let transition = truth.transition(&mut now, event, fields)?;
            truth.transitions.push(transition);
        }
        Ok(truth)
    }

    fn transition(
        &self,
        now: &mut BTreeMap<ObjectKey, Arc<Stored>>,
        event: &RawEvent,
        fields: &FieldsOf,
    ) -> Result<Transition, Violation> {
        let (before, after) = match event {
            RawEvent::Put(record) => {
                let stored = read(&record.key, record.revision, &record.value, fields)?;
                (now.insert(stored.key.clone(), stored.clone()), Some(stored))
            }
            RawEvent::Delete { key, .. } => (now.remove(&parse(key)?), None),
            RawEvent::Progress(_) => (None, None),
        };
        Ok(Transition { revision: revision(event), before, after })
    }

    /// All changes.
    pub fn transitions(&self) -> &[Transition] {
        &self.transitions
    }

    /// The last revision.
    pub fn last(&self) -> Revision {
        self.transitions.last().map_or(self.start, |transition| transition.revision)
    }

    /// The changes after a revision.
    pub fn after(&self, after: Revision) -> &[Transition] {
        &self.transitions[self.transitions.partition_point(|transition| transition.revision <= after)..]
    }

    /// All objects at a revision.
    pub fn state(&self, at: Revision) -> BTreeMap<ObjectKey, Arc<Stored>> {
        let mut state = self.initial.clone();
        for transition in self.transitions.iter().take_while(|transition| transition.revision <= at) {
            match (&transition.after, &transition.before) {
                (Some(after), _) => drop(state.insert(after.key.clone(), after.clone())),
                (None, Some(before)) => drop(state.remove(&before.key)),
                (None, None) => {}
            }
        }
        state
    }

    /// The selected objects of a scope at a revision, in key order.
    pub fn selected(&self, scope: &Scope, select: &Selection, at: Revision) -> Vec<Arc<Stored>> {
        let state = self.state(at).into_values();
        state.filter(|stored| scope.contains(&stored.key) && select.matches(stored)).collect()
    }
}

fn parse(key: &RawKey) -> Result<ObjectKey, Violation> {
    parse_key(key).ok_or_else(|| Violation::new(OBJECTS, format!("{key:?} is no object's key")))
}

fn read(key: &RawKey, at: Revision, body: &Bytes, fields: &FieldsOf) -> Result<Arc<Stored>, Violation> {
    let key = parse(key)?;
    let paths = fields(&key.resource);
    let stored = Stored::parse(key, at, body.clone(), &paths);
    stored.map(Arc::new).map_err(|error| Violation::new(OBJECTS, error.to_string()))
}
