//! Feeds that break.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::StreamExt;
use futures::future::{self, Either};
use orc_core::Revision;
use tokio::sync::watch;

use super::plan::Dice;
use crate::backend::{BackendError, RawFeed};
use crate::testing::history::revision;

/// A feed that ends when it is cut.
pub(super) fn cuttable(feed: RawFeed, mut cut: watch::Receiver<u64>) -> RawFeed {
    let cut = Box::pin(async move {
        // The sender ending is a cut as well.
        let _ = cut.changed().await;
    });
    Box::pin(futures::stream::unfold(Some((feed, cut)), |state| async move {
        let (mut feed, cut) = state?;
        match future::select(cut, feed.next()).await {
            Either::Left(_) => Some((Err(BackendError::Unavailable("a fault was asked for".to_owned())), None)),
            Either::Right((None, _)) => None,
            Either::Right((Some(item), cut)) => Some((item, Some((feed, cut)))),
        }
    }))
}

struct Troubled {
    feed: RawFeed,
    dice: Arc<Dice>,
    calm: Arc<AtomicBool>,
    cuts: Arc<AtomicUsize>,
    at: Revision,
}

/// A feed whose items come late or not at all, as planned.
pub(super) fn troubled(
    feed: RawFeed,
    dice: Arc<Dice>,
    calm: Arc<AtomicBool>,
    cuts: Arc<AtomicUsize>,
    at: Revision,
) -> RawFeed {
    let state = Troubled { feed, dice, calm, cuts, at };
    Box::pin(futures::stream::unfold(Some(state), |state| async move {
        let mut state = state?;
        let item = state.feed.next().await?;
        if let Some(error) = state.fault().await {
            state.cuts.fetch_add(1, Ordering::SeqCst);
            return Some((Err(error), None));
        }
        if let Ok(event) = &item {
            state.at = revision(event);
        }
        Some((item, Some(state)))
    }))
}

impl Troubled {
    /// Waits if that is planned, or gives the error that comes in the item's place.
    async fn fault(&mut self) -> Option<BackendError> {
        if self.calm.load(Ordering::SeqCst) {
            return None;
        }
        self.dice.stall().await;
        if self.dice.comes(self.dice.plan.cuts) {
            return Some(super::drawn("the feed was cut"));
        }
        // The item that is held back is behind the consumer's place, so a floor there is the truth to be told.
        let floor = self.at.next();
        self.dice.comes(self.dice.plan.compactions).then_some(BackendError::Compacted { asked: self.at, floor })
    }
}
