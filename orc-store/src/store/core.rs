//! What the driver writes and readers share.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use orc_core::{ApiError, Head, ObjectKey, ResourceId, Revision};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio::time::Instant;

use super::announced::{Announced, Announcement};
use super::config::{FieldsOf, StoreConfig};
use super::history::History;
use super::place::{Place, parse_key};
use super::shard::{Objects, Shard};
use super::watermark::Watermark;
use crate::backend::{RawEvent, RawKey, RawRecord};
use crate::stored::Stored;

/// A snapshot kept for a paged list.
pub(crate) struct Pin {
    pub(crate) at: Revision,
    pub(crate) until: jiff::Timestamp,
    pub(crate) objects: Objects,
}

/// A resource and what its readers share.
pub(crate) struct Resource {
    pub(crate) shard: RwLock<Shard>,
    pub(crate) pins: Mutex<VecDeque<Pin>>,
}

/// The replica of everything.
pub(crate) struct Core {
    pub(crate) config: StoreConfig,
    pub(crate) applied: Watermark,
    pub(crate) closing: watch::Sender<bool>,
    /// Whether the task that follows the feed has ended: nothing will be applied any more.
    pub(crate) stopped: watch::Sender<bool>,
    fields: FieldsOf,
    /// What `fields` gave when it was asked.
    asked: RwLock<BTreeMap<ResourceId, Arc<[String]>>>,
    /// Selectable fields that were declared after the store was opened; they go before `fields`.
    declared: RwLock<BTreeMap<ResourceId, Arc<[String]>>>,
    /// Counts the changes of fields: a head that was read before belongs to other fields.
    declarations: AtomicU64,
    announced: Announced,
    resources: RwLock<Resources>,
}

struct Resources {
    map: BTreeMap<ResourceId, Arc<Resource>>,
    /// The floor of resources that were empty when the replica was read.
    floor: Revision,
}

/// A state of the whole backend.
#[derive(Default)]
pub(crate) struct Image {
    pub(crate) resources: BTreeMap<ResourceId, Objects>,
}

impl Image {
    /// Takes a key out.
    pub(crate) fn remove(&mut self, raw: &RawKey) {
        if let Some(key) = parse_key(raw)
            && let Some(objects) = self.resources.get_mut(&key.resource)
        {
            objects.remove(&Place::of(&key));
        }
    }
}

impl Core {
    pub(crate) fn new(config: StoreConfig, fields: FieldsOf) -> Self {
        let resources = RwLock::new(Resources { map: BTreeMap::new(), floor: Revision::ZERO });
        let applied = Watermark::new(Revision::ZERO);
        Self {
            config,
            applied,
            closing: watch::Sender::new(false),
            stopped: watch::Sender::new(false),
            fields,
            asked: RwLock::default(),
            declared: RwLock::default(),
            declarations: AtomicU64::new(0),
            announced: Announced::default(),
            resources,
        }
    }

    /// Waits until a committed revision is applied.
    ///
    /// # Errors
    /// `ServiceUnavailable` when the task that applies has ended; the change is made all the same.
    pub(crate) async fn shown(&self, revision: Revision) -> Result<(), ApiError> {
        if self.applied.get() >= revision {
            return Ok(());
        }
        let mut stopped = self.stopped.subscribe();
        tokio::select! {
            biased;
            () = self.applied.reached(revision) => Ok(()),
            _ = stopped.wait_for(|stopped| *stopped) => {
                Err(ApiError::unavailable(format!("the store stopped following its backend; revision {revision} is made")))
            }
        }
    }

    /// The resource, made when it has never been seen.
    pub(crate) fn resource(&self, id: &ResourceId) -> Arc<Resource> {
        if let Some(found) = self.resources.read().map.get(id) {
            return found.clone();
        }
        let mut resources = self.resources.write();
        let floor = resources.floor;
        let made = || self.empty(floor);
        resources.map.entry(id.clone()).or_insert_with(made).clone()
    }

    /// The resources that have, or had, objects.
    pub(crate) fn known(&self) -> Vec<(ResourceId, Arc<Resource>)> {
        self.resources.read().map.iter().map(|(id, resource)| (id.clone(), resource.clone())).collect()
    }

    fn empty(&self, floor: Revision) -> Arc<Resource> {
        let history = History::new(floor, self.config.history_changes, self.config.history_bytes);
        let shard = RwLock::new(Shard::new(Objects::new(), history, floor));
        Arc::new(Resource { shard, pins: Mutex::default() })
    }

    /// Reads the head of a body.
    pub(crate) fn head(&self, key: &ObjectKey, body: &Bytes) -> Result<Head, ApiError> {
        Head::parse(body, &self.fields_of(&key.resource))
    }

    fn fields_of(&self, id: &ResourceId) -> Arc<[String]> {
        for known in [&self.declared, &self.asked] {
            if let Some(fields) = known.read().get(id) {
                return fields.clone();
            }
        }
        let fields = (self.fields)(id);
        self.asked.write().insert(id.clone(), fields.clone());
        fields
    }

    /// Reads the head of a body that is about to be committed, so that [`Core::apply`] need not.
    pub(crate) fn announce(&self, key: &ObjectKey, body: &Bytes) -> Result<Announcement<'_>, ApiError> {
        let fields = self.declarations.load(Ordering::Acquire);
        Ok(self.announced.announce(&key.resource, body, self.head(key, body)?, fields))
    }

    /// Notes the selectable fields of a resource; says whether they are others than before.
    pub(crate) fn declare(&self, id: &ResourceId, fields: Arc<[String]>) -> bool {
        if self.fields_of(id) == fields {
            return false;
        }
        self.declared.write().insert(id.clone(), fields);
        self.declarations.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// Reads a record.
    pub(crate) fn read(&self, raw: &RawKey, body: Bytes, revision: Revision) -> Result<Stored, String> {
        let named = || String::from_utf8_lossy(raw).into_owned();
        let key = parse_key(raw).ok_or_else(|| format!("{} is not an object's key", named()))?;
        let head = match self.announced.take(&key.resource, &body, self.declarations.load(Ordering::Acquire)) {
            Some(head) => head,
            None => self.head(&key, &body).map_err(|e| format!("{}: {e}", named()))?,
        };
        Ok(Stored::new(key, revision, head, body))
    }

    /// Adds a record to an image.
    pub(crate) fn collect(&self, image: &mut Image, record: RawRecord) -> Result<(), String> {
        let stored = Arc::new(self.read(&record.key, record.value, record.revision)?);
        let objects = image.resources.entry(stored.key.resource.clone()).or_default();
        objects.insert(Place::of(&stored.key), stored);
        Ok(())
    }

    /// Applies one event of the feed. Called by one task, in order.
    pub(crate) fn apply(&self, event: RawEvent) {
        match event {
            RawEvent::Progress(to) => self.applied.raise(to),
            RawEvent::Put(RawRecord { key, value, revision }) => {
                match self.read(&key, value, revision) {
                    Ok(stored) => self.change(&stored.key.clone(), revision, Some(Arc::new(stored))),
                    // Commits through a store are read before they are made, so this is a foreign writer.
                    Err(error) => tracing::error!(%revision, error, "a record does not read back and is not shown"),
                }
                self.applied.raise(revision);
            }
            RawEvent::Delete { key, revision } => {
                if let Some(key) = parse_key(&key) {
                    self.change(&key, revision, None);
                }
                self.applied.raise(revision);
            }
        }
    }

    /// Applies deletions that share a revision. Called by the task that applies events.
    pub(crate) fn apply_removals(&self, keys: Vec<RawKey>, revision: Revision) {
        let mut places: BTreeMap<ResourceId, Vec<Place>> = BTreeMap::new();
        for key in keys.iter().filter_map(|raw| parse_key(raw)) {
            let place = Place::of(&key);
            places.entry(key.resource).or_default().push(place);
        }
        for (id, places) in places {
            let wake = self.resource(&id).shard.write().remove_all(places, revision);
            for waker in wake {
                waker.ring();
            }
        }
        self.applied.raise(revision);
    }

    fn change(&self, key: &ObjectKey, revision: Revision, after: Option<Arc<Stored>>) {
        let resource = self.resource(&key.resource);
        let wake = resource.shard.write().apply(Place::of(key), revision, after);
        for waker in wake {
            waker.ring();
        }
    }

    /// Lets the resource behind `last` forget what is too old; returns which one it was.
    pub(crate) fn forget_one(&self, last: Option<&ResourceId>, now: Instant) -> Option<ResourceId> {
        let (id, resource) = {
            let resources = self.resources.read();
            let from = last.map_or(Bound::Unbounded, Bound::Excluded);
            let mut behind = resources.map.range((from, Bound::Unbounded));
            let (id, resource) = behind.next().or_else(|| resources.map.iter().next())?;
            (id.clone(), resource.clone())
        };
        resource.shard.write().history.forget_older(self.config.history_age, now);
        Some(id)
    }

    /// Puts a whole state in the place of this one; histories start anew at `at`.
    pub(crate) fn reset(&self, mut image: Image, at: Revision) {
        let known = {
            let mut resources = self.resources.write();
            resources.floor = resources.floor.max(at);
            for id in image.resources.keys() {
                resources.map.entry(id.clone()).or_insert_with(|| self.empty(at));
            }
            resources.map.clone()
        };
        for (id, resource) in known {
            let objects = image.resources.remove(&id).unwrap_or_default();
            let wake = resource.shard.write().reset(objects, at);
            for waker in wake {
                waker.ring();
            }
        }
        self.applied.raise(at);
    }

    /// Reads the heads of a resource's objects again, after its selectable fields changed. Its watchers list again.
    pub(crate) fn refresh(&self, id: &ResourceId) -> Result<(), ApiError> {
        self.asked.write().remove(id);
        self.declarations.fetch_add(1, Ordering::AcqRel);
        let resource = self.resource(id);
        loop {
            let (old, last) = {
                let shard = resource.shard.read();
                (shard.objects.clone(), shard.last)
            };
            // Not under the lock: it takes long, and the fields come from a function that we do not know.
            let objects = self.reread(&old)?;
            let applied = self.applied.get();
            let mut shard = resource.shard.write();
            if shard.last == last {
                let wake = shard.reset(objects, applied);
                drop(shard);
                for waker in wake {
                    waker.ring();
                }
                return Ok(());
            }
        }
    }

    fn reread(&self, old: &Objects) -> Result<Objects, ApiError> {
        let again = |(place, old): (&Place, &Arc<Stored>)| {
            let head = self.head(&old.key, &old.body)?;
            Ok((place.clone(), Arc::new(Stored::new(old.key.clone(), old.revision, head, old.body.clone()))))
        };
        old.iter().map(again).collect()
    }
}
