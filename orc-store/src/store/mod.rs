//! The store: written once over any backend.
//!
//! A replica of the backend's log in persistent maps, one a resource, with a bounded history of changes. Snapshots cost
//! nothing and never block the writer. A watcher is a cursor into the history, not a queue: whoever is too slow is told
//! `Expired` and lists again. See `docs/design/store.md`.
//!
//! `history`, `shard` and `topic` are pure; `driver` is the one task that applies the backend's feed to them.

mod announced;
mod config;
mod core;
mod driver;
mod history;
mod place;
mod read;
mod select;
mod shard;
mod topic;
mod watch;
mod watermark;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use orc_core::env::{Clock, System, Task};
use orc_core::{ApiError, ObjectKey, Reason, ResourceId, Revision};

pub use self::config::{FieldsOf, StoreConfig};
use self::core::Core;
pub use self::place::{parse_key, raw_key};
use crate::backend::{Backend, BackendError, Durability, Expect, RawChange};
use crate::stored::Stored;

pub(crate) use self::watermark::Watermark;

/// Objects over a backend: reads at a stated freshness, watches, and conditional commits of one object.
///
/// No rule of any kind is applied here; see [`LocalClient`](crate::LocalClient).
pub struct Store {
    core: Arc<Core>,
    backend: Arc<dyn Backend>,
    clock: Clock,
    _driver: Task,
}

/// What a commit did.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The object as it is stored now; after a deletion, as it was last.
    pub stored: Arc<Stored>,
    /// The revision of the change; a deletion's is newer than its object's.
    pub revision: Revision,
}

impl Store {
    /// Opens a store with the default bounds. `fields` gives the selectable fields of a resource.
    ///
    /// # Errors
    /// The backend's; `Corrupt` when a record is not an object.
    pub async fn open(backend: Arc<dyn Backend>, fields: FieldsOf, system: System) -> Result<Arc<Self>, BackendError> {
        Self::open_with(backend, fields, system, StoreConfig::default()).await
    }

    /// Opens a store: reads the whole backend and starts to follow it.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_with(
        backend: Arc<dyn Backend>,
        fields: FieldsOf,
        system: System,
        config: StoreConfig,
    ) -> Result<Arc<Self>, BackendError> {
        let core = Arc::new(Core::new(config, fields));
        driver::load(&core, &*backend).await?;
        let driver = system.spawn.spawn(driver::follow(core.clone(), backend.clone(), system.clock.clone()));
        Ok(Arc::new(Self { core, backend, clock: system.clock, _driver: driver }))
    }

    /// A store over a new memory backend, without selectable fields: the start of most tests.
    pub async fn in_memory(system: &System) -> Arc<Self> {
        let fields: FieldsOf = Arc::new(|_| Arc::from([]));
        let backend = Arc::new(crate::backend::MemoryBackend::new());
        let opened = Self::open(backend, fields, system.clone()).await;
        opened.unwrap_or_else(|error| unreachable!("an empty memory backend opens: {error}"))
    }

    /// Changes one object: `body` is its canonical body, `None` deletes. Returns once the replica shows the change, so that
    /// the caller reads what it wrote. `durability` of `None` is the resource's policy.
    ///
    /// Dropping the future: the change happens whole or not at all, and may still happen.
    ///
    /// # Errors
    /// `AlreadyExists` or `Conflict` when the object is not in the expected state; `ServiceUnavailable` when the backend is
    /// out of reach or refuses writes; others as the backend's.
    pub async fn commit(
        &self,
        key: &ObjectKey,
        body: Option<Bytes>,
        expect: Expect,
        durability: Option<Durability>,
    ) -> Result<Committed, ApiError> {
        // Read before it is committed, so that nothing unreadable gets into the log.
        let _announced = body.as_ref().map(|body| self.core.announce(key, body)).transpose()?;
        let last = match (&body, expect) {
            (None, Expect::At(at)) => self.state_at(key, at).await?,
            _ => None,
        };
        let durability = durability.unwrap_or_else(|| (self.core.config.durability)(&key.resource));
        let ttl = body.as_ref().and_then(|_| (self.core.config.ttl)(&key.resource));
        let change = RawChange { key: raw_key(key), value: body.clone(), expect, durability, ttl };
        let revision = self.backend.commit(change).await.map_err(|error| commit_error(key, expect, error))?;
        self.core.shown(revision).await?;
        let shown = self.peek(key).filter(|shown| shown.revision == revision);
        let stored = match (shown, body) {
            (Some(shown), _) => shown,
            // Somebody else has changed it since.
            (None, Some(body)) => Arc::new(Stored::new(key.clone(), revision, self.core.head(key, &body)?, body)),
            _ => last.ok_or_else(|| ApiError::internal(format!("the last state of {key} is not known")))?,
        };
        Ok(Committed { stored, revision })
    }

    async fn state_at(&self, key: &ObjectKey, at: Revision) -> Result<Option<Arc<Stored>>, ApiError> {
        self.wait_for(at, self.core.config.future_wait).await?;
        Ok(self.peek(key).filter(|shown| shown.revision == at))
    }

    /// The revision up to which the replica shows everything.
    pub fn current(&self) -> Revision {
        self.core.applied.get()
    }

    /// The oldest revision from which a watch of the resource can start.
    pub fn floor(&self, resource: &ResourceId) -> Revision {
        self.core.resource(resource).shard.read().history.floor()
    }

    /// Waits until the replica shows everything up to a revision.
    ///
    /// # Errors
    /// `Timeout` ("Too large resource version") when it does not come within `wait`.
    pub async fn wait_for(&self, revision: Revision, wait: Duration) -> Result<(), ApiError> {
        let reached = self.core.applied.reached(revision);
        tokio::select! {
            biased;
            () = reached => Ok(()),
            () = self.clock.sleep(wait) => Err(read::too_large(revision, self.current())),
        }
    }

    /// Reads the heads of a resource's objects again, after its selectable fields changed. Its watchers list again.
    ///
    /// # Errors
    /// `InternalError` when a body does not decode.
    pub fn refresh_fields(&self, resource: &ResourceId) -> Result<(), ApiError> {
        self.core.refresh(resource)
    }

    /// Says which fields of a resource are selectable from now on, in the place of what the function given to
    /// [`Store::open`] says. Where that changes anything, the heads of its objects are read again, at a cost of their number,
    /// and its watchers list again.
    ///
    /// # Errors
    /// As [`Store::refresh_fields`].
    pub fn declare_fields(&self, resource: &ResourceId, fields: Arc<[String]>) -> Result<(), ApiError> {
        if self.core.declare(resource, fields) { self.core.refresh(resource) } else { Ok(()) }
    }

    /// Ends the watches of a resource with `Expired`: those who follow it list again.
    ///
    /// # Errors
    /// As [`Store::refresh_fields`].
    pub fn end_watches(&self, resource: &ResourceId) -> Result<(), ApiError> {
        self.core.refresh(resource)
    }

    /// The backend.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// Ends every watch with `Closed`. Reads and commits go on.
    pub fn close(&self) {
        self.core.closing.send_replace(true);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

fn commit_error(key: &ObjectKey, expect: Expect, error: BackendError) -> ApiError {
    let (group, plural) = (key.resource.group(), key.resource.plural());
    match (error, expect) {
        (BackendError::Unmet { now: Some(_) }, Expect::Absent) => ApiError::already_exists(group, plural, &key.name),
        (BackendError::Unmet { .. }, _) => ApiError::stale(group, plural, &key.name),
        (error, _) => backend_error(error),
    }
}

fn backend_error(error: BackendError) -> ApiError {
    match error {
        BackendError::Unavailable(_) | BackendError::ReadOnly(_) => ApiError::unavailable(error.to_string()),
        BackendError::Compacted { .. } => ApiError::expired(error.to_string()),
        BackendError::TooLarge(_) => ApiError::new(Reason::RequestEntityTooLarge, error.to_string()),
        other => ApiError::internal(other),
    }
}
