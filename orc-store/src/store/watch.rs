//! Watches: cursors into the shared history.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use jiff::Timestamp;
use orc_core::env::Clock;
use orc_core::{ApiError, Revision};
use tokio::sync::watch;

use super::Store;
use super::core::{Core, Resource};
use super::history::Change;
use super::place::Place;
use super::read::single;
use super::shard::Objects;
use super::topic::TopicKey;
use crate::client::{Freshness, Scope, Selection, WatchOptions, WatchStart, WatchStream};
use crate::event::{Before, RemovedWhy, WatchEnd, WatchEvent};
use crate::signal::Listener;

/// Changes taken under one lock, and objects of the initial state made ready at once.
const BATCH: usize = 256;

impl Store {
    /// Follows a scope. A start above the present revision is silent until the changes pass it.
    ///
    /// # Errors
    /// `Timeout` when the initial state cannot be as fresh as asked in time.
    pub async fn watch(&self, scope: &Scope, options: &WatchOptions) -> Result<WatchStream, ApiError> {
        let initial = matches!(options.start, WatchStart::Initial | WatchStart::InitialAtLeast(_));
        match options.start {
            WatchStart::Initial | WatchStart::Now => self.freshen(Freshness::Latest).await?,
            WatchStart::InitialAtLeast(at) => self.freshen(Freshness::AtLeast(at)).await?,
            WatchStart::After(_) => {}
        }
        let resource = self.core.resource(&scope.resource);
        let topic = TopicKey::of(scope, &options.select);
        let applied = self.core.applied.get();
        let mut shard = resource.shard.write();
        let present = applied.max(shard.last);
        let (next, after) = match options.start {
            WatchStart::After(after) => (shard.history.number_after(after), after),
            _ => (shard.history.end(), present),
        };
        let floor = shard.history.floor();
        let end = shard.history.end();
        let news = shard.topics.join(&topic, end);
        let objects = initial.then(|| match single(scope, &options.select) {
            Some(place) => shard.objects.get(&place).map(|one| Objects::unit(place, one.clone())).unwrap_or_default(),
            None => shard.objects.clone(),
        });
        drop(shard);
        let watcher = Watcher {
            news,
            closing: self.core.closing.subscribe(),
            clock: self.clock.clone(),
            bookmark: options.bookmarks.then(|| later(&self.clock, self.core.config.bookmark_every)),
            initial: objects.map(|objects| Initial { objects, from: Place::start_of(scope) }),
            scope: scope.clone(),
            select: options.select.clone(),
            ready: VecDeque::new(),
            core: self.core.clone(),
            resource,
            topic,
            next,
            after,
            told: after,
            expired: (after < floor).then_some(floor),
        };
        Ok(Box::pin(stream::unfold(Some(watcher), |watcher| async move {
            let mut watcher = watcher?;
            match watcher.next().await {
                Ok(event) => Some((Ok(event), Some(watcher))),
                Err(end) => Some((Err(end), None)),
            }
        })))
    }
}

/// The part of the initial state that is still to be sent.
struct Initial {
    objects: Objects,
    from: Bound<Place>,
}

struct Watcher {
    core: Arc<Core>,
    resource: Arc<Resource>,
    clock: Clock,
    scope: Scope,
    select: Selection,
    topic: TopicKey,
    news: Listener,
    closing: watch::Receiver<bool>,
    initial: Option<Initial>,
    ready: VecDeque<WatchEvent>,
    /// The number of the next change to look at.
    next: u64,
    /// Changes up to here are not told.
    after: Revision,
    /// The revision that the client knows of.
    told: Revision,
    /// When the next bookmark is due. Not put off by changes that the watch does not tell: then it is wanted most.
    bookmark: Option<Timestamp>,
    expired: Option<Revision>,
}

enum Woken {
    ToLook,
    Closed,
}

fn later(clock: &Clock, wait: Duration) -> Timestamp {
    let now = clock.now();
    now.checked_add(wait).unwrap_or(now)
}

impl Watcher {
    async fn next(&mut self) -> Result<WatchEvent, WatchEnd> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.told = self.told.max(event.revision());
                return Ok(event);
            }
            if let Some(floor) = self.expired {
                return Err(WatchEnd::Expired { asked: self.told, floor });
            }
            if self.initial.is_some() {
                self.send_initial();
                continue;
            }
            self.news.catch_up();
            let present = self.take()?;
            if !self.ready.is_empty() {
                continue;
            }
            let Some(present) = present else {
                tokio::task::yield_now().await;
                continue;
            };
            if let Some(bookmark) = self.due_bookmark(present) {
                return Ok(bookmark);
            }
            if let Woken::Closed = self.sleep().await {
                return Err(WatchEnd::Closed("the store is shutting down".to_owned()));
            }
        }
    }

    async fn sleep(&mut self) -> Woken {
        let (clock, due) = (&self.clock, self.bookmark);
        let timer = async {
            match due {
                Some(due) => clock.sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let closing = self.closing.wait_for(|closing| *closing);
        tokio::select! {
            biased;
            _ = closing => Woken::Closed,
            () = self.news.rung() => Woken::ToLook,
            () = timer => Woken::ToLook,
        }
    }

    /// The bookmark that is due, now that everything up to `seen` has been told. Not below where the client stands: it may
    /// have asked for a revision that is still to come.
    fn due_bookmark(&mut self, seen: Revision) -> Option<WatchEvent> {
        let due = self.bookmark?;
        if self.clock.now() < due {
            return None;
        }
        self.bookmark = Some(later(&self.clock, self.core.config.bookmark_every));
        if seen < self.told {
            return None;
        }
        self.told = seen;
        Some(WatchEvent::Bookmark { at: seen, initial_end: false })
    }

    /// Makes the next objects of the initial state ready, and the bookmark behind the last one.
    fn send_initial(&mut self) {
        let Some(Initial { objects, from }) = self.initial.take() else { return };
        let mut behind = from.clone();
        let mut rest = objects.range((from, Bound::Unbounded)).take_while(|(place, _)| place.is_in(&self.scope));
        let mut seen = 0;
        for (place, stored) in rest.by_ref().take(BATCH) {
            seen += 1;
            behind = Bound::Excluded(place.clone());
            if self.select.matches(stored) {
                self.ready.push_back(WatchEvent::Added(stored.clone()));
            }
        }
        if seen == BATCH {
            self.initial = Some(Initial { objects, from: behind });
        } else {
            self.ready.push_back(WatchEvent::Bookmark { at: self.after, initial_end: true });
        }
    }

    /// Takes a batch of changes. Returns the revision up to which everything has been seen when none are left.
    fn take(&mut self) -> Result<Option<Revision>, WatchEnd> {
        let applied = self.core.applied.get();
        let (read, end, last, floor) = {
            let shard = self.resource.shard.read();
            (shard.read(&self.topic, self.next, BATCH), shard.history.end(), shard.last, shard.history.floor())
        };
        let Some((changes, next)) = read else {
            return Err(WatchEnd::Expired { asked: self.told, floor });
        };
        self.next = next;
        let told = changes.iter().filter(|change| change.revision > self.after);
        let events: Vec<WatchEvent> = told.filter_map(|change| event(change, &self.scope, &self.select)).collect();
        self.ready.extend(events);
        Ok((next >= end).then(|| applied.max(last)))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.resource.shard.write().topics.leave(&self.topic);
    }
}

/// What a change means to a watch of a scope and a selection.
fn event(change: &Change, scope: &Scope, select: &Selection) -> Option<WatchEvent> {
    if !scope.contains(change.key()) {
        return None;
    }
    let taken = |stored: &&Arc<crate::stored::Stored>| select.is_everything() || select.matches(stored);
    let before = change.before.as_ref().filter(taken);
    let after = change.after.as_ref().filter(taken);
    match (before, after) {
        (None, None) => None,
        (None, Some(now)) => Some(WatchEvent::Added(now.clone())),
        (Some(before), Some(now)) => {
            Some(WatchEvent::Modified { now: now.clone(), before: Before::Known(before.clone()) })
        }
        (Some(last), None) => {
            let why = if change.after.is_some() { RemovedWhy::LeftScope } else { RemovedWhy::Deleted };
            Some(WatchEvent::Removed { last: last.clone(), at: change.revision, why })
        }
    }
}
