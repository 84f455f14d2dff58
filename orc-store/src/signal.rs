//! "Something changed": a bell that wakes its listeners in the order in which they began to wait.
//!
//! tokio's `watch` channel wakes waiters in an order that no seed reaches (it spreads them over random lists), and so the
//! same seed would not give the same trace. A version and a `Notify` do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// A bell.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    version: AtomicU64,
    notify: Notify,
}

/// Somebody who hears a bell.
#[derive(Debug)]
pub(crate) struct Listener {
    signal: Arc<Signal>,
    seen: u64,
}

impl Signal {
    /// Wakes everybody who listens.
    pub(crate) fn ring(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
        self.notify.notify_waiters();
    }

    /// Whether it has ever been rung.
    pub(crate) fn has_rung(&self) -> bool {
        self.version.load(Ordering::SeqCst) > 0
    }

    /// A listener who hears what is rung from now on.
    pub(crate) fn listen(self: &Arc<Self>) -> Listener {
        Listener { seen: self.version.load(Ordering::SeqCst), signal: self.clone() }
    }

    /// Waits until it has ever been rung. Cancel-safe.
    pub(crate) async fn first(self: &Arc<Self>) {
        Listener { seen: 0, signal: self.clone() }.rung().await;
    }
}

impl Listener {
    /// Counts everything rung so far as heard.
    pub(crate) fn catch_up(&mut self) {
        self.seen = self.signal.version.load(Ordering::SeqCst);
    }

    /// Waits for a ring that was not heard yet. Cancel-safe.
    pub(crate) async fn rung(&mut self) {
        loop {
            let notified = self.signal.notify.notified();
            tokio::pin!(notified);
            // In the line before the look: a ring in between is not missed.
            notified.as_mut().enable();
            let now = self.signal.version.load(Ordering::SeqCst);
            if now != self.seen {
                self.seen = now;
                return;
            }
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    #[tokio::test]
    async fn listeners_wake_in_the_order_in_which_they_waited() {
        let signal = Arc::new(Signal::default());
        let woken = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..20)
            .map(|number| {
                let (mut listener, woken) = (signal.listen(), woken.clone());
                tokio::spawn(async move {
                    listener.rung().await;
                    woken.lock().push(number);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        signal.ring();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*woken.lock(), (0..20).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_ring_before_the_wait_is_heard() {
        let signal = Arc::new(Signal::default());
        let mut listener = signal.listen();
        signal.ring();
        listener.rung().await;
        signal.first().await;
        assert!(signal.has_rung());
    }
}
