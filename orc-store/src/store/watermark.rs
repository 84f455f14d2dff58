//! How far the replica is, and who waits for it to come further.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use orc_core::Revision;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// A growing revision with waiters sorted by what they wait for: an advance touches only those it satisfies.
#[derive(Debug)]
pub(crate) struct Watermark {
    at: AtomicU64,
    waiters: Mutex<Waiters>,
}

#[derive(Debug, Default)]
struct Waiters {
    next: u64,
    queue: BTreeMap<(u64, u64), oneshot::Sender<()>>,
}

impl Watermark {
    pub(crate) fn new(at: Revision) -> Self {
        Self { at: AtomicU64::new(at.0), waiters: Mutex::default() }
    }

    pub(crate) fn get(&self) -> Revision {
        Revision(self.at.load(Ordering::Acquire))
    }

    /// Raises the mark; a lower one changes nothing.
    pub(crate) fn raise(&self, to: Revision) {
        let due = {
            let mut waiters = self.waiters.lock();
            if to.0 <= self.at.load(Ordering::Acquire) {
                return;
            }
            self.at.store(to.0, Ordering::Release);
            let later = waiters.queue.split_off(&(to.0 + 1, 0));
            std::mem::replace(&mut waiters.queue, later)
        };
        for waiter in due.into_values() {
            // A waiter that gave up has dropped its end.
            let _ = waiter.send(());
        }
    }

    /// Waits until the mark is at least `until`. Cancel-safe; a waiter that gives up leaves its place when the mark passes.
    pub(crate) async fn reached(&self, until: Revision) {
        if self.get() >= until {
            return;
        }
        let waiting = {
            let mut waiters = self.waiters.lock();
            if self.get() >= until {
                return;
            }
            let (tell, waiting) = oneshot::channel();
            let ticket = waiters.next;
            waiters.next += 1;
            // Waiters for revisions that never come must not pile up.
            if ticket.is_multiple_of(1024) {
                waiters.queue.retain(|_, waiter| !waiter.is_closed());
            }
            waiters.queue.insert((until.0, ticket), tell);
            waiting
        };
        let _ = waiting.await;
    }
}
