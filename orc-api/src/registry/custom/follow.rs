//! The task that follows definitions: it keeps the catalogue, writes their status, and ends those that were deleted.
//!
//! Every server runs it. What it writes follows from what is stored, so servers that write the same do not disturb each other,
//! and one that loses a race sees the winner's change as the next event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::StreamExt as _;
use orc_core::env::{Clock, Task};
use orc_core::{ApiError, Doc};
use orc_store::client::{Intent, Modify, Scope, Subresource, WatchOptions, WriteOptions};
use orc_store::{Store, WatchEvent};

use super::{cleanup, definitions, key_of, names};
use crate::identity::Identity;
use crate::registry::Registry;

/// How long to wait before what failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Starts the task. It ends with the registry.
pub(crate) fn start(registry: &Arc<Registry>) -> Task {
    let weak = Arc::downgrade(registry);
    let (store, clock) = (registry.store.clone(), registry.system.clock.clone());
    registry.system.spawn.spawn(run(weak, store, clock))
}

async fn run(registry: Weak<Registry>, store: Arc<Store>, clock: Clock) {
    let mut follower = Follower { registry, again: BTreeSet::new(), ending: BTreeMap::new() };
    loop {
        follower.all();
        if let Ok(mut stream) = store.watch(&Scope::all(definitions()), &WatchOptions::default()).await {
            loop {
                follower.work().await;
                let failed = !follower.again.is_empty();
                tokio::select! {
                    biased;
                    event = stream.next() => match event {
                        Some(Ok(event)) => follower.note(&event),
                        _ => break,
                    },
                    () = clock.sleep(PAUSE), if failed => {}
                }
            }
        }
        clock.sleep(PAUSE).await;
    }
}

struct Follower {
    registry: Weak<Registry>,
    /// Definitions to look at.
    again: BTreeSet<String>,
    /// Definitions whose objects are being deleted.
    ending: BTreeMap<String, Task>,
}

impl Follower {
    /// What went while nobody watched is noticed by looking at all that is known.
    fn all(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            self.again.extend(registry.definitions.known());
        }
    }

    fn note(&mut self, event: &WatchEvent) {
        if let Some(object) = event.object() {
            self.again.insert(object.key.name.as_str().to_owned());
        }
    }

    /// Looks at what is noted; what fails stays noted.
    async fn work(&mut self) {
        let Some(registry) = self.registry.upgrade() else { return };
        let mut failed = BTreeSet::new();
        while let Some(name) = self.again.pop_first() {
            if let Err(error) = self.one(&registry, &name).await {
                if !error.is_conflict() {
                    tracing::warn!(%error, name, "the status of a definition cannot be written yet");
                }
                failed.insert(name);
            }
        }
        self.again = failed;
    }

    async fn one(&mut self, registry: &Arc<Registry>, name: &str) -> Result<(), ApiError> {
        let before = registry.definitions.state.load().known.get(name).cloned();
        let now = registry.definitions.refresh(name);
        let group = now.as_ref().or(before.as_ref()).map(|definition| definition.group.clone());
        match now {
            None => {
                self.ending.remove(name);
                registry.store.end_watches(&orc_core::ResourceId::parse(name))?;
            }
            Some(now) if now.is_deleting() => {
                let running = self.ending.get(name).is_some_and(|task| !task.is_finished());
                if !running && now.awaits_cleanup() {
                    let work = cleanup::run(self.registry.clone(), registry.store.clone(), name.to_owned());
                    self.ending.insert(name.to_owned(), registry.system.spawn.spawn(work));
                }
                return Ok(());
            }
            Some(_) => registry.settle(name).await?,
        }
        // A name that was given up may be what another definition waits for.
        let waiting = group.map(|group| registry.definitions.neighbours(&group, name)).unwrap_or_default();
        for other in waiting {
            if registry
                .definitions
                .refresh(&other)
                .is_some_and(|other| !other.is("NamesAccepted") && !other.is_deleting())
            {
                registry.settle(&other).await?;
            }
        }
        Ok(())
    }
}

impl Registry {
    /// Brings the status of a definition up to date.
    async fn settle(&self, name: &str) -> Result<(), ApiError> {
        let Some(definition) = self.definitions.refresh(name) else { return Ok(()) };
        let taken = self.definitions.taken(&definition.group, name);
        let now = self.system.clock.now();
        if !names::settle(&mut definition.doc.value().clone(), &taken, now) {
            return Ok(());
        }
        let modify: Modify = Arc::new(move |doc: &mut Doc| {
            if doc.at(&["metadata", "deletionTimestamp"]).is_none() {
                names::settle(doc.value_mut(), &taken, now);
            }
            Ok(())
        });
        self.write_definition(name, Some(&Subresource::STATUS), modify).await
    }

    /// Writes a definition as the server itself; one that is gone is fine.
    pub(super) async fn write_definition(
        &self,
        name: &str,
        sub: Option<&Subresource>,
        modify: Modify,
    ) -> Result<(), ApiError> {
        let options = WriteOptions { field_manager: Some("kube-apiserver".into()), ..WriteOptions::default() };
        let who = Identity::user("system:apiserver", &["system:masters"]);
        let written = self.update(&key_of(name), sub, &Intent::Modify(modify), &options, &who).await;
        self.definitions.refresh(name);
        match written {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }
}
