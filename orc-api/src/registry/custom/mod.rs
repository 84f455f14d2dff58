//! Custom kinds in the registry: definitions as they are now, and what becomes of them.
//!
//! | module | holds |
//! |---|---|
//! | `definition` | one definition, read and compiled |
//! | `rules` | what the registry asks of a version |
//! | `form` | objects in the version that a caller speaks |
//! | `names` | accepted names and conditions, a pure plan |
//! | `follow` | the task that follows definitions and writes their status |
//! | `cleanup` | a deleted definition takes its objects with it |
//!
//! A definition is compiled once a change. Who asks for it is given the one of the replica's present revision, whether or not
//! the task has seen the change yet: a definition that was written before a request is in force for it.

mod cleanup;
mod convert;
mod definition;
mod follow;
mod form;
mod names;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use orc_core::catalogue::{Catalogue, Served};
use orc_core::{ApiError, Doc, ObjectKey, Reason, ResourceId};
use orc_store::client::ListOptions;
use orc_store::client::Scope;
use orc_store::local::deletion::DeletionStep;
use orc_store::{Store, Stored};
use parking_lot::Mutex;

pub(crate) use definition::{Definition, Spoken};
pub(super) use follow::start as follow;
pub(crate) use rules::CustomRules;

use super::Registry;
use super::own::OwnCheck;
use crate::custom::definition::Taken;
use crate::openapi::Published;

/// The resource that definitions are.
pub(crate) fn definitions() -> ResourceId {
    ResourceId::new("apiextensions.k8s.io", "customresourcedefinitions")
}

fn key_of(name: &str) -> ObjectKey {
    ObjectKey::cluster(definitions(), name)
}

/// The definitions of the store, and the catalogue with the kinds that they define.
pub(crate) struct Definitions {
    store: Arc<Store>,
    state: ArcSwap<State>,
    /// Held while a change is worked in; never over an await.
    writer: Mutex<()>,
    /// The rules that an embedder adds to a kind of its own.
    checks: ArcSwap<BTreeMap<ResourceId, OwnCheck>>,
}

#[derive(Clone)]
struct State {
    catalogue: Arc<Catalogue>,
    known: BTreeMap<String, Arc<Definition>>,
    /// Names of definitions by group.
    groups: BTreeMap<String, BTreeSet<String>>,
}

impl Definitions {
    /// Reads all definitions of a store.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn open(store: &Arc<Store>) -> Result<Self, ApiError> {
        let state = State { catalogue: Catalogue::builtin(), known: BTreeMap::new(), groups: BTreeMap::new() };
        let opened = Self {
            store: store.clone(),
            state: ArcSwap::from_pointee(state),
            writer: Mutex::new(()),
            checks: ArcSwap::default(),
        };
        for item in store.list(&Scope::all(definitions()), &ListOptions::default()).await?.items {
            opened.refresh(&item.key.name);
        }
        Ok(opened)
    }

    /// What is served.
    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        self.state.load().catalogue.clone()
    }

    /// Adds an embedder's rule to a resource, in the place of an earlier one.
    pub(crate) fn check(&self, id: ResourceId, check: OwnCheck) {
        self.checks.rcu(|checks| {
            let mut next = BTreeMap::clone(checks);
            next.insert(id.clone(), check.clone());
            next
        });
    }

    /// The embedder's rule of a resource.
    pub(crate) fn check_of(&self, id: &ResourceId) -> Option<OwnCheck> {
        self.checks.load().get(id).cloned()
    }

    /// The names of all that are known.
    pub(crate) fn known(&self) -> Vec<String> {
        self.state.load().known.keys().cloned().collect()
    }

    /// The names of the other definitions of a group.
    pub(crate) fn neighbours(&self, group: &str, name: &str) -> Vec<String> {
        let state = self.state.load();
        state.groups.get(group).into_iter().flatten().filter(|other| *other != name).cloned().collect()
    }

    /// What the other definitions of a group were given.
    pub(crate) fn taken(&self, group: &str, name: &str) -> Taken {
        let state = self.state.load();
        let mut taken = Taken::default();
        let others = state.groups.get(group).into_iter().flatten().filter(|other| *other != name);
        others.filter_map(|other| state.known.get(other)).for_each(|other| taken.add(other.doc.value()));
        taken
    }

    /// The definition of a resource, as the replica shows it now; `None` when there is none.
    pub(crate) fn current(&self, id: &ResourceId) -> Option<Arc<Definition>> {
        // Built-in names have no definition, and the core group has no dot.
        if id.group().is_empty() { None } else { self.refresh(id.as_str()) }
    }

    /// As [`Definitions::current`], and asks the backend where the replica has none: a definition that was made through
    /// another server a moment ago is found.
    ///
    /// # Errors
    /// When the backend cannot be read.
    pub(crate) async fn find(&self, id: &ResourceId) -> Result<Option<Arc<Definition>>, ApiError> {
        if id.group().is_empty() || Catalogue::builtin().by_id(id).is_some() {
            return Ok(None);
        }
        match self.current(id) {
            Some(found) => Ok(Some(found)),
            None => {
                self.store.find(&key_of(id.as_str())).await?;
                Ok(self.current(id))
            }
        }
    }

    /// Works in the present state of a definition, and returns it. Costs a look-up when nothing changed.
    pub(crate) fn refresh(&self, name: &str) -> Option<Arc<Definition>> {
        let stored = self.store.peek(&key_of(name));
        let fresh = |known: Option<&Arc<Definition>>| match (&stored, known) {
            (None, None) => true,
            (Some(stored), Some(known)) => stored.revision == known.revision,
            _ => false,
        };
        let known = self.state.load().known.get(name).cloned();
        if fresh(known.as_ref()) {
            return known;
        }
        let _one = self.writer.lock();
        // Another caller may have been faster, or know a newer state.
        let stored = self.store.peek(&key_of(name));
        self.replace(name, stored.as_deref())
    }

    fn replace(&self, name: &str, stored: Option<&Stored>) -> Option<Arc<Definition>> {
        let mut next = State::clone(&self.state.load());
        let before = next.known.get(name).cloned();
        if let (Some(stored), Some(before)) = (stored, &before)
            && stored.revision == before.revision
        {
            return Some(before.clone());
        }
        let now = stored.and_then(|stored| match Definition::read(stored, before.as_deref()) {
            Ok(definition) => Some(Arc::new(definition)),
            Err(error) => {
                tracing::error!(%error, name, "a definition does not read and is not served");
                None
            }
        });
        next.put(name, before.as_deref(), now.clone());
        if let Some(now) = &now
            && let Err(error) = self.store.declare_fields(&now.id(), now.selectable())
        {
            tracing::error!(%error, name, "the selectable fields cannot be read");
        }
        self.state.store(Arc::new(next));
        now
    }
}

impl State {
    fn put(&mut self, name: &str, before: Option<&Definition>, now: Option<Arc<Definition>>) {
        let id = ResourceId::parse(name);
        let catalogue = match now.as_ref().and_then(|now| now.info()) {
            Some(info) => self.catalogue.with(info),
            None => self.catalogue.without(&id),
        };
        self.catalogue = Arc::new(catalogue);
        if let Some(names) = before.and_then(|before| self.groups.get_mut(&before.group)) {
            names.remove(name);
        }
        match now {
            Some(now) => {
                self.groups.entry(now.group.clone()).or_default().insert(name.to_owned());
                self.known.insert(name.to_owned(), now);
            }
            None => drop(self.known.remove(name)),
        }
        self.groups.retain(|_, names| !names.is_empty());
    }
}

/// The first deletion of a definition: it is marked, and stays until its objects are gone.
pub(super) fn deletion_step(current: &Doc, now: jiff::Timestamp) -> Option<DeletionStep> {
    current.at(&["metadata", "deletionTimestamp"]).is_none().then(|| {
        let mut next = current.clone();
        next.set(&["metadata", "deletionTimestamp"], orc_store::local::rules::timestamp(now));
        let mut finalizers = orc_store::local::rules::finalizers(current);
        if !finalizers.iter().any(|name| name == definition::CLEANUP) {
            finalizers.push(definition::CLEANUP.to_owned());
        }
        orc_store::local::rules::set_finalizers(&mut next, &finalizers);
        let why = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
        names::set_condition(next.value_mut(), ["Terminating", "True", "InstanceDeletionPending", why], now);
        DeletionStep::Mark(next)
    })
}

impl Registry {
    /// The definition of a custom resource with a version that it serves; `None` for what is not defined, not established or
    /// not served in that version.
    ///
    /// # Errors
    /// When the backend cannot be read.
    pub(crate) async fn custom(
        &self,
        group: &str,
        version: &str,
        plural: &str,
    ) -> Result<Option<(Arc<Definition>, Arc<Spoken>)>, ApiError> {
        let Some(definition) = self.definitions.find(&ResourceId::new(group, plural)).await? else { return Ok(None) };
        // One that is about to go, since its last object went, is gone: nothing can be asked of it any more.
        let over = definition.awaits_cleanup() && self.store.count(&definition.id()) == 0;
        if over || !definition.is("Established") {
            return Ok(None);
        }
        definition.storage()?;
        let spoken = definition.version(version).filter(|spoken| spoken.version.served).cloned();
        Ok(spoken.map(|spoken| (definition, spoken)))
    }

    /// The schema of a custom kind of the catalogue, for documents; `None` for built-in ones.
    pub(crate) fn published(&self, served: &Served) -> Option<Published> {
        let id = served.info.id.as_ref().filter(|_| served.info.custom)?;
        let definition = self.definitions.current(id)?;
        let spoken = definition.version(&served.version().name)?;
        Some(Published { schema: spoken.schema.clone(), mark: spoken.mark })
    }
}

/// 404 for a resource that is not served.
pub(super) fn not_served(id: &ResourceId) -> ApiError {
    ApiError::new(Reason::NotFound, format!("the server does not serve the resource {id}"))
}
