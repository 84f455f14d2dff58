//! From one start of the store to its end.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use orc_core::Revision;
use orc_core::env::System;

use super::Report;
use super::lists::Lists;
use super::medium::{Medium, hold_time};
use super::recovery::{Found, Past};
use super::traffic::{Traffic, Went};
use super::watchers::Watchers;
use crate::backend::{KeyRange, Page, RawEvent, RawFeed};
use crate::local::LocalClient;
use crate::store::{FieldsOf, Store, StoreConfig};
use crate::testing::Violation;
use crate::testing::conformance::pages::judge;
use crate::testing::history::{self, History, Log, Recorder, revision};
use crate::testing::watching::{Truth, check_watch};

/// How a life ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    /// Cleanly.
    Stop,
    /// By a crash, after so many steps of I/O or when its time is over.
    PowerFails { after: u64 },
}

pub(super) struct Life {
    recorder: Recorder,
    store: Arc<Store>,
    tap: Tap,
    found: Found,
    ending: Ending,
    system: System,
    traffic: Traffic,
    watchers: Watchers,
    lists: Lists,
}

/// What is left of a life: data, no tasks.
pub(super) struct Ended {
    history: History,
    found: Found,
    events: Vec<RawEvent>,
    watchers: Watchers,
    lists: Lists,
    stopped: bool,
}

/// Reads the log while it is made, so that it never falls off.
struct Tap {
    feed: RawFeed,
    events: Vec<RawEvent>,
    reached: Revision,
}

fn fields() -> FieldsOf {
    Arc::new(|_| Arc::from(["spec.nodeName".to_owned()]))
}

fn failed(what: &'static str) -> impl Fn(String) -> Violation {
    move |why| Violation::new(what, why)
}

impl Life {
    /// Opens the medium and looks at what is there. `None` when the power failed meanwhile.
    pub(super) async fn begin(
        medium: &mut impl Medium,
        system: &System,
        past: &mut Past,
        ending: Ending,
        nodes: u64,
    ) -> Result<Option<Self>, Violation> {
        let backend = match (medium.open().await, ending) {
            (Ok(backend), _) => backend,
            (Err(_), Ending::PowerFails { .. }) => return Ok(None),
            (Err(error), Ending::Stop) => {
                return Err(Violation::new("a medium with power opens", error.to_string()));
            }
        };
        let reads = failed("reads go on whatever the disk does");
        let page = backend.scan(KeyRange::all(), None, Page { limit: usize::MAX }).await;
        let page = page.map_err(|error| reads(error.to_string()))?;
        let bounds = backend.bounds().await.map_err(|error| reads(error.to_string()))?;
        let found = past.restart(&page, bounds)?;
        let feed = backend.feed(found.start).await.map_err(|error| reads(error.to_string()))?;
        let recorder = Recorder::over(backend);
        let config = StoreConfig { bookmark_every: Duration::from_secs(20), ..StoreConfig::default() };
        let opened = Store::open_with(Arc::new(recorder.clone()), fields(), system.clone(), config).await;
        let store = opened.map_err(|error| reads(error.to_string()))?;
        let client = LocalClient::new(store.clone(), system);
        let (watchers, lists) = (Watchers::resume(&past.watchers, store.clone(), system).await?, Lists::new(system));
        let traffic = Traffic::new(client, system, nodes);
        let tap = Tap { feed, events: Vec::new(), reached: found.start };
        let system = system.clone();
        Ok(Some(Self { recorder, store, tap, found, ending, system, traffic, watchers, lists }))
    }

    /// Lives until its time is over or the power fails.
    pub(super) async fn live(mut self, until: Duration, report: &mut Report) -> Result<Ended, Violation> {
        let seconds = until.as_secs().max(1);
        for second in 0..seconds {
            let still = hold_time();
            let went = self.traffic.second(second).await?;
            self.tap.drain(&self.store).await?;
            self.lists.turn(&self.store).await?;
            self.watchers.turn(&self.store).await?;
            drop(still);
            if went == Went::Wrong {
                if self.ending == Ending::Stop {
                    return Err(Violation::new("a disk with power takes writes", self.traffic.trouble()));
                }
                report.failed_writes += 1;
                break;
            }
            self.system.clock.sleep(Duration::from_secs(1)).await;
        }
        report.renewals += self.traffic.renewals();
        let _still = hold_time();
        self.tap.drain(&self.store).await?;
        self.watchers.finish(&self.store).await;
        let Self { recorder, store, tap, found, ending, watchers, lists, traffic, .. } = self;
        let history = recorder.history();
        drop((traffic, store, recorder));
        let stopped = ending == Ending::Stop;
        Ok(Ended { history, found, events: tap.events, watchers, lists, stopped })
    }
}

impl Tap {
    /// Takes everything up to what the store shows, and what else is there.
    async fn drain(&mut self, store: &Store) -> Result<(), Violation> {
        let current = store.current();
        loop {
            let item =
                if self.reached < current { Some(self.feed.next().await) } else { self.feed.next().now_or_never() };
            match item {
                None => return Ok(()),
                Some(Some(Ok(event))) => {
                    self.reached = self.reached.max(revision(&event));
                    self.events.push(event);
                }
                other => return Err(Violation::new("a feed goes on while the backend is open", format!("{other:?}"))),
            }
        }
    }
}

impl Ended {
    /// Checks everything that the life recorded.
    pub(super) fn check(mut self, past: &mut Past, report: &mut Report) -> Result<(), Violation> {
        let log = Log::over(self.found.start, self.found.records, self.events)?;
        let checked = history::check(&log, &self.history)?;
        let truth = Truth::of(&log, &fields())?;
        for watched in self.watchers.watched() {
            check_watch(&truth, watched)?;
            report.events += watched.told.len();
            report.watches += 1;
        }
        for listed in self.lists.taken() {
            judge(&truth, listed)?;
            report.lists += 1;
        }
        report.resumed += self.watchers.resumed();
        report.calls += self.history.operations.len();
        report.changes += checked.changes;
        report.unanswered += checked.unanswered + usize::from(self.found.unanswered);
        report.lost_relaxed += self.found.lost;
        past.watchers = self.watchers.leave();
        past.lived(&log, &self.history, self.stopped);
        Ok(())
    }
}
