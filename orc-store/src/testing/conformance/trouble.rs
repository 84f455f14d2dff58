//! A backend that fails at random: order stays, and everything comes right in the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use orc_core::env::{Rng, System};
use orc_core::{ObjectKey, Revision};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Conformance;
use super::compaction::shows_everything;
use super::crud::answered;
use super::objects::{self, selections};
use crate::backend::{Backend, BackendError};
use crate::cache::{Caches, Interest};
use crate::client::{DeleteOptions, Intent, ObjectClient, Target, WriteRequest};
use crate::local::LocalClient;
use crate::testing::history::{self, Log, read_log};
use crate::testing::{FaultPlan, FaultyBackend, Violation, ensure};

const CACHES: &str = "caches show what the backend holds, once it answers again";
const ALIVE: &str = "writers get through while the backend fails now and then";

pub(super) async fn check(kit: &Conformance) -> Result<(), Violation> {
    order_stays(kit).await?;
    everything_converges(kit).await
}

/// Callers of a backend that loses answers: those that were not told are explained as well.
async fn order_stays(kit: &Conformance) -> Result<(), Violation> {
    let inner = (kit.make)().await;
    let start = answered(inner.bounds().await, "bounds")?.current;
    let faulty = FaultyBackend::planned(inner.clone(), FaultPlan::rough(), &objects::system(kit.seed));
    let history = kit.expect("the end of the callers", super::linear::run(kit, faulty.clone())).await?;
    // By the backend itself, and by a feed that breaks and is resumed.
    let log = kit.expect("the log by a feed", read_log(&inner, start, Vec::new())).await?;
    let log = answered(log, "the feed")?;
    history::check(&log, &history)?;
    let pieced = kit.expect("the log by broken feeds", piece_together(faulty, start, log.last())).await??;
    let same = pieced.events() == log.events();
    ensure!(
        same,
        "feeds that break and are resumed add up to the log",
        "{} of {}",
        pieced.events().len(),
        log.events().len()
    );
    Ok(())
}

async fn piece_together(faulty: Arc<FaultyBackend>, start: Revision, end: Revision) -> Result<Log, Violation> {
    use futures::StreamExt;
    let (mut events, mut seen) = (Vec::new(), start);
    while seen < end {
        let Ok(mut feed) = faulty.feed(seen).await else { continue };
        while seen < end {
            match feed.next().await {
                Some(Ok(event)) => {
                    seen = history::revision(&event);
                    events.push(event);
                }
                // The plan says Compacted of what is still there; a reader that can go on, goes on.
                Some(Err(BackendError::Unavailable(_) | BackendError::Compacted { .. })) | None => break,
                Some(Err(error)) => return Err(Violation::new("a backend fails as planned", error.to_string())),
            }
        }
        tokio::task::yield_now().await;
    }
    Log::new(start, events)
}

/// A store, clients and caches over a backend that fails; then it stops failing.
async fn everything_converges(kit: &Conformance) -> Result<(), Violation> {
    let system = objects::system(kit.seed);
    let inner = (kit.make)().await;
    let start = answered(inner.bounds().await, "bounds")?.current;
    let faulty = FaultyBackend::planned(inner.clone(), FaultPlan::rough(), &system);
    let opened = kit.expect("an open store", async {
        loop {
            if let Ok(store) = objects::store(faulty.clone(), &system, objects::busy()).await {
                return store;
            }
        }
    });
    let store = opened.await?;
    let client = LocalClient::new(store.clone(), &system);
    let caches = Caches::new(Arc::new(client.clone()), system.clock.clone(), system.spawn.clone());
    let interest = |(scope, select)| caches.cache(Interest::within(scope).selecting(select)).start();
    let started: Vec<_> = selections().into_iter().map(interest).collect();
    let (done, finished) = watch::channel(None);
    let watchers = super::watches::watch_everything(&store, &system, start, true, &finished);
    let mut writers = JoinSet::new();
    for _ in 0..kit.clients {
        writers.spawn(work(client.clone(), system.clone(), system.rng.fork(), kit.operations.div_ceil(kit.clients)));
    }
    let made: usize = kit.expect("the end of the writers", writers.join_all()).await?.into_iter().sum();
    ensure!(made > kit.operations / 10, ALIVE, "{made} of {} writes", kit.operations);
    faulty.calm_down();
    // Feeds that the plan stalled go on now. The store is told of its backend as it is.
    kit.expect("a store that shows its backend", shows_everything(&store, &inner)).await??;
    let log = kit.expect("the log by a feed", read_log(&inner, start, Vec::new())).await?;
    let log = answered(log, "the feed")?;
    done.send_replace(Some(log.last()));
    super::watches::judge(kit, &log, watchers).await?;
    let now = store.current();
    for (cache, (scope, select)) in started.iter().zip(selections()) {
        let listed = store.list(&scope, &crate::client::ListOptions { select, ..Default::default() }).await;
        let listed = listed.map_err(|error| Violation::new(CACHES, error.to_string()))?.items;
        let expected: BTreeMap<ObjectKey, Revision> =
            listed.iter().map(|one| (one.key.clone(), one.revision)).collect();
        let shows = async {
            loop {
                let held = cache.snapshot();
                if held.iter().map(|one| (one.key.clone(), one.revision)).collect::<BTreeMap<_, _>>() == expected {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let shown = kit.expect("a cache that shows its scope", shows).await;
        ensure!(shown.is_ok(), CACHES, "{scope:?} at {now}: {:?} instead of {expected:?}", cache.status());
    }
    Ok(())
}

/// Makes, changes and deletes objects; gives how many writes were acknowledged.
async fn work(client: LocalClient, system: System, rng: Rng, writes: usize) -> usize {
    let mut made = 0;
    for _ in 0..writes {
        let key = objects::key(&rng);
        let intent = match rng.below(4) {
            0 => Intent::Delete(DeleteOptions::default()),
            1 => {
                let node = format!("node{}", rng.below(3));
                Intent::Modify(Arc::new(move |doc| {
                    doc.set(&["spec", "nodeName"], node.clone());
                    Ok(())
                }))
            }
            _ => Intent::Create(objects::doc(&rng, &key)),
        };
        made += usize::from(client.write(WriteRequest::new(Target::object(key), intent)).await.is_ok());
        system.clock.sleep(std::time::Duration::from_millis(rng.below(5))).await;
    }
    made
}
