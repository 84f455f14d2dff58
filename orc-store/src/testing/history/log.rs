//! The true log: what happened, in order, and every state on the way.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use orc_core::Revision;

use super::revision;
use crate::backend::{Backend, BackendError, Bounds, KeyRange, RawEvent, RawKey, RawRecord};
use crate::testing::{Violation, ensure};

const ORDER: &str = "the log's revisions grow, and one change has one revision of its own";
const ABSENT: &str = "what is absent is not deleted";

/// Everything that happened after a revision, on top of the state at it.
#[derive(Clone, Debug)]
pub struct Log {
    start: Revision,
    events: Vec<RawEvent>,
    keys: BTreeMap<RawKey, Vec<(Revision, Option<Bytes>)>>,
}

impl Log {
    /// A log that starts with nothing. `events` may contain `Progress`, which is left out.
    ///
    /// # Errors
    /// When the events are no log: revisions that do not grow, deletions of what is absent. Deletions may share a revision
    /// among different keys: a backend that expires keys removes several at once.
    pub fn new(start: Revision, events: Vec<RawEvent>) -> Result<Self, Violation> {
        Self::over(start, Vec::new(), events)
    }

    /// A log on top of a state.
    ///
    /// # Errors
    /// As [`Log::new`].
    pub fn over(start: Revision, state: Vec<RawRecord>, events: Vec<RawEvent>) -> Result<Self, Violation> {
        let mut log = Self { start, events: Vec::with_capacity(events.len()), keys: BTreeMap::new() };
        for record in state {
            ensure!(record.revision <= start, ORDER, "the state at {start} holds {record:?}");
            log.keys.insert(record.key, vec![(record.revision, Some(record.value))]);
        }
        for event in events {
            log.push(event)?;
        }
        Ok(log)
    }

    fn push(&mut self, event: RawEvent) -> Result<(), Violation> {
        let (at, last) = (revision(&event), self.last());
        let (key, value) = match &event {
            RawEvent::Progress(_) => return Ok(()),
            RawEvent::Put(record) => (record.key.clone(), Some(record.value.clone())),
            RawEvent::Delete { key, .. } => (key.clone(), None),
        };
        let shared = at == last && value.is_none() && matches!(self.events.last(), Some(RawEvent::Delete { .. }));
        ensure!(at > last || shared, ORDER, "{event:?} after revision {last}");
        let versions = self.keys.entry(key).or_default();
        let present = versions.last().is_some_and(|(_, value)| value.is_some());
        ensure!(present || value.is_some(), ABSENT, "{event:?}");
        versions.push((at, value));
        self.events.push(event);
        Ok(())
    }

    /// Where it starts.
    pub fn start(&self) -> Revision {
        self.start
    }

    /// The last revision that is in it.
    pub fn last(&self) -> Revision {
        self.events.last().map_or(self.start, revision)
    }

    /// All changes.
    pub fn events(&self) -> &[RawEvent] {
        &self.events
    }

    /// The changes after a revision.
    pub fn after(&self, after: Revision) -> &[RawEvent] {
        &self.events[self.events.partition_point(|event| revision(event) <= after)..]
    }

    /// The versions of a key, oldest first; `None` is a deletion.
    pub fn versions(&self, key: &RawKey) -> &[(Revision, Option<Bytes>)] {
        self.keys.get(key).map_or(&[], Vec::as_slice)
    }

    /// The keys that ever had a value.
    pub fn keys(&self) -> impl Iterator<Item = &RawKey> {
        self.keys.keys()
    }

    /// A key's value at a revision, with the revision that wrote it.
    pub fn at(&self, key: &RawKey, at: Revision) -> Option<(Revision, &Bytes)> {
        let versions = self.versions(key);
        let (wrote, value) = versions[..versions.partition_point(|(wrote, _)| *wrote <= at)].last()?;
        value.as_ref().map(|value| (*wrote, value))
    }

    /// The records of a range at a revision, in key order.
    pub fn range<'a>(&'a self, range: &KeyRange, at: Revision) -> impl Iterator<Item = RawRecord> + 'a {
        let end = range.end.clone();
        let keys = self.keys.range(range.start.clone()..);
        let inside = keys.map(|(key, _)| key).take_while(move |key| end.as_ref().is_none_or(|end| *key < end));
        inside.filter_map(move |key| {
            let (revision, value) = self.at(key, at)?;
            Some(RawRecord { key: key.clone(), value: value.clone(), revision })
        })
    }
}

/// Reads a backend's log after a revision, up to what is current when it is called. `start` must be empty or be covered by
/// `state`.
///
/// # Errors
/// The backend's, and `Corrupt` when what it feeds is no log.
pub async fn read_log(backend: &Arc<dyn Backend>, start: Revision, state: Vec<RawRecord>) -> Result<Log, BackendError> {
    let Bounds { current, .. } = backend.bounds().await?;
    let mut events = Vec::new();
    let mut feed = backend.feed(start).await?;
    let mut seen = start;
    while seen < current {
        let ended = || BackendError::Unavailable(format!("the feed ended at {seen}, before {current}"));
        let event = feed.next().await.ok_or_else(ended)??;
        seen = seen.max(revision(&event));
        events.push(event);
    }
    Log::over(start, state, events).map_err(|violation| BackendError::Corrupt(violation.to_string()))
}
