//! Concurrent callers of a backend.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use orc_core::Revision;
use orc_core::env::Rng;
use tokio::task::JoinSet;

use super::Conformance;
use super::crud::answered;
use crate::backend::{Backend, BackendError, Durability, Expect, KeyRange, Page, RawChange, RawKey};
use crate::testing::Violation;
use crate::testing::history::{self, Checked, History, Recorder, change, read_log};

/// Few keys, so that callers meet.
const KEYS: u64 = 7;

pub(super) async fn check(kit: &Conformance) -> Result<(), Violation> {
    let backend = (kit.make)().await;
    let start = answered(backend.bounds().await, "bounds")?.current;
    let history = kit.expect("the end of the callers", run(kit, backend.clone())).await?;
    let log = kit.expect("the log by a feed", read_log(&backend, start, Vec::new())).await?;
    let checked = history::check(&answered(log, "the feed")?, &history)?;
    enough(kit, checked)
}

/// A run in which nothing happened proves nothing.
fn enough(kit: &Conformance, checked: Checked) -> Result<(), Violation> {
    let tenth = kit.operations / 10;
    let enough = checked.changes > tenth && checked.reads > tenth / 2 && checked.refusals > 0;
    let law = "a run makes changes, is refused some, and reads";
    if enough || kit.operations < 100 { Ok(()) } else { Err(Violation::new(law, format!("{checked:?}"))) }
}

/// Lets the callers work at the same time and gives what they saw.
pub(super) async fn run(kit: &Conformance, backend: Arc<dyn Backend>) -> History {
    let recorder = Recorder::over(backend);
    let rng = Rng::seeded(kit.seed);
    let mut callers = JoinSet::new();
    for client in 0..kit.clients {
        let caller = Caller { client, recorder: recorder.clone(), rng: rng.fork(), known: BTreeMap::new(), made: 0 };
        callers.spawn(caller.work(kit.operations.div_ceil(kit.clients)));
    }
    callers.join_all().await;
    // Behind everything, so that the log that is read next covers every answer.
    let _ = recorder.scan(kit.clients, KeyRange::all(), Page { limit: usize::MAX }).await;
    recorder.history()
}

struct Caller {
    client: usize,
    recorder: Recorder,
    rng: Rng,
    /// What the caller believes of each key: often outdated.
    known: BTreeMap<RawKey, Revision>,
    made: usize,
}

impl Caller {
    async fn work(mut self, operations: usize) {
        for _ in 0..operations {
            match self.rng.below(100) {
                0..62 => self.change().await,
                62..70 => self.drop_one().await,
                70..90 => self.scan().await,
                _ => drop(self.recorder.bounds(self.client).await),
            }
            if self.rng.below(3) == 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    fn key(&self) -> RawKey {
        Bytes::from(format!("/things/n{}/{}", self.rng.below(2), self.rng.below(KEYS)))
    }

    fn draw(&mut self) -> RawChange {
        let key = self.key();
        self.made += 1;
        let value = Bytes::from(format!("{} by {}", self.made, self.client));
        let expect = self.known.get(&key).map_or(Expect::Absent, |at| Expect::At(*at));
        let expect = if self.rng.below(12) == 0 { Expect::Absent } else { expect };
        let deletes = matches!(expect, Expect::At(_)) && self.rng.below(4) == 0;
        let durability = if self.rng.below(2) == 0 { Durability::Durable } else { Durability::Relaxed };
        change(key, (!deletes).then_some(value), expect, durability)
    }

    async fn change(&mut self) {
        let change = self.draw();
        let (key, deletes) = (change.key.clone(), change.value.is_none());
        let now = match self.recorder.commit(self.client, change).await {
            Ok(_) if deletes => None,
            Ok(revision) => Some(revision),
            Err(BackendError::Unmet { now }) => now,
            // Not known: the next try learns it.
            Err(_) => None,
        };
        match now {
            Some(now) => self.known.insert(key, now),
            None => self.known.remove(&key),
        };
    }

    /// A call that its caller gives up.
    async fn drop_one(&mut self) {
        let change = self.draw();
        let mut call = Box::pin(self.recorder.commit(self.client, change));
        for _ in 0..self.rng.below(3) {
            if call.as_mut().now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn scan(&mut self) {
        let (a, b) = (self.key(), self.key());
        let range = match self.rng.below(3) {
            0 => KeyRange::all(),
            1 => KeyRange { start: a.clone().min(b.clone()), end: Some(a.max(b)) },
            _ => KeyRange { start: a, end: None },
        };
        let limit = if self.rng.below(2) == 0 { usize::MAX } else { 1 + self.rng.below(5) as usize };
        if let Ok(page) = self.recorder.scan(self.client, range, Page { limit }).await {
            self.known.extend(page.records.into_iter().map(|record| (record.key, record.revision)));
        }
    }
}
