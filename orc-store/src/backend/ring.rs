//! The recent changes in memory, and feeds that are cursors into them.
//!
//! Both built-in backends keep one. It is bounded by count and by bytes; what falls off raises the floor, and a feed that
//! stands below the floor ends with `Compacted` (its consumer scans again). Nothing queues per feed.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::stream;
use orc_core::Revision;
use parking_lot::RwLock;
use tokio::sync::watch;

use super::{BackendError, RawEvent, RawFeed};

/// Changes kept: several seconds of the busiest cluster measured (about 4,000 changes a second), so that a consumer that is
/// merely slow is not sent back to a scan.
const MAX_EVENTS: usize = 32_768;
/// Bytes of values kept. Values are shared with the replica as long as they are current.
const MAX_BYTES: usize = 128 << 20;
/// Changes handed over under one lock.
const BATCH: usize = 256;

struct Events {
    events: VecDeque<RawEvent>,
    bytes: usize,
    floor: Revision,
    last: Revision,
}

/// Recent changes, shared with the feeds that read them.
pub(super) struct Ring {
    events: RwLock<Events>,
    news: watch::Sender<()>,
}

impl Ring {
    /// An empty ring whose floor is `start`.
    pub(super) fn new(start: Revision) -> Arc<Self> {
        let events = Events { events: VecDeque::new(), bytes: 0, floor: start, last: start };
        Arc::new(Self { events: RwLock::new(events), news: watch::Sender::new(()) })
    }

    /// Makes changes visible to feeds. They must follow the ones before.
    pub(super) fn publish(&self, news: impl IntoIterator<Item = RawEvent>) {
        {
            let mut ring = self.events.write();
            for event in news {
                ring.last = revision(&event);
                ring.bytes += weight(&event);
                ring.events.push_back(event);
                while ring.events.len() > MAX_EVENTS || ring.bytes > MAX_BYTES {
                    let Some(old) = ring.events.pop_front() else { break };
                    ring.bytes -= weight(&old);
                    ring.floor = revision(&old);
                }
            }
        }
        self.news.send_replace(());
    }

    /// The floor: feeds start here or later.
    pub(super) fn floor(&self) -> Revision {
        self.events.read().floor
    }

    /// The last revision that was published.
    pub(super) fn last(&self) -> Revision {
        self.events.read().last
    }

    /// A feed of the changes after a revision.
    pub(super) fn feed(self: &Arc<Self>, after: Revision) -> Result<RawFeed, BackendError> {
        self.batch(after)?;
        let state =
            Cursor { news: self.news.subscribe(), ring: self.clone(), at: after, ready: VecDeque::new(), told: after };
        Ok(Box::pin(stream::unfold(Some(state), |state| async move {
            let mut state = state?;
            match state.next().await {
                Ok(event) => Some((Ok(event), Some(state))),
                Err(error) => Some((Err(error), None)),
            }
        })))
    }

    fn batch(&self, after: Revision) -> Result<(VecDeque<RawEvent>, Revision), BackendError> {
        let ring = self.events.read();
        if after < ring.floor {
            return Err(BackendError::Compacted { asked: after, floor: ring.floor });
        }
        let start = ring.events.partition_point(|event| revision(event) <= after);
        Ok((ring.events.range(start..).take(BATCH).cloned().collect(), ring.last))
    }
}

struct Cursor {
    ring: Arc<Ring>,
    news: watch::Receiver<()>,
    at: Revision,
    ready: VecDeque<RawEvent>,
    told: Revision,
}

impl Cursor {
    async fn next(&mut self) -> Result<RawEvent, BackendError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.at = revision(&event);
                self.told = self.at;
                return Ok(event);
            }
            self.news.borrow_and_update();
            let (ready, last) = self.ring.batch(self.at)?;
            self.ready = ready;
            if !self.ready.is_empty() {
                continue;
            }
            if last > self.told {
                self.told = last;
                return Ok(RawEvent::Progress(last));
            }
            // The sender lives in the ring, which this cursor holds.
            let _ = self.news.changed().await;
        }
    }
}

/// The revision of an event.
pub(super) fn revision(event: &RawEvent) -> Revision {
    match event {
        RawEvent::Put(record) => record.revision,
        RawEvent::Delete { revision, .. } | RawEvent::Progress(revision) => *revision,
    }
}

fn weight(event: &RawEvent) -> usize {
    const OVERHEAD: usize = 96;
    match event {
        RawEvent::Put(record) => record.key.len() + record.value.len() + OVERHEAD,
        RawEvent::Delete { key, .. } => key.len() + OVERHEAD,
        RawEvent::Progress(_) => OVERHEAD,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::StreamExt;

    use super::*;

    fn deletion(n: u64) -> RawEvent {
        RawEvent::Delete { key: Bytes::from_static(b"/x//y"), revision: Revision(n) }
    }

    #[tokio::test]
    async fn what_falls_off_raises_the_floor_and_ends_old_feeds() {
        let ring = Ring::new(Revision(10));
        let mut slow = ring.feed(Revision(10)).unwrap();
        ring.publish((11..=10 + MAX_EVENTS as u64 + 5).map(deletion));
        assert_eq!(ring.floor(), Revision(15));
        assert!(matches!(slow.next().await, Some(Err(BackendError::Compacted { asked: Revision(10), .. }))));
        assert!(slow.next().await.is_none());
        assert!(ring.feed(Revision(14)).is_err());
        let mut fresh = ring.feed(Revision(15)).unwrap();
        assert_eq!(fresh.next().await.unwrap().unwrap(), deletion(16));
    }
}
