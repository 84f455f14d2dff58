//! The laws of [`Backend`](crate::Backend), tried against a model.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use orc_core::Revision;
use orc_core::env::Rng;

use crate::backend::{
    Backend, BackendError, Durability, Expect, KeyRange, Page, RawChange, RawEvent, RawKey, RawRecord,
};

const OPERATIONS: usize = 200;
const KEYS: u64 = 12;

/// Holds an empty backend to the contract of [`Backend`](crate::Backend) by random operations from a seed.
///
/// # Panics
/// When a law is broken; the message says which.
pub async fn check_backend<F, Fut>(make: F, seed: u64)
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Arc<dyn Backend>>,
{
    let backend = make().await;
    let start = backend.bounds().await.expect("bounds of a new backend").current;
    let mut laws = Laws { backend, rng: Rng::seeded(seed), model: BTreeMap::new(), log: Vec::new(), last: start };
    for _ in 0..OPERATIONS {
        laws.operate().await;
    }
    laws.scans_show_the_model().await;
    laws.scans_are_ranges_in_pages().await;
    laws.feeds_give_what_follows(start).await;
    laws.the_past_is_refused(start).await;
}

struct Laws {
    backend: Arc<dyn Backend>,
    rng: Rng,
    model: BTreeMap<RawKey, (Bytes, Revision)>,
    log: Vec<RawEvent>,
    last: Revision,
}

impl Laws {
    async fn operate(&mut self) {
        let key = Bytes::from(format!("/things/n{}/{}", self.rng.below(3), self.rng.below(KEYS)));
        let now = self.model.get(&key).map(|(_, revision)| *revision);
        let right = self.rng.below(10) < 7;
        let expect = match (now, right) {
            (Some(at), true) => Expect::At(at),
            (None, true) | (Some(_), false) => Expect::Absent,
            (None, false) => Expect::At(self.last),
        };
        let value = (self.rng.below(4) > 0).then(|| Bytes::from(format!("value {}", self.rng.next())));
        let durability = if self.rng.below(2) == 0 { Durability::Durable } else { Durability::Relaxed };
        let met = match expect {
            Expect::Absent => now.is_none() && value.is_some(),
            Expect::At(at) => now == Some(at),
        };
        let change = RawChange { key: key.clone(), value: value.clone(), expect, durability };
        match self.backend.commit(change).await {
            Ok(revision) => {
                assert!(met, "a change of {key:?} happened although {expect:?} does not hold");
                assert!(revision > self.last, "revisions grow: {revision} after {}", self.last);
                self.note(key, value, revision);
            }
            Err(BackendError::Unmet { now: told }) => {
                assert!(!met, "a change of {key:?} was refused although {expect:?} holds");
                assert_eq!(told, now, "a refusal tells the key's present revision");
            }
            Err(error) => panic!("a commit failed: {error}"),
        }
    }

    fn note(&mut self, key: RawKey, value: Option<Bytes>, revision: Revision) {
        self.last = revision;
        self.log.push(match value {
            Some(value) => {
                self.model.insert(key.clone(), (value.clone(), revision));
                RawEvent::Put(RawRecord { key, value, revision })
            }
            None => {
                self.model.remove(&key);
                RawEvent::Delete { key, revision }
            }
        });
    }

    fn expected(&self, range: &KeyRange) -> Vec<RawRecord> {
        let inside = |key: &RawKey| *key >= range.start && range.end.as_ref().is_none_or(|end| key < end);
        let records = self.model.iter().filter(|(key, _)| inside(key));
        records.map(|(key, (value, at))| RawRecord { key: key.clone(), value: value.clone(), revision: *at }).collect()
    }

    async fn scans_show_the_model(&self) {
        let page = self.backend.scan(KeyRange::all(), None, Page { limit: usize::MAX }).await.expect("a scan");
        assert_eq!(page.records, self.expected(&KeyRange::all()), "a scan shows what was acknowledged");
        assert!(page.at >= self.last, "a scan is of now");
        assert_eq!(page.next, None);
        let bounds = self.backend.bounds().await.expect("bounds");
        assert!(bounds.current >= self.last, "the bounds are of now");
        let same = self.backend.scan(KeyRange::all(), Some(page.at), Page { limit: usize::MAX }).await;
        assert_eq!(same.expect("a scan at the present revision"), page);
    }

    async fn scans_are_ranges_in_pages(&self) {
        for limit in [1, 3] {
            let mut range = KeyRange { start: Bytes::from("/things/n1/"), end: Some(Bytes::from("/things/n2/5")) };
            let expected = self.expected(&range);
            let mut found = Vec::new();
            loop {
                let page = self.backend.scan(range.clone(), None, Page { limit }).await.expect("a page");
                assert!(page.records.len() <= limit, "a page is not longer than asked");
                found.extend(page.records);
                let Some(next) = page.next else { break };
                range.start = next;
            }
            assert_eq!(found, expected, "pages of {limit} add up to the range");
        }
    }

    async fn feeds_give_what_follows(&self, start: Revision) {
        let middle = self.log.len() / 2;
        let between = self.log.get(middle).map_or(start, revision);
        for after in [start, between] {
            let expected: Vec<&RawEvent> = self.log.iter().filter(|event| revision(event) > after).collect();
            let mut feed = self.backend.feed(after).await.expect("a feed");
            let mut found = Vec::new();
            while found.len() < expected.len() {
                match feed.next().await.expect("a feed does not end").expect("a feed does not fail") {
                    RawEvent::Progress(_) => {}
                    event => found.push(event),
                }
            }
            assert_eq!(
                found.iter().collect::<Vec<_>>(),
                expected,
                "a feed after {after} gives each change once, in order"
            );
        }
    }

    async fn the_past_is_refused(&self, start: Revision) {
        let floor = self.backend.bounds().await.expect("bounds").compacted;
        assert!(floor <= self.last && floor >= start, "the floor is between the start and now");
        if floor > Revision::ZERO {
            let old = self.backend.feed(Revision(floor.0 - 1)).await;
            assert!(matches!(old, Err(BackendError::Compacted { .. })), "a feed below the floor is refused");
        }
    }
}

fn revision(event: &RawEvent) -> Revision {
    match event {
        RawEvent::Put(record) => record.revision,
        RawEvent::Delete { revision, .. } | RawEvent::Progress(revision) => *revision,
    }
}
