//! A backend that fails: when it is told to, or at random from a seed.

mod feed;
mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use orc_core::Revision;
use orc_core::env::System;
use tokio::sync::watch;

use self::plan::Dice;
pub use self::plan::FaultPlan;
use crate::backend::{Backend, BackendError, Bounds, KeyRange, Page, RawChange, RawFeed, RawPage};

/// Passes everything on to another backend, apart from the faults that are switched on or drawn.
pub struct FaultyBackend {
    inner: Arc<dyn Backend>,
    dice: Option<Arc<Dice>>,
    calm: Arc<AtomicBool>,
    refuse: AtomicBool,
    forget: AtomicBool,
    cut: watch::Sender<u64>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    unheard: AtomicUsize,
    unanswered: AtomicUsize,
    cuts: Arc<AtomicUsize>,
}

/// What was done to the callers so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FaultCounts {
    /// Commits that failed and did not happen.
    pub unheard: usize,
    /// Commits that reached the backend and whose answer was lost.
    pub unanswered: usize,
    /// Feeds that were ended by the plan.
    pub cuts: usize,
}

impl FaultyBackend {
    /// No faults yet.
    pub fn over(inner: Arc<dyn Backend>) -> Arc<Self> {
        Self::made(inner, None)
    }

    /// Faults as planned, drawn from the system's randomness; waits are by its clock.
    pub fn planned(inner: Arc<dyn Backend>, plan: FaultPlan, system: &System) -> Arc<Self> {
        Self::made(inner, Some(Arc::new(Dice::new(plan, system))))
    }

    fn made(inner: Arc<dyn Backend>, dice: Option<Arc<Dice>>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            dice,
            calm: Arc::default(),
            refuse: AtomicBool::new(false),
            forget: AtomicBool::new(false),
            cut: watch::Sender::new(0),
            counts: Counts::default(),
        })
    }

    /// Whether commits are refused, as by a full disk.
    pub fn refuse_commits(&self, refuse: bool) {
        self.refuse.store(refuse, Ordering::SeqCst);
    }

    /// Ends every open feed with `Unavailable`.
    pub fn cut_feeds(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Ends every open feed, and answers the next one that is asked for with `Compacted`.
    pub fn forget_history(&self) {
        self.forget.store(true, Ordering::SeqCst);
        self.cut_feeds();
    }

    /// Stops drawing faults, for good: everything must now come right.
    pub fn calm_down(&self) {
        self.calm.store(true, Ordering::SeqCst);
    }

    /// What was drawn so far.
    pub fn counts(&self) -> FaultCounts {
        let of = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        let Counts { unheard, unanswered, cuts } = &self.counts;
        FaultCounts { unheard: of(unheard), unanswered: of(unanswered), cuts: of(cuts) }
    }

    fn dice(&self) -> Option<&Arc<Dice>> {
        self.dice.as_ref().filter(|_| !self.calm.load(Ordering::SeqCst))
    }

    async fn delay(&self) {
        if let Some(dice) = self.dice() {
            dice.delay().await;
        }
    }

    fn draw(&self, thousandths: fn(&FaultPlan) -> u64) -> bool {
        self.dice().is_some_and(|dice| dice.comes(thousandths(&dice.plan)))
    }

    async fn read(&self) -> Result<(), BackendError> {
        self.delay().await;
        if self.draw(|plan| plan.reads) { Err(drawn("a read failed")) } else { Ok(()) }
    }
}

/// A fault of the plan.
fn drawn(what: &str) -> BackendError {
    BackendError::Unavailable(format!("by the fault plan: {what}"))
}

#[async_trait]
impl Backend for FaultyBackend {
    async fn commit(&self, change: RawChange) -> Result<Revision, BackendError> {
        if self.refuse.load(Ordering::SeqCst) {
            return Err(BackendError::ReadOnly("a fault was asked for".to_owned()));
        }
        self.delay().await;
        if self.draw(|plan| plan.before) {
            self.counts.unheard.fetch_add(1, Ordering::SeqCst);
            return Err(drawn("the change was not made"));
        }
        let answer = self.inner.commit(change).await;
        self.delay().await;
        if self.draw(|plan| plan.after) {
            self.counts.unanswered.fetch_add(1, Ordering::SeqCst);
            return Err(drawn("the answer was lost; the change may have been made"));
        }
        answer
    }

    async fn scan(&self, range: KeyRange, at: Option<Revision>, page: Page) -> Result<RawPage, BackendError> {
        self.read().await?;
        self.inner.scan(range, at, page).await
    }

    async fn feed(&self, after: Revision) -> Result<RawFeed, BackendError> {
        self.read().await?;
        if self.forget.swap(false, Ordering::SeqCst) {
            let floor = self.inner.bounds().await?.current;
            return Err(BackendError::Compacted { asked: after, floor });
        }
        // Subscribed before the feed is asked for, so that no cut is missed.
        let cut = self.cut.subscribe();
        let feed = self.inner.feed(after).await?;
        let feed = feed::cuttable(feed, cut);
        Ok(match &self.dice {
            Some(dice) => feed::troubled(feed, dice.clone(), self.calm.clone(), self.counts.cuts.clone(), after),
            None => feed,
        })
    }

    async fn bounds(&self) -> Result<Bounds, BackendError> {
        self.read().await?;
        self.inner.bounds().await
    }

    fn expires(&self) -> bool {
        self.inner.expires()
    }
}
