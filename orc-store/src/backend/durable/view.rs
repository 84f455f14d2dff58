//! What is visible: the records in memory, the recent changes, and why writes are refused.
//!
//! The records are a persistent map, so that a long reading (a scan, a backup) takes a copy in no time and never holds the
//! writer up. A key's and a value's bytes are shared by all that hold them.

use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;
use orc_core::Revision;
use parking_lot::RwLock;

use super::Staged;
use crate::backend::ring::Ring;
use crate::backend::{KeyRange, Page, RawEvent, RawKey, RawPage, RawRecord};

/// Values and their revisions by key.
pub(super) type RecordMap = OrdMap<RawKey, (Bytes, Revision)>;

/// What is visible.
pub(super) struct View {
    records: RwLock<Records>,
    pub(super) ring: Arc<Ring>,
    failure: RwLock<Option<Failure>>,
}

/// All records at one revision.
#[derive(Clone)]
pub(super) struct Records {
    pub(super) map: RecordMap,
    pub(super) last: Revision,
}

/// Why writes are refused.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) why: String,
    /// Whether only a restart helps.
    pub(super) lasting: bool,
}

impl View {
    pub(super) fn new(map: RecordMap, last: Revision) -> Self {
        let records = RwLock::new(Records { map, last });
        Self { records, ring: Ring::new(last), failure: RwLock::new(None) }
    }

    /// All records as they are now.
    pub(super) fn records(&self) -> Records {
        self.records.read().clone()
    }

    /// Calls with the revision of any key, under one lock.
    pub(super) fn with<T>(&self, read: impl FnOnce(&dyn Fn(&RawKey) -> Option<Revision>) -> T) -> T {
        let records = self.records.read();
        read(&|key| records.map.get(key).map(|(_, revision)| *revision))
    }

    /// Makes changes visible.
    pub(super) fn show(&self, staged: &[Staged]) {
        let Some(last) = staged.last().map(|last| last.revision) else { return };
        let mut records = self.records.write();
        records.last = last;
        for one in staged {
            match &one.value {
                Some(value) => drop(records.map.insert(one.key.clone(), (value.clone(), one.revision))),
                None => drop(records.map.remove(&one.key)),
            }
        }
        // Under the lock, so that a scan and a feed that starts at its revision fit.
        self.ring.publish(staged.iter().map(event));
    }

    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure.read().clone()
    }

    /// Why writes are refused for good.
    pub(super) fn failed(&self) -> Option<String> {
        self.failure.read().as_ref().filter(|failure| failure.lasting).map(|failure| failure.why.clone())
    }

    /// Notes why writes are refused. The first lasting reason stays.
    pub(super) fn refuse(&self, failure: Failure) {
        let mut now = self.failure.write();
        if !now.as_ref().is_some_and(|now| now.lasting) {
            if now.is_none() || failure.lasting {
                tracing::error!(why = failure.why, "the store refuses writes");
            }
            *now = Some(failure);
        }
    }

    /// Notes that a reason that may pass has passed.
    pub(super) fn accept(&self) {
        let mut now = self.failure.write();
        if now.as_ref().is_some_and(|now| !now.lasting) {
            tracing::info!("the store takes writes again");
            *now = None;
        }
    }
}

fn event(staged: &Staged) -> RawEvent {
    let (key, revision) = (staged.key.clone(), staged.revision);
    match staged.value.clone() {
        Some(value) => RawEvent::Put(RawRecord { key, value, revision }),
        None => RawEvent::Delete { key, revision },
    }
}

impl Records {
    /// A page of a range.
    pub(super) fn page(&self, range: KeyRange, page: Page) -> RawPage {
        let inside = |key: &RawKey| range.end.as_ref().is_none_or(|end| key < end);
        let mut found = self.map.range(range.start.clone()..).take_while(|(key, _)| inside(key));
        let record = |(key, (value, revision)): (&RawKey, &(Bytes, Revision))| RawRecord {
            key: key.clone(),
            value: value.clone(),
            revision: *revision,
        };
        let records = found.by_ref().take(page.limit.max(1)).map(record).collect();
        RawPage { records, at: self.last, next: found.next().map(|(key, _)| key.clone()) }
    }
}
