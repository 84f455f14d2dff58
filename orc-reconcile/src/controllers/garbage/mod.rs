//! Garbage collection: objects go when their last owner has gone; owners that end in the foreground wait for them.
//!
//! Follows `k8s.io/kubernetes/pkg/controller/garbagecollector` in effect, not in form: the graph is the owner index of head
//! caches, a change costs a look at the objects next to it, and an owner counts as gone only after a live read. A slow
//! repair pass looks for what a lost event may have left behind.

mod graph;
mod plan;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use orc_core::{ApiError, ObjectKey, OwnerRef, Revision};
use orc_store::cache::{Cache, CacheEvent};
use orc_store::client::{
    DeleteOptions, Freshness, Intent, PatchKind, Preconditions, Propagation, ReadOptions, Target, WriteRequest,
};
use orc_store::{Env, Stored};
use parking_lot::Mutex;
use serde_json::{Value, json};

use self::graph::{Graph, Place};
use self::plan::{Act, Dependent, FOREGROUND, Standing, has};
use super::Kinds;
use super::support::{PassError, filled};
use crate::{Controller, FnSource, Next, Reconciler, Sink, service};

/// How often kinds that came or went are looked for.
const KINDS_EVERY: Duration = Duration::from_secs(10);
/// How often everything is looked at, in kinds' rounds: five minutes.
const REPAIR_ROUNDS: u32 = 30;
/// Owners remembered as gone. A uid never comes back, so this is never wrong; upstream remembers 500.
const GONE: usize = 4096;

/// The garbage collector.
pub fn garbage_collector(env: Env, kinds: Kinds) -> Controller<ObjectKey> {
    let graph = Arc::new(Graph::new(env.clone(), kinds));
    let clock = env.clock.clone();
    let feed = {
        let graph = graph.clone();
        FnSource(move |sink| follow_all(graph, sink, clock))
    };
    let sink = Arc::new(Mutex::new(None));
    let collector = Collector { env: env.clone(), graph, gone: Mutex::default(), sink: sink.clone() };
    let controller =
        Controller::new("generic-garbage-collector", &env, service(collector)).concurrency(20).source(feed);
    *sink.lock() = Some(controller.sink());
    controller
}

/// Follows the caches of all kinds, and looks for new kinds and lost objects now and then.
async fn follow_all(graph: Arc<Graph>, sink: Sink<ObjectKey>, clock: orc_core::env::Clock) {
    let mut feeds: FuturesUnordered<_> = FuturesUnordered::new();
    let mut round = 0;
    loop {
        let fresh = graph.refresh();
        // Owners of a kind that was just found may have come and gone before anybody followed it.
        let look = round > 0 && !fresh.is_empty();
        feeds.extend(fresh.into_iter().map(|cache| follow(Arc::downgrade(&graph), cache, sink.clone())));
        let tick = clock.sleep(KINDS_EVERY);
        tokio::pin!(tick);
        loop {
            tokio::select! {
                biased;
                Some(()) = feeds.next() => {}
                () = &mut tick => break,
            }
        }
        round += 1;
        if look || round % REPAIR_ROUNDS == 0 {
            for cache in graph.caches() {
                repair(&graph, &cache, &sink);
            }
        }
    }
}

fn repair(graph: &Graph, cache: &Cache, sink: &Sink<ObjectKey>) {
    let snapshot = cache.snapshot();
    sink.add_all(snapshot.iter().filter(|stored| graph.concerns(stored)).map(|stored| stored.key.clone()));
}

/// Follows one kind until it is no longer served.
async fn follow(graph: std::sync::Weak<Graph>, cache: Arc<Cache>, sink: Sink<ObjectKey>) {
    let (_, mut changes) = cache.subscribe();
    if let Some(graph) = graph.upgrade() {
        repair(&graph, &cache, &sink);
    }
    while let Some(event) = changes.next().await {
        let Some(graph) = graph.upgrade() else { return };
        if !graph.caches().iter().any(|served| Arc::ptr_eq(served, &cache)) {
            return;
        }
        let CacheEvent::Changed(change) = event else {
            // What went unseen has dependents whose owner is not to be seen: the repair pass of their kinds finds them.
            graph.caches().iter().for_each(|cache| repair(&graph, cache, &sink));
            continue;
        };
        if let Some(after) = &change.after {
            if graph.concerns(after) {
                sink.add(after.key.clone());
            }
            // Owners may wait for this object, and it may have been freed or have begun to end.
            if change.before.as_ref().is_some_and(|before| before.head.owners != after.head.owners) {
                wake_owners(&graph, change.before.as_ref(), &sink);
            }
        } else if let Some(before) = &change.before {
            sink.add_all(graph.dependents(&before.head.uid).iter().map(|dependent| dependent.key.clone()));
            wake_owners(&graph, Some(before), &sink);
        }
    }
}

/// Wakes the owners that wait for an object.
fn wake_owners(graph: &Graph, object: Option<&Arc<Stored>>, sink: &Sink<ObjectKey>) {
    for (object, owner) in
        object.into_iter().flat_map(|object| object.head.owners.iter().map(move |owner| (object, owner)))
    {
        let Place::At(key) = graph.place(&object.key, owner) else { continue };
        if graph.get(&key).is_some_and(|owner| owner.head.is_terminating()) {
            sink.add(key);
        }
    }
}

struct Collector {
    env: Env,
    graph: Arc<Graph>,
    gone: Mutex<BTreeSet<(ObjectKey, String)>>,
    sink: Arc<Mutex<Option<Sink<ObjectKey>>>>,
}

#[async_trait]
impl Reconciler for Collector {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        let caches = self.graph.caches();
        filled(&caches.iter().collect::<Vec<_>>()).await;
        let Some(object) = self.graph.get(&key) else { return Ok(Next::Done) };
        let uid = object.head.uid.as_str();
        let dependents = self.graph.dependents(uid);
        let act = if object.head.is_terminating() {
            plan::ending(&object.head, &dependents.iter().map(|dependent| describe(dependent, uid)).collect::<Vec<_>>())
        } else {
            let standing = self.standing(&object).await?;
            plan::owned(&object.head, &standing, !dependents.is_empty())
        };
        match self.act(&object, act, &dependents).await {
            // Gone meanwhile, or another object by now.
            Err(error) if error.is_not_found() => Ok(Next::Done),
            other => other.map_err(PassError::from),
        }
    }
}

fn describe(dependent: &Stored, owner_uid: &str) -> Dependent {
    let blocks = |owner: &OwnerRef| owner.uid == owner_uid && owner.block_owner_deletion == Some(true);
    Dependent { blocks: dependent.head.owners.iter().any(blocks) }
}

impl Collector {
    async fn standing(&self, object: &Stored) -> Result<Vec<Standing>, PassError> {
        let mut standing = Vec::new();
        for owner in &object.head.owners {
            standing.push(match self.graph.place(&object.key, owner) {
                Place::At(key) => self.look(&key, &owner.uid).await?,
                Place::Nowhere => Standing::Solid,
                Place::UnknownKind => {
                    let text = format!("the owner's kind {} {} is not served", owner.api_version, owner.kind);
                    return Err(PassError::Wait(text));
                }
            });
        }
        Ok(standing)
    }

    /// How an owner stands. What the cache does not show is read live before it counts as gone.
    async fn look(&self, key: &ObjectKey, uid: &str) -> Result<Standing, ApiError> {
        let of = |found: &Stored| match found.head.is_terminating() && has(&found.head, FOREGROUND) {
            true => Standing::Waiting,
            false => Standing::Solid,
        };
        if let Some(found) = self.graph.get(key).filter(|found| found.head.uid == *uid) {
            return Ok(of(&found));
        }
        let id = (key.clone(), uid.to_owned());
        if self.gone.lock().contains(&id) {
            return Ok(Standing::Gone);
        }
        match self.read(key).await? {
            Some(found) if found.head.uid == *uid => Ok(of(&found)),
            _ => {
                let mut gone = self.gone.lock();
                if gone.len() >= GONE {
                    gone.clear();
                }
                gone.insert(id);
                Ok(Standing::Gone)
            }
        }
    }

    async fn read(&self, key: &ObjectKey) -> Result<Option<Arc<Stored>>, ApiError> {
        let options = ReadOptions { freshness: Freshness::Latest };
        match self.env.client.get(&Target::object(key.clone()), &options).await {
            Err(error) if error.is_not_found() => Ok(None),
            found => found?.stored().map(Some),
        }
    }

    async fn act(&self, object: &Arc<Stored>, act: Act, dependents: &[Arc<Stored>]) -> Result<Next, ApiError> {
        match act {
            Act::Keep => {}
            Act::SetOwners(owners) => drop(self.patch(object, json!({"ownerReferences": owners})).await?),
            Act::Delete(propagation) => return self.delete(object, propagation, dependents).await,
            Act::Release(finalizer) => {
                let left: Vec<&String> = object.head.finalizers.iter().filter(|name| *name != finalizer).collect();
                let left = if left.is_empty() { Value::Null } else { json!(left) };
                self.patch(object, json!({"finalizers": left})).await?;
            }
            Act::LookAtDependents => {
                // Each of them is a key of its own; when the last blocking one goes, this object is woken.
                let alive = dependents.iter().filter(|dependent| !dependent.head.is_terminating());
                if let Some(sink) = self.sink.lock().as_ref() {
                    sink.add_all(alive.map(|dependent| dependent.key.clone()));
                }
            }
            Act::OrphanDependents => {
                for dependent in dependents {
                    self.disown(dependent, &object.head.uid).await?;
                }
                // The finalizer goes once the cache shows that nobody names this object any more; that wakes it.
            }
        }
        Ok(Next::Done)
    }

    async fn disown(&self, dependent: &Stored, owner_uid: &str) -> Result<(), ApiError> {
        let left: Vec<&OwnerRef> = dependent.head.owners.iter().filter(|owner| owner.uid != owner_uid).collect();
        let left = if left.is_empty() { Value::Null } else { json!(left) };
        match self.patch(dependent, json!({"ownerReferences": left})).await {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }

    /// A merge patch of metadata, bound to the object and the revision that was seen.
    async fn patch(&self, object: &Stored, mut metadata: Value) -> Result<Revision, ApiError> {
        metadata["uid"] = json!(object.head.uid);
        metadata["resourceVersion"] = json!(object.revision.to_string());
        let body = json!({"metadata": metadata}).to_string();
        let intent = Intent::Patch(PatchKind::Merge, body.into());
        let written = self.env.client.write(WriteRequest::new(Target::object(object.key.clone()), intent)).await?;
        Ok(written.stored()?.revision)
    }

    /// Deletes an object as it is now: one that has got an owner meanwhile stays.
    async fn delete(
        &self,
        seen: &Stored,
        propagation: Propagation,
        dependents: &[Arc<Stored>],
    ) -> Result<Next, ApiError> {
        let Some(fresh) = self.read(&seen.key).await?.filter(|fresh| fresh.head.uid == seen.head.uid) else {
            return Ok(Next::Done);
        };
        if fresh.head.owners != seen.head.owners || fresh.head.is_terminating() {
            return Ok(Next::Done);
        }
        let mut revision = fresh.revision;
        if propagation == Propagation::Foreground {
            revision = self.break_circle(&fresh, dependents).await?;
        }
        let preconditions = Preconditions { uid: Some(seen.head.uid.to_string()), revision: Some(revision) };
        let options = DeleteOptions { preconditions, propagation: Some(propagation), ..DeleteOptions::default() };
        let request = WriteRequest::new(Target::object(seen.key.clone()), Intent::Delete(options));
        self.env.client.write(request).await?;
        Ok(Next::Done)
    }

    /// Owners that wait for each other would wait for ever: an object with a dependent that itself waits for dependents no
    /// longer blocks its owners.
    async fn break_circle(&self, object: &Stored, dependents: &[Arc<Stored>]) -> Result<Revision, ApiError> {
        let waits = |dependent: &Arc<Stored>| dependent.head.is_terminating() && has(&dependent.head, FOREGROUND);
        if !dependents.iter().any(waits) {
            return Ok(object.revision);
        }
        let mut owners = object.head.owners.clone();
        for owner in &mut owners {
            owner.block_owner_deletion = Some(false);
        }
        self.patch(object, json!({"ownerReferences": owners})).await
    }
}
