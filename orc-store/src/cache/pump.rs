//! What fills a cache: one watch, begun anew whenever it ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::StreamExt;
use orc_core::{ApiError, ObjectKey, Reason, Revision};

use super::Cache;
use super::changes::CacheChange;
use crate::client::{WatchOptions, WatchStart, WatchStream};
use crate::event::{WatchEnd, WatchEvent};
use crate::stored::Stored;

const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait before a watch is tried again; client-go waits up to 30 seconds.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// How the next watch begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Begin {
    /// With the whole state, whatever its revision.
    Fill,
    /// With the whole state, not older than what was seen.
    FillFrom(Revision),
    /// With the changes after what was seen.
    Resume(Revision),
}

/// Keeps a cache filled until it is dropped.
pub(super) async fn run(cache: Weak<Cache>) {
    let (mut begin, mut wait) = (Begin::Fill, FIRST_WAIT);
    loop {
        let Some((client, clock, interest)) = parts(&cache) else { return };
        let start = match begin {
            Begin::Fill => WatchStart::Initial,
            Begin::FillFrom(at) => WatchStart::InitialAtLeast(at),
            Begin::Resume(after) => WatchStart::After(after),
        };
        let options = WatchOptions { select: interest.select.clone(), start, bookmarks: true };
        let progress = match client.watch(&interest.scope, &options).await {
            Ok(stream) => drain(&cache, stream, begin).await,
            Err(error) => Progress { next: after_refusal(begin, &error), error: error.to_string(), moved: false },
        };
        let Some(cache) = cache.upgrade() else { return };
        tracing::debug!(resource = %interest.scope.resource, error = progress.error, next = ?progress.next, "a cache's watch ended");
        cache.health.lock().last_error = Some(progress.error);
        drop(cache);
        begin = progress.next;
        if progress.moved {
            wait = FIRST_WAIT;
        }
        clock.sleep(wait).await;
        wait = (wait * 2).min(MAX_WAIT);
    }
}

type Parts = (Arc<dyn crate::ObjectClient>, orc_core::env::Clock, super::Interest);

fn parts(cache: &Weak<Cache>) -> Option<Parts> {
    let cache = cache.upgrade()?;
    Some((cache.client.clone(), cache.clock.clone(), cache.interest.clone()))
}

struct Progress {
    next: Begin,
    error: String,
    moved: bool,
}

fn after_refusal(begin: Begin, error: &ApiError) -> Begin {
    match (begin, error.reason()) {
        (Begin::Resume(at), Reason::Expired | Reason::Gone) => Begin::FillFrom(at),
        // The server is behind what was seen, or was restored to an earlier state: what it has is the truth.
        (Begin::FillFrom(_), Reason::Timeout | Reason::Expired | Reason::Gone) => Begin::Fill,
        (begin, _) => begin,
    }
}

async fn drain(cache: &Weak<Cache>, mut stream: WatchStream, begin: Begin) -> Progress {
    let mut filling = (!matches!(begin, Begin::Resume(_))).then(BTreeMap::new);
    let mut progress = Progress { next: begin, error: "the watch ended".to_owned(), moved: false };
    while let Some(item) = stream.next().await {
        let Some(cache) = cache.upgrade() else { break };
        let event = match item {
            Ok(event) => event,
            Err(end) => {
                progress.error = end.to_string();
                if matches!(end, WatchEnd::Expired { .. }) {
                    progress.next = Begin::FillFrom(cache.shown());
                }
                break;
            }
        };
        progress.moved = true;
        match (&mut filling, event) {
            (Some(found), WatchEvent::Bookmark { at, initial_end: true }) => {
                let found = std::mem::take(found);
                filling = None;
                cache.fill(found, at);
            }
            (Some(found), WatchEvent::Added(now) | WatchEvent::Modified { now, .. }) => {
                found.insert(now.key.clone(), now);
            }
            (Some(found), WatchEvent::Removed { last, .. }) => drop(found.remove(&last.key)),
            (Some(_), WatchEvent::Bookmark { .. }) => {}
            (None, event) => cache.apply(event),
        }
        if filling.is_none() {
            progress.next = Begin::Resume(cache.shown());
        }
    }
    progress
}

impl Cache {
    /// The revision to go on from: after a server was restored to an earlier state, an earlier one than was once seen.
    fn shown(&self) -> Revision {
        self.state.read().revision
    }

    /// Puts a whole state in; what is no longer there is told as gone.
    pub(super) fn fill(&self, found: BTreeMap<ObjectKey, Arc<Stored>>, at: Revision) {
        let mut state = self.state.write();
        let gone: Vec<ObjectKey> =
            state.iter().map(|stored| &stored.key).filter(|key| !found.contains_key(*key)).cloned().collect();
        for key in gone {
            let before = state.take(&key);
            self.tell(before, None);
        }
        for (key, stored) in found {
            if state.get(&key).is_some_and(|had| had.revision == stored.revision && had.head.uid == stored.head.uid) {
                continue;
            }
            let before = state.put(stored.clone());
            self.tell(before, Some(stored));
        }
        state.revision = at;
        drop(state);
        self.health.lock().fills += 1;
        self.seen.raise(at);
        self.synced.ring();
    }

    /// Applies one change.
    pub(super) fn apply(&self, event: WatchEvent) {
        let revision = event.revision();
        let mut state = self.state.write();
        match event {
            WatchEvent::Added(now) | WatchEvent::Modified { now, .. } => {
                let before = state.put(now.clone());
                self.tell(before, Some(now));
            }
            WatchEvent::Removed { last, .. } => {
                if let Some(before) = state.take(&last.key) {
                    self.tell(Some(before), None);
                }
            }
            WatchEvent::Bookmark { .. } => {}
        }
        state.revision = state.revision.max(revision);
        drop(state);
        self.seen.raise(revision);
    }

    fn tell(&self, before: Option<Arc<Stored>>, after: Option<Arc<Stored>>) {
        // An error means that nobody subscribes.
        let _ = self.changes.send(CacheChange { before, after });
    }
}
