//! Caches: the objects of a scope, kept up to date by one watch that all who ask for the same scope share.
//!
//! A cache is pure state and a pump that fills it. A read never starts a watch: [`Cache::start`] does. A subscriber gets a
//! snapshot and the changes after it in one act, and is told when it lost some. A cache lives while somebody holds it.

mod changes;
mod pump;
mod state;
mod typed;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use orc_core::env::{Clock, Spawner, Task};
use orc_core::{Object, ObjectKey, ResourceId, Revision};
use parking_lot::{Mutex, RwLock};
use tokio::sync::broadcast;

pub use self::changes::{CacheChange, CacheEvent, Changes};
pub use self::state::{IndexFn, Snapshot};
pub use self::typed::{Typed, TypedSnapshot};
use crate::client::{ObjectClient, Scope, Selection};
use crate::signal::Signal;
use crate::store::Watermark;
use crate::stored::Stored;

/// How much of each object a cache needs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Shape {
    /// All of it.
    #[default]
    Full,
    /// The head; bodies may be missing (in-process clients share what the store holds anyway).
    Head,
}

/// What a cache holds, and its identity: equal interests share one cache.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Interest {
    /// The resource and namespace.
    pub scope: Scope,
    /// Which objects of it.
    pub select: Selection,
    /// How much of each.
    pub shape: Shape,
}

impl Interest {
    /// All objects of a resource.
    pub fn all(resource: ResourceId) -> Self {
        Self::within(Scope::all(resource))
    }

    /// All objects of a type's resource.
    pub fn of<K: Object>() -> Self
    where
        K::DynamicType: Default,
    {
        Self::all(ResourceId::of::<K>())
    }

    /// The objects of a scope.
    pub fn within(scope: Scope) -> Self {
        Self { scope, select: Selection::default(), shape: Shape::Full }
    }

    /// Only selected objects.
    pub fn selecting(mut self, select: Selection) -> Self {
        self.select = select;
        self
    }

    /// Only heads.
    pub fn heads(mut self) -> Self {
        self.shape = Shape::Head;
        self
    }
}

/// The caches over one client. Clones share them.
#[derive(Clone)]
pub struct Caches(Arc<Shared>);

struct Shared {
    client: Arc<dyn ObjectClient>,
    clock: Clock,
    spawn: Spawner,
    caches: Mutex<Vec<Weak<Cache>>>,
}

impl Caches {
    /// No caches yet, over a client.
    pub fn new(client: Arc<dyn ObjectClient>, clock: Clock, spawn: Spawner) -> Self {
        Self(Arc::new(Shared { client, clock, spawn, caches: Mutex::default() }))
    }

    /// The cache of an interest, made when nobody holds one. It is empty until somebody calls [`Cache::start`].
    pub fn cache(&self, interest: Interest) -> Arc<Cache> {
        let mut caches = self.0.caches.lock();
        caches.retain(|cache| cache.strong_count() > 0);
        if let Some(found) = caches.iter().filter_map(Weak::upgrade).find(|cache| cache.interest == interest) {
            return found;
        }
        let made = Arc::new(Cache::new(interest, self.0.client.clone(), self.0.clock.clone(), self.0.spawn.clone()));
        caches.push(Arc::downgrade(&made));
        made
    }

    /// The started cache of a type's resource, with its typed face.
    pub fn typed<K: Object>(&self) -> Typed<K>
    where
        K::DynamicType: Default,
    {
        self.cache(Interest::of::<K>()).start().typed()
    }

    /// What every live cache says of itself.
    pub fn status(&self) -> Vec<CacheStatus> {
        let caches: Vec<Arc<Cache>> = self.0.caches.lock().iter().filter_map(Weak::upgrade).collect();
        caches.iter().map(|cache| cache.status()).collect()
    }
}

impl fmt::Debug for Caches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.status()).finish()
    }
}

/// What a cache says of itself to operators.
#[derive(Clone, Debug)]
pub struct CacheStatus {
    /// What it holds.
    pub interest: Interest,
    /// Whether it has been filled once.
    pub synced: bool,
    /// The revision that it shows.
    pub revision: Revision,
    /// How many objects it holds.
    pub objects: usize,
    /// How often it was filled.
    pub fills: u64,
    /// What last went wrong with its watch.
    pub last_error: Option<String>,
}

/// A cache did not show a revision in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the cache shows revision {at}, not {asked} yet")]
pub struct Stale {
    /// The revision waited for.
    pub asked: Revision,
    /// The revision shown.
    pub at: Revision,
}

/// The objects of an interest.
pub struct Cache {
    interest: Interest,
    client: Arc<dyn ObjectClient>,
    clock: Clock,
    spawn: Spawner,
    state: RwLock<Snapshot>,
    changes: broadcast::Sender<CacheChange>,
    seen: Watermark,
    synced: Arc<Signal>,
    health: Mutex<Health>,
    pump: Mutex<Option<Task>>,
}

#[derive(Default)]
struct Health {
    fills: u64,
    last_error: Option<String>,
}

impl Cache {
    fn new(interest: Interest, client: Arc<dyn ObjectClient>, clock: Clock, spawn: Spawner) -> Self {
        Self {
            interest,
            client,
            clock,
            spawn,
            state: RwLock::default(),
            changes: broadcast::Sender::new(changes::KEPT),
            seen: Watermark::new(Revision::ZERO),
            synced: Arc::default(),
            health: Mutex::default(),
            pump: Mutex::default(),
        }
    }

    /// Starts the watch that fills the cache, unless it runs already.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(self: Arc<Self>) -> Arc<Self> {
        let mut pump = self.pump.lock();
        if pump.as_ref().is_none_or(Task::is_finished) {
            *pump = Some(self.spawn.spawn(pump::run(Arc::downgrade(&self))));
        }
        drop(pump);
        self
    }

    /// What the cache holds.
    pub fn interest(&self) -> &Interest {
        &self.interest
    }

    /// Adds an index over the present and all later objects; a second one of the same name changes nothing.
    pub fn add_index(&self, name: &str, values_of: IndexFn) {
        self.state.write().add_index(name, values_of);
    }

    /// An immutable picture; costs a few pointers.
    pub fn snapshot(&self) -> Snapshot {
        self.state.read().clone()
    }

    /// An object by its key.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<Stored>> {
        self.state.read().get(key).cloned()
    }

    /// The typed face.
    pub fn typed<K: Object>(self: &Arc<Self>) -> Typed<K> {
        Typed::new(self.clone())
    }

    /// A picture and every change after it. Before the first fill the picture is empty and the changes bring the objects.
    pub fn subscribe(&self) -> (Snapshot, Changes) {
        // Changes are sent under the write lock, so nothing falls between the two.
        let state = self.state.read();
        (state.clone(), Changes(self.changes.subscribe()))
    }

    /// Waits until the cache has been filled once. Never ends for a cache that was not started.
    pub async fn synced(&self) {
        // The sender is in this cache, so waiting cannot fail.
        self.synced.first().await;
    }

    /// Whether the cache has been filled once.
    pub fn is_synced(&self) -> bool {
        self.synced.has_rung()
    }

    /// Waits until the cache shows a revision: read what you wrote. The revision must be one of the cache's own resource;
    /// others are seen only when a bookmark or a later change passes them.
    ///
    /// # Errors
    /// [`Stale`] when it does not within `wait`.
    pub async fn observed(&self, revision: Revision, wait: Duration) -> Result<(), Stale> {
        let seen = self.seen.reached(revision);
        tokio::select! {
            biased;
            () = seen => Ok(()),
            () = self.clock.sleep(wait) => Err(Stale { asked: revision, at: self.seen.get() }),
        }
    }

    /// What the cache says of itself.
    pub fn status(&self) -> CacheStatus {
        let (revision, objects) = {
            let state = self.state.read();
            (state.revision(), state.len())
        };
        let health = self.health.lock();
        CacheStatus {
            interest: self.interest.clone(),
            synced: self.is_synced(),
            revision,
            objects,
            fills: health.fills,
            last_error: health.last_error.clone(),
        }
    }
}
