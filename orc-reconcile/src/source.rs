//! Where keys come from.

use std::sync::Arc;

use async_trait::async_trait;
use orc_core::env::Clock;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::queue::Queue;
use crate::reconciler::Key;

/// Something that adds keys to a controller's queue: a cache, a timer, a channel.
#[async_trait]
pub trait Source<K: Key>: Send + 'static {
    /// Runs until it is dropped. Must add every key that may need a pass, at least once after the last change to it.
    async fn run(self: Box<Self>, sink: Sink<K>);
}

/// The way into a controller's queue. Cheap to clone.
pub struct Sink<K> {
    pub(crate) queue: Arc<Mutex<Queue<K>>>,
    pub(crate) wake: Arc<Notify>,
    pub(crate) clock: Clock,
}

impl<K> Clone for Sink<K> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), wake: self.wake.clone(), clock: self.clock.clone() }
    }
}

impl<K: Key> Sink<K> {
    /// Adds one key.
    pub fn add(&self, key: K) {
        self.add_all([key]);
    }

    /// Adds keys.
    pub fn add_all(&self, keys: impl IntoIterator<Item = K>) {
        let now = self.clock.now();
        let mut queue = self.queue.lock();
        for key in keys {
            queue.add(key, now);
        }
        drop(queue);
        self.wake.notify_one();
    }
}

/// A source from an async function.
pub struct FnSource<F>(pub F);

#[async_trait]
impl<K, F, Fut> Source<K> for FnSource<F>
where
    K: Key,
    F: FnOnce(Sink<K>) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    async fn run(self: Box<Self>, sink: Sink<K>) {
        (self.0)(sink).await;
    }
}
