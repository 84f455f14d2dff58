//! What is compacted is refused, and a store over it starts anew.

use std::sync::Arc;

use futures::StreamExt;
use orc_core::Revision;

use super::Conformance;
use super::crud::answered;
use super::objects::{self, selections};
use crate::backend::{Backend, BackendError, KeyRange, Page};
use crate::client::{Freshness, ListOptions, WatchOptions, WatchStart};
use crate::event::{WatchEnd, WatchEvent};
use crate::store::{Store, StoreConfig};
use crate::testing::history::revision;
use crate::testing::{FaultyBackend, Violation, ensure};

const BELOW: &str = "feeds and scans below the floor answer Compacted";
const FLOOR: &str = "the floor moves up, and not beyond now";
const ANEW: &str = "a store whose backend was compacted under it reads everything again";
const TOLD: &str = "a watch that lost its past is told Expired, after what it was still owed or nothing: never a gap";

pub(super) async fn check(kit: &Conformance) -> Result<(), Violation> {
    if kit.compact.is_some() {
        the_backend_compacts(kit).await?;
    }
    the_store_starts_anew(kit).await
}

/// Real compaction, by the hook.
async fn the_backend_compacts(kit: &Conformance) -> Result<(), Violation> {
    let Some(compact) = &kit.compact else { return Ok(()) };
    let backend = (kit.make)().await;
    let start = answered(backend.bounds().await, "bounds")?.current;
    let history = kit.expect("the end of the callers", super::linear::run(kit, backend.clone())).await?;
    ensure!(!history.operations.is_empty(), "a run makes changes", "none");
    let before = answered(backend.bounds().await, "bounds")?;
    let whole = Page { limit: usize::MAX };
    let mut behind = answered(backend.feed(start).await, "a feed before compaction")?;
    compact(backend.clone()).await;
    let after = answered(backend.bounds().await, "bounds")?;
    ensure!(after.compacted > start && after.compacted <= after.current, FLOOR, "{before:?}, then {after:?}");
    for asked in [start, Revision(after.compacted.0 - 1)] {
        let feed = backend.feed(asked).await;
        let first = match feed {
            // Some backends only tell once they look.
            Ok(mut feed) => kit.expect("the first item of an old feed", feed.next()).await?.transpose().err(),
            Err(error) => Some(error),
        };
        let refused = matches!(first, Some(BackendError::Compacted { .. }));
        ensure!(refused, BELOW, "a feed after {asked}, floor {}: {first:?}", after.compacted);
        let scan = backend.scan(KeyRange::all(), Some(asked), whole).await;
        let refused = matches!(scan, Err(BackendError::Compacted { .. }));
        ensure!(refused, BELOW, "a scan at {asked}, floor {}", after.compacted);
    }
    let mut reached = start;
    // A feed that was open gives all of its past, or says that it cannot.
    while reached < before.current {
        match kit.expect("an item of a feed that was open", behind.next()).await? {
            Some(Ok(event)) => reached = revision(&event),
            Some(Err(BackendError::Compacted { .. })) => break,
            other => return Err(Violation::new(BELOW, format!("a feed that was open, at {reached}: {other:?}"))),
        }
    }
    answered(backend.feed(after.current).await, "a feed from now").map(drop)?;
    answered(backend.scan(KeyRange::all(), None, whole).await, "a scan of now").map(drop)
}

/// Simulated compaction of any backend, under a store with watches.
async fn the_store_starts_anew(kit: &Conformance) -> Result<(), Violation> {
    let system = objects::system(kit.seed);
    let faulty = FaultyBackend::over((kit.make)().await);
    let store = objects::store(faulty.clone(), &system, StoreConfig::default()).await?;
    for _ in 0..5 {
        objects::write(store.clone(), system.rng.fork(), kit.operations / 10).await;
        let seen = store.current();
        let mut streams = Vec::new();
        for (scope, select) in selections() {
            let options = WatchOptions { select, start: WatchStart::After(seen), bookmarks: false };
            let stream = store.watch(&scope, &options).await;
            streams.push(stream.map_err(|error| Violation::new("a watch is given", error.to_string()))?);
        }
        faulty.forget_history();
        objects::write(store.clone(), system.rng.fork(), kit.operations / 10).await;
        let backend: Arc<dyn Backend> = faulty.clone();
        shows_everything(&store, &backend).await?;
        for mut stream in streams {
            let mut last = seen;
            let end = loop {
                match kit.expect("the end of a watch", stream.next()).await? {
                    Some(Ok(WatchEvent::Bookmark { .. })) => {}
                    Some(Ok(event)) => {
                        ensure!(event.revision() > last, TOLD, "{event:?} after {last}");
                        last = event.revision();
                    }
                    other => break other,
                }
            };
            ensure!(matches!(end, Some(Err(WatchEnd::Expired { .. }))), TOLD, "it ended with {end:?}");
        }
        let (scope, select) = selections().swap_remove(0);
        let options = WatchOptions { select, start: WatchStart::After(seen), bookmarks: false };
        let stream = store.watch(&scope, &options).await;
        let mut stream = stream.map_err(|error| Violation::new("a watch is given", error.to_string()))?;
        let first = kit.expect("the answer to an old watch", stream.next()).await?;
        ensure!(matches!(first, Some(Err(WatchEnd::Expired { .. }))), TOLD, "a resumption from {seen}: {first:?}");
    }
    Ok(())
}

/// The store and its backend hold the same.
pub(super) async fn shows_everything(store: &Store, backend: &Arc<dyn Backend>) -> Result<(), Violation> {
    let page = answered(backend.scan(KeyRange::all(), None, Page { limit: usize::MAX }).await, "a scan")?;
    let fresh = store.wait_for(page.at, std::time::Duration::from_secs(60)).await;
    ensure!(fresh.is_ok(), ANEW, "the store does not get to {}: {fresh:?}", page.at);
    let mut shown = std::collections::BTreeMap::new();
    for resource in store.resources() {
        let options = ListOptions { freshness: Freshness::Any, ..ListOptions::default() };
        let list = store.list(&crate::client::Scope::all(resource), &options).await;
        let list = list.map_err(|error| Violation::new(ANEW, error.to_string()))?;
        shown.extend(list.items.into_iter().map(|one| (crate::store::raw_key(&one.key), one.revision)));
    }
    let held: std::collections::BTreeMap<_, _> = page.records.into_iter().map(|one| (one.key, one.revision)).collect();
    ensure!(shown == held, ANEW, "it shows {shown:?}, the backend holds {held:?}");
    Ok(())
}
