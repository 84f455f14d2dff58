//! Watches that are dropped and resumed all day, over restarts as well.

use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use orc_core::Revision;
use orc_core::env::{Rng, System};
use orc_core::labels::{FieldSelector, Selector};

use super::traffic::pods;
use crate::client::{Scope, Selection, WatchOptions, WatchStart, WatchStream};
use crate::event::{WatchEnd, WatchEvent};
use crate::store::Store;
use crate::testing::Violation;
use crate::testing::watching::Watched;

/// Rounds after which a watch has told everything: it looks at 256 changes a round, of at most 32,768 that are kept.
const ROUNDS: usize = 160;

/// What is watched and listed: what nodes, controllers and curious people want.
pub(super) fn interests() -> Vec<(Scope, Selection)> {
    let field =
        |path: &str, value: &str| Selection { fields: FieldSelector::equal(path, value), ..Selection::default() };
    let labels = Selector::parse("app in (a1,a2)").unwrap_or_default();
    vec![
        (Scope::all(pods()), Selection::default()),
        (Scope::all(pods()), field("spec.nodeName", "node-1")),
        (Scope::all(pods()), field("spec.nodeName", "")),
        (Scope::within(pods(), "a-b"), Selection { labels, ..Selection::default() }),
        (Scope::within(pods(), "a"), field("metadata.name", "pod-3")),
        (Scope::all(orc_core::ResourceId::new("", "configmaps")), Selection::default()),
        (Scope::all(orc_core::ResourceId::new("", "events")), Selection::default()),
        (Scope::all(orc_core::ResourceId::new("coordination.k8s.io", "leases")), Selection::default()),
    ]
}

/// A watch that was open when its store ended.
#[derive(Clone, Debug)]
pub(super) struct Resumable {
    scope: Scope,
    select: Selection,
    reached: Revision,
}

struct Slot {
    watched: Watched,
    stream: WatchStream,
    reached: Revision,
    begun: bool,
}

pub(super) struct Watchers {
    rng: Rng,
    slots: Vec<Slot>,
    done: Vec<Watched>,
    resumed: usize,
}

impl Watchers {
    /// Opens the watches where they were.
    pub(super) async fn resume(past: &[Resumable], store: Arc<Store>, system: &System) -> Result<Self, Violation> {
        let mut watchers = Self { rng: system.rng.fork(), slots: Vec::new(), done: Vec::new(), resumed: past.len() };
        for Resumable { scope, select, reached } in past {
            watchers.open(&store, scope.clone(), select.clone(), WatchStart::After(*reached)).await?;
        }
        if past.is_empty() {
            for (scope, select) in interests() {
                watchers.open(&store, scope, select, WatchStart::Initial).await?;
            }
        }
        Ok(watchers)
    }

    async fn open(
        &mut self,
        store: &Store,
        scope: Scope,
        select: Selection,
        start: WatchStart,
    ) -> Result<(), Violation> {
        let (least, floor) = (store.current(), store.floor(&scope.resource));
        let options = WatchOptions { select: select.clone(), start, bookmarks: true };
        let stream = store.watch(&scope, &options).await;
        let stream = stream.map_err(|error| Violation::new("a watch is given", error.to_string()))?;
        let most = store.backend().bounds().await.map_or(Revision(u64::MAX), |bounds| bounds.current);
        let (told, end, complete) = (Vec::new(), None, None);
        let watched = Watched { scope, select, start, least, most, floor, told, end, complete };
        let reached = if let WatchStart::After(after) = start { after } else { Revision::ZERO };
        let begun = matches!(start, WatchStart::After(_) | WatchStart::Now);
        self.slots.push(Slot { watched, stream, reached, begun });
        Ok(())
    }

    /// Reads what the watches have to tell; drops some and opens them again.
    pub(super) async fn turn(&mut self, store: &Store) -> Result<(), Violation> {
        for mut slot in std::mem::take(&mut self.slots) {
            slot.drain();
            let expired = matches!(slot.watched.end, Some(WatchEnd::Expired { .. }));
            if slot.watched.end.is_none() && self.rng.below(120) > 0 {
                self.slots.push(slot);
                continue;
            }
            let Slot { watched, reached, begun, .. } = slot;
            let (scope, select) = (watched.scope.clone(), watched.select.clone());
            let start = match self.rng.below(5) {
                _ if expired || !begun => WatchStart::Initial,
                0 => WatchStart::InitialAtLeast(reached),
                1 => WatchStart::Now,
                2 => WatchStart::After(Revision(reached.0 - self.rng.below(200).min(reached.0))),
                _ => WatchStart::After(reached),
            };
            self.done.push(watched);
            self.open(store, scope, select, start).await?;
        }
        Ok(())
    }

    /// Reads everything that is still to be told.
    pub(super) async fn finish(&mut self, store: &Store) {
        let current = store.current();
        for slot in &mut self.slots {
            for _ in 0..ROUNDS {
                slot.drain();
            }
            slot.watched.complete = Some(current);
        }
    }

    /// All watches of this life.
    pub(super) fn watched(&self) -> impl Iterator<Item = &Watched> {
        self.done.iter().chain(self.slots.iter().map(|slot| &slot.watched))
    }

    /// How many were resumed from the life before.
    pub(super) fn resumed(&self) -> usize {
        self.resumed
    }

    /// What the next life resumes.
    pub(super) fn leave(&mut self) -> Vec<Resumable> {
        let left = self.slots.drain(..).filter(|slot| slot.begun);
        left.map(|Slot { watched: Watched { scope, select, .. }, reached, .. }| Resumable { scope, select, reached })
            .collect()
    }
}

impl Slot {
    /// Everything that is told without waiting.
    fn drain(&mut self) {
        while self.watched.end.is_none() {
            match self.stream.next().now_or_never() {
                Some(Some(Ok(event))) => {
                    self.begun |= matches!(event, WatchEvent::Bookmark { .. });
                    if self.begun {
                        self.reached = self.reached.max(event.revision());
                    }
                    self.watched.told.push(event);
                }
                Some(Some(Err(end))) => self.watched.end = Some(end),
                Some(None) | None => return,
            }
        }
    }
}
