//! Feeds of a backend and watches of a store, while others write.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use orc_core::Revision;
use orc_core::env::{Rng, System};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Conformance;
use super::crud::answered;
use super::objects::{self, selections};
use crate::backend::{Backend, BackendError, RawEvent};
use crate::client::{Scope, Selection, WatchOptions, WatchStart};
use crate::event::WatchEvent;
use crate::store::Store;
use crate::testing::history::{self, Log, read_log, revision};
use crate::testing::watching::{Truth, Watched, check_feed, check_watch};
use crate::testing::{Violation, ensure};

pub(super) async fn check(kit: &Conformance) -> Result<(), Violation> {
    feeds(kit).await?;
    store_watches(kit).await
}

/// What one feed was asked and gave.
type Fed = (Revision, Vec<RawEvent>);

/// Callers change, and feeds are opened, dropped and resumed meanwhile.
async fn feeds(kit: &Conformance) -> Result<(), Violation> {
    let backend = (kit.make)().await;
    let start = answered(backend.bounds().await, "bounds")?.current;
    let rng = Rng::seeded(kit.seed);
    let (done, finished) = watch::channel(None);
    let mut followers = JoinSet::new();
    for _ in 0..kit.clients {
        followers.spawn(follow(backend.clone(), start, rng.fork(), finished.clone()));
    }
    let history = kit.expect("the end of the callers", super::linear::run(kit, backend.clone())).await?;
    let log = kit.expect("the log by a feed", read_log(&backend, start, Vec::new())).await?;
    let log = answered(log, "the feed")?;
    done.send_replace(Some(log.last()));
    for feeds in kit.expect("the rest of the feeds", followers.join_all()).await? {
        let mut reached = start;
        for (after, given) in answered(feeds, "a feed")? {
            reached = check_feed(&log, after, &given)?;
        }
        ensure!(reached >= log.last(), "a feed tells everything, sooner or later", "{reached} of {}", log.last());
    }
    history::check(&log, &history).map(drop)
}

/// Reads feeds until everything has come: each for a while, then the next from where it was, or from earlier.
async fn follow(
    backend: Arc<dyn Backend>,
    start: Revision,
    rng: Rng,
    mut finished: watch::Receiver<Option<Revision>>,
) -> Result<Vec<Fed>, BackendError> {
    let (mut feeds, mut after) = (Vec::new(), start);
    loop {
        let mut feed = backend.feed(after).await?;
        let (mut given, mut reached) = (Vec::new(), after);
        let patience = if finished.borrow().is_some() { u64::MAX } else { rng.below(60) };
        while (given.len() as u64) < patience && finished.borrow().is_none_or(|end| reached < end) {
            tokio::select! {
                biased;
                item = feed.next() => {
                    let ended = || BackendError::Unavailable("a feed ended by itself".to_owned());
                    let event = item.ok_or_else(ended)??;
                    reached = reached.max(revision(&event));
                    given.push(event);
                }
                changed = finished.changed() => if changed.is_err() { return Ok(feeds) },
            }
        }
        feeds.push((after, given));
        if finished.borrow().is_some_and(|end| reached >= end) {
            return Ok(feeds);
        }
        after = if rng.below(3) == 0 { start.max(Revision(reached.0 - rng.below(20).min(reached.0))) } else { reached };
    }
}

/// Writers change objects, and watches of every selection are opened, dropped and resumed meanwhile.
async fn store_watches(kit: &Conformance) -> Result<(), Violation> {
    let backend = (kit.make)().await;
    let start = answered(backend.bounds().await, "bounds")?.current;
    let system = objects::system(kit.seed);
    let store = objects::store(backend.clone(), &system, objects::busy()).await?;
    let (done, finished) = watch::channel(None);
    let watchers = watch_everything(&store, &system, start, false, &finished);
    let mut writers = JoinSet::new();
    for _ in 0..kit.clients {
        writers.spawn(objects::write(store.clone(), system.rng.fork(), kit.operations.div_ceil(kit.clients)));
    }
    kit.expect("the end of the writers", writers.join_all()).await?;
    let log = kit.expect("the log by a feed", read_log(&backend, start, Vec::new())).await?;
    let log = answered(log, "the feed")?;
    done.send_replace(Some(log.last()));
    judge(kit, &log, watchers).await
}

type Watches = JoinSet<Result<Vec<Watched>, Violation>>;

/// Starts a watcher of every selection.
pub(super) fn watch_everything(
    store: &Arc<Store>,
    system: &System,
    start: Revision,
    faulty: bool,
    finished: &watch::Receiver<Option<Revision>>,
) -> Watches {
    let mut watchers = JoinSet::new();
    for (scope, select) in selections() {
        let watcher = Watcher { store: store.clone(), scope, select, rng: system.rng.fork(), start, faulty };
        watchers.spawn(watcher.run(finished.clone()));
    }
    watchers
}

/// Waits for the watchers, who were told where the log ends, and checks what they saw.
pub(super) async fn judge(kit: &Conformance, log: &Log, watchers: Watches) -> Result<(), Violation> {
    let truth = Truth::of(log, &objects::fields())?;
    for watches in kit.expect("the rest of the watches", watchers.join_all()).await? {
        for watched in watches? {
            check_watch(&truth, &watched)?;
        }
    }
    Ok(())
}

/// Watches one selection, again and again.
pub(super) struct Watcher {
    pub(super) store: Arc<Store>,
    pub(super) scope: Scope,
    pub(super) select: Selection,
    pub(super) rng: Rng,
    pub(super) start: Revision,
    /// Whether the backend fails now and then, so that a watch may be refused.
    pub(super) faulty: bool,
}

impl Watcher {
    pub(super) async fn run(self, mut finished: watch::Receiver<Option<Revision>>) -> Result<Vec<Watched>, Violation> {
        let (mut watches, mut reached) = (Vec::new(), self.start);
        loop {
            // Asked before, so that a watch that is the last one sees everything.
            let last = finished.borrow().is_some();
            let Some(watched) = self.once(reached, &mut finished).await? else {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            reached = reached.max(watched.told.last().map_or(self.start, WatchEvent::revision));
            let through = last && watched.end.is_none();
            watches.push(watched);
            if through {
                return Ok(watches);
            }
            tokio::task::yield_now().await;
        }
    }

    async fn once(
        &self,
        reached: Revision,
        finished: &mut watch::Receiver<Option<Revision>>,
    ) -> Result<Option<Watched>, Violation> {
        let start = match self.rng.below(5) {
            0 => WatchStart::Initial,
            1 => WatchStart::InitialAtLeast(reached),
            2 => WatchStart::Now,
            3 => WatchStart::After(self.start.max(Revision(reached.0 - self.rng.below(30).min(reached.0)))),
            _ => WatchStart::After(reached),
        };
        let (least, floor) = (self.store.current(), self.store.floor(&self.scope.resource));
        let options = WatchOptions { select: self.select.clone(), start, bookmarks: true };
        let mut stream = match self.store.watch(&self.scope, &options).await {
            Ok(stream) => stream,
            Err(error) if self.faulty && matches!(error.code(), 503 | 504) => return Ok(None),
            Err(error) => return Err(Violation::new("a watch is given", error.to_string())),
        };
        // Not the store's own revision, which is raised a moment after a change can be read.
        let most = self.store.backend().bounds().await.map_or(Revision(u64::MAX), |bounds| bounds.current);
        let (scope, select) = (self.scope.clone(), self.select.clone());
        let (told, end, complete) = (Vec::new(), None, None);
        let mut watched = Watched { scope, select, start, least, most, floor, told, end, complete };
        let patience = if finished.borrow().is_some() { u64::MAX } else { self.rng.below(25) };
        let mut seen = Revision::ZERO;
        let initial = matches!(start, WatchStart::Initial | WatchStart::InitialAtLeast(_));
        while (watched.told.len() as u64) < patience {
            // Bookmarks come often, so a quiet watch gets there too.
            if let Some(end) = finished.borrow().filter(|end| seen >= *end) {
                watched.complete = Some(end);
                break;
            }
            tokio::select! {
                biased;
                item = stream.next() => match item {
                    Some(Ok(event)) => {
                        let begun = !initial || watched.told.iter().any(|e| matches!(e, WatchEvent::Bookmark { .. }));
                        let ends = matches!(event, WatchEvent::Bookmark { .. });
                        if begun || ends {
                            seen = seen.max(event.revision());
                        }
                        watched.told.push(event);
                    }
                    Some(Err(end)) => {
                        watched.end = Some(end);
                        break;
                    }
                    None => break,
                },
                _ = finished.changed(), if finished.borrow().is_none() => {}
            }
        }
        Ok(Some(watched))
    }
}
