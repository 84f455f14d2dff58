//! Follows the backend's feed and applies it to the replica: the one writer.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::Peekable;
use futures::{FutureExt, StreamExt};
use orc_core::env::Clock;
use orc_core::{ResourceId, Revision};
use tokio::time::Instant;

use super::core::{Core, Image};
use crate::backend::{Backend, BackendError, KeyRange, Page, RawEvent, RawFeed, RawKey, RawPage};

/// Records asked for at once while reading everything.
const PAGE: usize = 10_000;
/// Events applied before other tasks get a turn.
const TURN: u32 = 128;
/// The longest wait before a feed is tried again.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Reads the whole backend into the replica.
pub(crate) async fn load(core: &Core, backend: &dyn Backend) -> Result<(), BackendError> {
    let (mut image, mut range) = (Image::default(), KeyRange::all());
    let mut shown: Option<(Revision, Revision)> = None;
    let (first, last) = loop {
        let page = page_of(backend, &range, shown).await?;
        let (first, last) = shown.map_or((page.at, page.at), |(first, last)| (first, last.max(page.at)));
        for record in page.records {
            core.collect(&mut image, record).map_err(BackendError::Corrupt)?;
        }
        match page.next {
            Some(start) => range.start = start,
            None => break (first, last),
        }
        shown = Some((first, last));
    };
    catch_up(core, backend, &mut image, first, last).await?;
    core.reset(image, last);
    Ok(())
}

/// The next page, of the revision that the first one showed as long as the backend keeps it.
async fn page_of(
    backend: &dyn Backend,
    range: &KeyRange,
    shown: Option<(Revision, Revision)>,
) -> Result<RawPage, BackendError> {
    let page = Page { limit: PAGE };
    if let Some((first, last)) = shown
        && first == last
    {
        match backend.scan(range.clone(), Some(first), page).await {
            Err(BackendError::Compacted { .. }) => {}
            other => return other,
        }
    }
    backend.scan(range.clone(), None, page).await
}

/// Pages read while others wrote show different revisions; the changes in between make them one state.
async fn catch_up(
    core: &Core,
    backend: &dyn Backend,
    image: &mut Image,
    first: Revision,
    last: Revision,
) -> Result<(), BackendError> {
    if first == last {
        return Ok(());
    }
    let mut feed = backend.feed(first).await?.peekable();
    while let Some(event) = feed.next().await {
        let event = event?;
        let at = match &event {
            RawEvent::Put(record) => record.revision,
            RawEvent::Delete { revision, .. } | RawEvent::Progress(revision) => *revision,
        };
        match event {
            RawEvent::Put(record) if at <= last => core.collect(image, record).map_err(BackendError::Corrupt)?,
            RawEvent::Delete { key, .. } if at <= last => {
                image.remove(&key);
                while let Some(Some(also)) = also_deleted(&mut feed, at).now_or_never() {
                    image.remove(&also);
                }
            }
            _ => {}
        }
        if at >= last {
            return Ok(());
        }
    }
    Err(BackendError::Unavailable("the feed ended while the store was reading".to_owned()))
}

/// Ends every watch and every waiting commit when the task ends, by a panic as well.
struct Stop(Arc<Core>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.stopped.send_replace(true);
        self.0.closing.send_replace(true);
    }
}

/// Follows the feed until the task is dropped.
pub(crate) async fn follow(core: Arc<Core>, backend: Arc<dyn Backend>, clock: Clock) {
    let _stop = Stop(core.clone());
    let mut wait = Duration::from_millis(10);
    loop {
        let before = core.applied.get();
        let error = match backend.feed(before).await {
            Ok(feed) => drain(&core, feed).await,
            Err(error) => error,
        };
        let error = match error {
            BackendError::Compacted { asked, floor } => {
                tracing::warn!(%asked, %floor, "the store fell behind its backend and reads everything again");
                load(&core, &*backend).await.err()
            }
            other => Some(other),
        };
        if core.applied.get() > before {
            wait = Duration::from_millis(10);
        }
        if let Some(error) = error {
            tracing::warn!(%error, "the backend's feed ended; trying again");
            clock.sleep(wait).await;
            wait = (wait * 2).min(MAX_WAIT);
        }
    }
}

async fn drain(core: &Core, feed: RawFeed) -> BackendError {
    let mut feed = feed.peekable();
    let (mut turn, mut sweep) = (0, Sweep::new(core));
    while let Some(event) = feed.next().await {
        match event {
            Ok(RawEvent::Delete { key, revision }) => {
                let mut keys = vec![key];
                while let Some(Some(also)) = also_deleted(&mut feed, revision).now_or_never() {
                    keys.push(also);
                }
                core.apply_removals(keys, revision);
            }
            Ok(event) => core.apply(event),
            Err(error) => return error,
        }
        sweep.step(core);
        turn += 1;
        if turn == TURN {
            turn = 0;

            tokio::task::yield_now().await;
        }
    }
    BackendError::Unavailable("the feed ended".to_owned())
}

/// Lets one resource after another forget old changes, as events come.
struct Sweep {
    last: Option<ResourceId>,
    next: Instant,
    every: Duration,
}

impl Sweep {
    fn new(core: &Core) -> Self {
        // A cluster has about sixty resources: each has its turn a few times in an age.
        Self { last: None, next: Instant::now(), every: core.config.history_age / 256 }
    }

    fn step(&mut self, core: &Core) {
        let now = Instant::now();
        if now >= self.next {
            self.last = core.forget_one(self.last.as_ref(), now);
            self.next = now + self.every;
        }
    }
}

/// The next event's key when it is a deletion of the same revision. Such deletions are ready at once, by the contract of
/// [`Backend`].
async fn also_deleted(feed: &mut Peekable<RawFeed>, at: Revision) -> Option<RawKey> {
    let same = |event: &Result<RawEvent, _>| matches!(event, Ok(RawEvent::Delete { revision, .. }) if *revision == at);
    match Pin::new(feed).next_if(same).await {
        Some(Ok(RawEvent::Delete { key, .. })) => Some(key),
        _ => None,
    }
}
