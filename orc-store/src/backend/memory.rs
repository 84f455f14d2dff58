//! A backend that keeps everything in memory: for tests, simulations and embedders that rebuild their state at start.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use orc_core::Revision;
use parking_lot::Mutex;

use super::ring::Ring;
use super::{
    Backend, BackendError, Bounds, Expect, KeyRange, Page, RawChange, RawEvent, RawFeed, RawKey, RawPage, RawRecord,
};

/// A backend in memory. Nothing survives the process.
pub struct MemoryBackend {
    records: Mutex<Records>,
    ring: Arc<Ring>,
}

struct Records {
    map: BTreeMap<RawKey, (Bytes, Revision)>,
    last: Revision,
}

impl MemoryBackend {
    /// An empty backend. The first change has revision 2, so that no state has the revisions 0 and 1, which mean "any" and
    /// "before everything" on the wire.
    pub fn new() -> Self {
        let start = Revision(1);
        Self { records: Mutex::new(Records { map: BTreeMap::new(), last: start }), ring: Ring::new(start) }
    }
}

impl MemoryBackend {
    /// A backend that holds these records at a revision, such as those of a scan of another one.
    pub fn holding(records: impl IntoIterator<Item = RawRecord>, at: Revision) -> Self {
        let records = records.into_iter().map(|record| (record.key, (record.value, record.revision)));
        Self { records: Mutex::new(Records { map: records.collect(), last: at }), ring: Ring::new(at) }
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    async fn commit(&self, change: RawChange) -> Result<Revision, BackendError> {
        let mut records = self.records.lock();
        check(change.expect, records.map.get(&change.key).map(|(_, revision)| *revision), change.value.is_none())?;
        let revision = records.last.next();
        records.last = revision;
        let event = match change.value {
            Some(value) => {
                records.map.insert(change.key.clone(), (value.clone(), revision));
                RawEvent::Put(RawRecord { key: change.key, value, revision })
            }
            None => {
                records.map.remove(&change.key);
                RawEvent::Delete { key: change.key, revision }
            }
        };
        // Under the lock, so that events are published in the order of their revisions.
        self.ring.publish([event]);
        Ok(revision)
    }

    async fn scan(&self, range: KeyRange, at: Option<Revision>, page: Page) -> Result<RawPage, BackendError> {
        let records = self.records.lock();
        current_only(at, records.last)?;
        Ok(scan(&records.map, records.last, range, page))
    }

    async fn feed(&self, after: Revision) -> Result<RawFeed, BackendError> {
        self.ring.feed(after)
    }

    async fn bounds(&self) -> Result<Bounds, BackendError> {
        Ok(Bounds { current: self.ring.last(), compacted: self.ring.floor() })
    }
}

/// A page of a map.
pub(super) fn scan(map: &BTreeMap<RawKey, (Bytes, Revision)>, at: Revision, range: KeyRange, page: Page) -> RawPage {
    let end = range.end.map_or(Bound::Unbounded, Bound::Excluded);
    if matches!(&end, Bound::Excluded(end) if *end <= range.start) {
        return RawPage { at, ..RawPage::default() };
    }
    let mut found = map.range((Bound::Included(range.start), end));
    let record = |(key, (value, revision)): (&RawKey, &(Bytes, Revision))| RawRecord {
        key: key.clone(),
        value: value.clone(),
        revision: *revision,
    };
    let records = found.by_ref().take(page.limit.max(1)).map(record).collect();
    RawPage { records, at, next: found.next().map(|(key, _)| key.clone()) }
}

/// Whether a key's state is as expected. A key that is absent cannot be deleted, whatever was expected.
pub(super) fn check(expect: Expect, now: Option<Revision>, deletes: bool) -> Result<(), BackendError> {
    let met = match expect {
        Expect::Absent => now.is_none() && !deletes,
        Expect::At(revision) => now == Some(revision),
    };
    if met { Ok(()) } else { Err(BackendError::Unmet { now }) }
}

/// Refuses scans of earlier revisions: neither built-in backend keeps old values.
pub(super) fn current_only(at: Option<Revision>, last: Revision) -> Result<(), BackendError> {
    match at {
        Some(asked) if asked != last => Err(BackendError::Compacted { asked, floor: last }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::check_backend;

    #[tokio::test]
    async fn it_keeps_the_laws() {
        for seed in 0..20 {
            check_backend(|| async { Arc::new(MemoryBackend::new()) as Arc<dyn Backend> }, seed).await;
        }
    }
}
