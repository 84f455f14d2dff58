//! Where keys come from.

use std::sync::Arc;

use async_trait::async_trait;
use orc_core::env::Clock;
use orc_core::{ObjectKey, ResourceId};
use orc_store::Stored;
use orc_store::cache::{Cache, CacheEvent, Snapshot};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::queue::Queue;
use crate::reconciler::Key;

/// Something that adds keys to a controller's queue: a cache, a timer, a channel.
#[async_trait]
pub trait Source<K: Key>: Send + Sync + 'static {
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
    F: FnOnce(Sink<K>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send,
{
    async fn run(self: Box<Self>, sink: Sink<K>) {
        (self.0)(sink).await;
    }
}

/// Maps a state of an object to the keys that need a pass because of it.
pub type KeysOf<K> = Box<dyn Fn(&Arc<Stored>) -> Vec<K> + Send + Sync>;

/// A source from a cache: every object once at the start, then every change. Both the state before and the state after
/// a change are mapped, so that an object which moves from one owner to another wakes both.
pub struct CacheSource<K> {
    cache: Arc<Cache>,
    keys_of: KeysOf<K>,
}

impl<K: Key> CacheSource<K> {
    /// A source that maps objects to keys.
    pub fn new(cache: Arc<Cache>, keys_of: impl Fn(&Arc<Stored>) -> Vec<K> + Send + Sync + 'static) -> Self {
        Self { cache, keys_of: Box::new(keys_of) }
    }

    fn all(&self, snapshot: &Snapshot, sink: &Sink<K>) {
        sink.add_all(snapshot.iter().flat_map(|stored| (self.keys_of)(stored)));
    }
}

impl CacheSource<ObjectKey> {
    /// A source that gives the objects' own keys.
    pub fn keys(cache: Arc<Cache>) -> Self {
        Self::new(cache, |stored| vec![stored.key.clone()])
    }

    /// A source that gives the keys of the controlling owners of kind `K`.
    pub fn owners<O>(cache: Arc<Cache>) -> Self
    where
        O: orc_core::Object,
        O::DynamicType: Default,
    {
        let owner = O::DynamicType::default();
        let (group, kind) = (O::group(&owner).into_owned(), O::kind(&owner).into_owned());
        let resource = ResourceId::of::<O>();
        Self::new(cache, move |stored| {
            let of_kind = |owner: &&orc_core::OwnerRef| {
                *owner.kind == *kind && owner.api_version.split_once('/').map_or("", |(group, _)| group) == group
            };
            let owner = stored.head.controller().filter(of_kind);
            let key = |owner: &orc_core::OwnerRef| ObjectKey {
                resource: resource.clone(),
                namespace: stored.key.namespace.clone(),
                name: owner.name.as_str().into(),
            };
            owner.map(key).into_iter().collect()
        })
    }
}

#[async_trait]
impl<K: Key> Source<K> for CacheSource<K> {
    async fn run(self: Box<Self>, sink: Sink<K>) {
        let (mut seen, mut changes) = self.cache.subscribe();
        self.all(&seen, &sink);
        while let Some(event) = changes.next().await {
            match event {
                CacheEvent::Changed(change) => {
                    let states = change.before.iter().chain(change.after.iter());
                    sink.add_all(states.flat_map(|stored| (self.keys_of)(stored)));
                    // A picture may only be remembered when it shows nothing that is still to come.
                    let now = self.cache.snapshot();
                    if change.after.is_some_and(|after| after.revision == now.revision()) {
                        seen = now;
                    }
                }
                // Changes were missed: look at everything there is, and at everything that was there before, for some of it
                // may be gone.
                CacheEvent::Lagged => {
                    let now = self.cache.snapshot();
                    self.all(&seen, &sink);
                    self.all(&now, &sink);
                    seen = now;
                }
            }
        }
    }
}
