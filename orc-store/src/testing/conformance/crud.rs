//! One caller at a time, against a model.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use orc_core::Revision;
use orc_core::env::Rng;

use super::Conformance;
use crate::backend::{
    Backend, BackendError, Durability, Expect, KeyRange, Page, RawChange, RawEvent, RawKey, RawRecord,
};
use crate::testing::history::{Log, change, revision};
use crate::testing::{Violation, ensure};

const KEYS: u64 = 12;

const EXPECTED: &str = "a change happens exactly when its expectation holds";
const UNMET: &str = "a refusal tells the key's present revision";
const GROW: &str = "revisions grow strictly";
const NOW: &str = "a scan shows what was acknowledged";
const PAGES: &str = "pages of a range add up to it";
const FEED: &str = "a feed gives each change after its start once, in order";
const PAST: &str = "a feed below the floor is refused";

/// Holds an empty backend to the contract of [`Backend`](crate::Backend) by random operations of one caller.
/// [`Conformance`] tries this and much more.
///
/// # Panics
/// When a law is broken; the message says which.
pub async fn check_backend<F, Fut>(make: F, seed: u64)
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Arc<dyn Backend>>,
{
    if let Err(violation) = try_all(make().await, seed, 200).await {
        panic!("the backend breaks a law (seed {seed})\n  {violation}");
    }
}

pub(super) async fn check(kit: &Conformance) -> Result<(), Violation> {
    kit.expect("the end of a caller's operations", try_all((kit.make)().await, kit.seed, kit.operations)).await?
}

async fn try_all(backend: Arc<dyn Backend>, seed: u64, operations: usize) -> Result<(), Violation> {
    let start = answered(backend.bounds().await, "the bounds of a new backend")?.current;
    let mut laws = Laws { backend, rng: Rng::seeded(seed), model: BTreeMap::new(), log: Vec::new(), last: start };
    laws.an_empty_backend_is_empty().await?;
    for _ in 0..operations {
        laws.operate().await?;
    }
    laws.scans_show_the_model().await?;
    for limit in [1, 3, 1000] {
        laws.pages_add_up(limit).await?;
    }
    laws.feeds_give_what_follows(start).await?;
    laws.the_past_is_refused(start).await
}

/// The answer of a call that must not fail.
pub(super) fn answered<T>(answer: Result<T, BackendError>, what: &str) -> Result<T, Violation> {
    answered_with(answer, || what.to_owned())
}

fn answered_with<T>(answer: Result<T, BackendError>, what: impl FnOnce() -> String) -> Result<T, Violation> {
    answer.map_err(|error| Violation::new("a backend without faults answers", format!("{}: {error}", what())))
}

struct Laws {
    backend: Arc<dyn Backend>,
    rng: Rng,
    model: BTreeMap<RawKey, (Bytes, Revision)>,
    log: Vec<RawEvent>,
    last: Revision,
}

impl Laws {
    async fn an_empty_backend_is_empty(&self) -> Result<(), Violation> {
        let page = answered(self.backend.scan(KeyRange::all(), None, Page { limit: 10 }).await, "a scan")?;
        ensure!(page.records.is_empty(), "the factory gives empty backends", "{} records", page.records.len());
        let law = "revisions 0 and 1 are never given: they mean \"any\" and \"before everything\" on the wire";
        ensure!(self.last >= Revision(1), law, "a new backend stands at {}", self.last);
        Ok(())
    }

    /// One random change, right or wrong.
    async fn operate(&mut self) -> Result<(), Violation> {
        let change = self.draw();
        let now = self.model.get(&change.key).map(|(_, revision)| *revision);
        let met = match change.expect {
            Expect::Absent => now.is_none() && change.value.is_some(),
            Expect::At(at) => now == Some(at),
        };
        match self.backend.commit(change.clone()).await {
            Ok(revision) => {
                ensure!(met, EXPECTED, "{change:?} happened at {revision}, the key being at {now:?}");
                ensure!(revision > self.last, GROW, "{revision} after {}", self.last);
                self.note(change, revision);
            }
            Err(BackendError::Unmet { now: told }) => {
                ensure!(!met, EXPECTED, "{change:?} was refused, the key being at {now:?}");
                ensure!(told == now, UNMET, "{change:?}: told {told:?}, it is {now:?}");
            }
            Err(error) => answered_with(Err(error), || format!("{change:?}"))?,
        }
        Ok(())
    }

    fn draw(&self) -> RawChange {
        let key = Bytes::from(format!("/things/n{}/{}", self.rng.below(3), self.rng.below(KEYS)));
        let now = self.model.get(&key).map(|(_, revision)| *revision);
        let expect = match (now, self.rng.below(10)) {
            (Some(at), 0..7) => Expect::At(at),
            (None, 0..7) | (Some(_), 7..9) => Expect::Absent,
            // Another key's revision, one that never was, or one of this key's past.
            (None, _) => Expect::At(self.last),
            (Some(at), _) => Expect::At(Revision(at.0 - 1)),
        };
        let value = (self.rng.below(4) > 0).then(|| Bytes::from(format!("value {}", self.rng.next())));
        let durability = if self.rng.below(2) == 0 { Durability::Durable } else { Durability::Relaxed };
        change(key, value, expect, durability)
    }

    fn note(&mut self, change: RawChange, revision: Revision) {
        self.last = revision;
        let key = change.key;
        self.log.push(match change.value {
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

    async fn scans_show_the_model(&self) -> Result<(), Violation> {
        let whole = Page { limit: usize::MAX };
        let page = answered(self.backend.scan(KeyRange::all(), None, whole).await, "a scan of everything")?;
        let expected = self.expected(&KeyRange::all());
        ensure!(page.records == expected, NOW, "{:?} instead of {expected:?}", page.records);
        ensure!(page.at >= self.last, NOW, "a scan of {}, after {} was acknowledged", page.at, self.last);
        ensure!(page.next.is_none(), NOW, "a scan without limit goes on at {:?}", page.next);
        let bounds = answered(self.backend.bounds().await, "bounds")?;
        ensure!(bounds.current >= self.last, "the bounds are of now", "{bounds:?}, acknowledged {}", self.last);
        let same = answered(self.backend.scan(KeyRange::all(), Some(page.at), whole).await, "a scan at now")?;
        ensure!(same == page, "a scan at the present revision is the scan of now", "{same:?} instead of {page:?}");
        self.an_inverted_range_is_empty().await
    }

    async fn an_inverted_range_is_empty(&self) -> Result<(), Violation> {
        for (start, end) in [("/things/n2/", "/things/n1/"), ("/things/n1/", "/things/n1/")] {
            let range = KeyRange { start: Bytes::from(start), end: Some(Bytes::from(end)) };
            let page = answered(self.backend.scan(range, None, Page { limit: 5 }).await, "a scan of an empty range")?;
            let empty = page.records.is_empty() && page.next.is_none();
            ensure!(empty, "a range that ends where it starts, or before, is empty", "{start}..{end}: {page:?}");
        }
        Ok(())
    }

    async fn pages_add_up(&self, limit: usize) -> Result<(), Violation> {
        let mut range = KeyRange { start: Bytes::from("/things/n1/"), end: Some(Bytes::from("/things/n2/5")) };
        let expected = self.expected(&range);
        let mut found = Vec::new();
        loop {
            let page = answered(self.backend.scan(range.clone(), None, Page { limit }).await, "a page")?;
            ensure!(page.records.len() <= limit, PAGES, "{} records, asked for {limit}", page.records.len());
            found.extend(page.records);
            let Some(next) = page.next else { break };
            let behind = found.last().is_none_or(|last| last.key < next);
            ensure!(behind && next >= range.start, PAGES, "the page after {:?} starts at {next:?}", found.last());
            ensure!(found.len() <= expected.len(), PAGES, "pages of {limit} do not end");
            range.start = next;
        }
        ensure!(found == expected, PAGES, "pages of {limit}: {found:?} instead of {expected:?}");
        Ok(())
    }

    async fn feeds_give_what_follows(&self, start: Revision) -> Result<(), Violation> {
        let starts = [0, self.log.len() / 2, self.log.len().saturating_sub(1)];
        let afters = starts.iter().filter_map(|at| self.log.get(*at)).map(revision);
        let log = Log::new(start, self.log.clone())?;
        for after in [start].into_iter().chain(afters) {
            let expected = log.after(after);
            let mut feed = answered(self.backend.feed(after).await, "a feed")?;
            let mut found = Vec::new();
            while found.iter().filter(|event| !matches!(event, RawEvent::Progress(_))).count() < expected.len() {
                let item = feed.next().await;
                let item = item.ok_or_else(|| Violation::new(FEED, format!("a feed after {after} ended by itself")))?;
                let event = answered(item, "an item of a feed")?;
                let changes = found.iter().filter(|event| !matches!(event, RawEvent::Progress(_))).count();
                let wrong = !matches!(event, RawEvent::Progress(_)) && event != expected[changes];
                found.push(event);
                if wrong {
                    break;
                }
            }
            crate::testing::watching::check_feed(&log, after, &found)?;
        }
        Ok(())
    }

    async fn the_past_is_refused(&self, start: Revision) -> Result<(), Violation> {
        let floor = answered(self.backend.bounds().await, "bounds")?.compacted;
        ensure!(floor <= self.last, "the floor is not above now", "floor {floor}, now {}", self.last);
        ensure!(self.log.is_empty() || floor <= self.last && start <= self.last, GROW, "{start}, {}", self.last);
        if floor > Revision::ZERO {
            let old = self.backend.feed(Revision(floor.0 - 1)).await;
            let told = matches!(old, Err(BackendError::Compacted { .. }));
            ensure!(told, PAST, "a feed after {} is given, the floor being {floor}", floor.0 - 1);
        }
        Ok(())
    }
}
