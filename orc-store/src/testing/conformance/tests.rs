//! The kit finds what is wrong with backends that are wrong in one way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use orc_core::Revision;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{Conformance, Group};
use crate::backend::{
    Backend, BackendError, Bounds, Expect, KeyRange, MemoryBackend, Page, RawChange, RawEvent, RawFeed, RawPage,
};
use crate::testing::history::revision;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wrong {
    StaleScans,
    StaleBounds,
    FeedsWithGaps,
    FeedsThatRepeat,
    FeedsThatHurry,
    FeedsThatStop,
    EmptyValuesDelete,
    IgnoresExpectations,
    AnswersBelowTheFloor,
    LeaksDroppedCalls,
    HalfDoneDroppedCalls,
    HidesWhatIsThere,
    CutsBigValues,
    SkipsBetweenPages,
    AcknowledgesNothing,
    DoesThingsTwice,
}

struct WrongBackend {
    inner: MemoryBackend,
    wrong: Wrong,
    calls: AtomicU64,
    old: Mutex<Option<RawPage>>,
    places: Semaphore,
}

impl WrongBackend {
    fn is(&self, wrong: Wrong) -> bool {
        self.wrong == wrong
    }

    /// Every so many calls.
    fn now_and_then(&self, wrong: Wrong, every: u64) -> bool {
        self.is(wrong) && self.calls.fetch_add(1, Ordering::SeqCst) % every == every - 1
    }

    async fn present(&self, change: &RawChange) -> Option<Revision> {
        let range = KeyRange { start: change.key.clone(), end: None };
        let page = self.inner.scan(range, None, Page { limit: 1 }).await.unwrap();
        page.records.first().filter(|record| record.key == change.key).map(|record| record.revision)
    }
}

#[async_trait]
impl Backend for WrongBackend {
    async fn commit(&self, mut change: RawChange) -> Result<Revision, BackendError> {
        if self.is(Wrong::LeaksDroppedCalls) {
            self.places.acquire().await.unwrap().forget();
            tokio::task::yield_now().await;
            self.places.add_permits(1);
        }
        if self.is(Wrong::EmptyValuesDelete) {
            change.value = change.value.filter(|value| !value.is_empty());
        }
        if let Some(value) = change.value.as_mut().filter(|_| self.is(Wrong::CutsBigValues)) {
            value.truncate(65_536);
        }
        if self.now_and_then(Wrong::IgnoresExpectations, 10) {
            change.expect = self.present(&change).await.map_or(Expect::Absent, Expect::At);
        }
        if self.now_and_then(Wrong::AcknowledgesNothing, 50) {
            return Ok(self.inner.bounds().await?.current.next());
        }
        if self.is(Wrong::HalfDoneDroppedCalls) && change.value.is_some() && change.expect == Expect::Absent {
            let mut half = change.clone();
            half.value = half.value.map(|value| value.slice(..value.len() / 2));
            let at = self.inner.commit(half).await?;
            tokio::task::yield_now().await;
            change.expect = Expect::At(at);
        }
        let told = self.inner.commit(change.clone()).await;
        match told {
            Ok(at) if change.value.is_some() && self.now_and_then(Wrong::DoesThingsTwice, 20) => {
                self.inner.commit(RawChange { expect: Expect::At(at), ..change }).await?;
                Ok(at)
            }
            Err(BackendError::Unmet { .. }) if self.is(Wrong::HidesWhatIsThere) => {
                Err(BackendError::Unmet { now: None })
            }
            told => told,
        }
    }

    async fn scan(&self, range: KeyRange, at: Option<Revision>, page: Page) -> Result<RawPage, BackendError> {
        let skip = self.is(Wrong::SkipsBetweenPages) && page.limit == 3;
        let mut found = self.inner.scan(range.clone(), at, page).await?;
        if skip && let Some(next) = &mut found.next {
            *next = [next.as_ref(), b"\0"].concat().into();
        }
        if range == KeyRange::all() && page.limit == usize::MAX {
            let old = self.old.lock().replace(found.clone());
            if let Some(old) = old.filter(|_| self.now_and_then(Wrong::StaleScans, 3)) {
                return Ok(old);
            }
        }
        Ok(found)
    }

    async fn feed(&self, after: Revision) -> Result<RawFeed, BackendError> {
        let floor = self.inner.bounds().await?.compacted;
        let after = if self.is(Wrong::AnswersBelowTheFloor) { after.max(floor) } else { after };
        let (wrong, feed) = (self.wrong, self.inner.feed(after).await?);
        let spoiled = feed.flat_map(move |item| {
            let Ok(event @ (RawEvent::Put(_) | RawEvent::Delete { .. })) = item else {
                return stream::iter(vec![item]);
            };
            let now = revision(&event).0.is_multiple_of(40);
            stream::iter(match wrong {
                Wrong::FeedsWithGaps if now => Vec::new(),
                Wrong::FeedsThatRepeat if now => vec![Ok(event.clone()), Ok(event)],
                Wrong::FeedsThatHurry if now => vec![Ok(RawEvent::Progress(revision(&event))), Ok(event)],
                _ => vec![Ok(event)],
            })
        });
        let stops = self.is(Wrong::FeedsThatStop);
        Ok(spoiled
            .take_while(move |item| {
                let on = !stops || !matches!(item, Ok(event) if revision(event).0 > 60);
                // Silent, not ended.
                async move { if on { true } else { std::future::pending().await } }
            })
            .boxed())
    }

    async fn bounds(&self) -> Result<Bounds, BackendError> {
        let mut bounds = self.inner.bounds().await?;
        if self.now_and_then(Wrong::StaleBounds, 5) {
            bounds.current = Revision(bounds.current.0.saturating_sub(3).max(1));
        }
        Ok(bounds)
    }
}

/// The group and law that a wrong backend is found by.
async fn found(wrong: Wrong) -> (Group, String) {
    let make = move || async move {
        let (inner, calls, old) = (MemoryBackend::new(), AtomicU64::new(0), Mutex::new(None));
        Arc::new(WrongBackend { inner, wrong, calls, old, places: Semaphore::new(64) }) as Arc<dyn Backend>
    };
    for seed in 1..4 {
        let kit = Conformance::of(make).seed(seed).operations(200).patience(Duration::from_secs(5));
        for group in Group::ALL {
            if let Err(broken) = kit.check(group).await {
                assert!(broken.to_string().contains(&format!("seed({seed})")), "{broken}");
                return (group, broken.violation.to_string());
            }
        }
    }
    panic!("{wrong:?} is not found");
}

#[tokio::test(start_paused = true)]
async fn wrong_backends_are_found() {
    use Wrong::*;
    for (wrong, groups, law) in [
        (StaleScans, &[Group::Linear][..], "before it began"),
        (StaleBounds, &[Group::Crud, Group::Linear], ""),
        (FeedsWithGaps, &[Group::Crud], "once, in order"),
        (FeedsThatRepeat, &[Group::Crud], "progress mark"),
        (FeedsThatHurry, &[Group::Crud], "progress mark"),
        (FeedsThatStop, &[Group::Crud], "what must come comes"),
        (EmptyValuesDelete, &[Group::Keys], "empty value"),
        (IgnoresExpectations, &[Group::Crud], "expectation holds"),
        (AnswersBelowTheFloor, &[Group::Crud], "below the floor"),
        (LeaksDroppedCalls, &[Group::Keys], "what must come comes"),
        (HalfDoneDroppedCalls, &[Group::Crud, Group::Keys], ""),
        (HidesWhatIsThere, &[Group::Crud], "present revision"),
        (CutsBigValues, &[Group::Keys], "byte for byte"),
        (SkipsBetweenPages, &[Group::Crud], "pages of a range"),
        (AcknowledgesNothing, &[Group::Crud], ""),
        (DoesThingsTwice, &[Group::Crud], ""),
    ] {
        let (group, seen) = found(wrong).await;
        assert!(groups.contains(&group) && seen.contains(law), "{wrong:?} is found in {group} by {seen}");
    }
}

/// Groups other than the first ones find what is theirs by themselves.
#[tokio::test(start_paused = true)]
async fn each_group_finds_what_is_its_own() {
    use Wrong::*;
    for (group, wrongs) in [
        (Group::Linear, &[StaleScans, StaleBounds, IgnoresExpectations, AcknowledgesNothing, DoesThingsTwice][..]),
        (Group::Watches, &[FeedsWithGaps, FeedsThatRepeat, FeedsThatHurry, FeedsThatStop]),
        (Group::Pages, &[FeedsWithGaps, FeedsThatStop]),
        (Group::Trouble, &[DoesThingsTwice, FeedsWithGaps, AcknowledgesNothing]),
    ] {
        for wrong in wrongs.iter().copied() {
            let make = move || async move {
                let (inner, calls, old) = (MemoryBackend::new(), AtomicU64::new(0), Mutex::new(None));
                Arc::new(WrongBackend { inner, wrong, calls, old, places: Semaphore::new(64) }) as Arc<dyn Backend>
            };
            let mut missed = true;
            for seed in 1..4 {
                let kit = Conformance::of(make).seed(seed).operations(300).patience(Duration::from_secs(5));
                missed &= kit.check(group).await.is_ok();
            }
            assert!(!missed, "{wrong:?} is not found by {group}");
        }
    }
}
