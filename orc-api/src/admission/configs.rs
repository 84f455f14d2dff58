//! The cluster's admission configuration, compiled once and kept up to date by watches.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use orc_core::env::{System, Task};
use orc_core::{ApiError, ResourceId};
use orc_store::{Store, Stored, WatchEvent};
use parking_lot::Mutex;
use serde_json::Value;

use super::policy::{Binding, Policy};
use super::webhook::Hook;
use crate::follow::{self, Follower};

const GROUP: &str = "admissionregistration.k8s.io";
const MUTATING: &str = "mutatingwebhookconfigurations";
const VALIDATING: &str = "validatingwebhookconfigurations";
const POLICIES: [&str; 4] = [
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
];

/// Webhooks by the plural resource names of their rules, so that a request meets only those that can match.
#[derive(Clone, Debug, Default)]
struct Index(BTreeMap<String, Vec<Arc<Hook>>>);

impl Index {
    fn of(all: &BTreeMap<String, Vec<Arc<Hook>>>) -> Self {
        let mut index: BTreeMap<String, Vec<Arc<Hook>>> = BTreeMap::new();
        for hook in all.values().flatten() {
            let mut resources = hook.matcher.resources();
            resources.sort();
            resources.dedup();
            for resource in resources {
                index.entry(resource).or_default().push(hook.clone());
            }
        }
        Self(index)
    }

    fn about(&self, plural: &str) -> Vec<Arc<Hook>> {
        let lists = [self.0.get(plural), self.0.get("*")];
        let mut hooks: Vec<Arc<Hook>> = lists.into_iter().flatten().flatten().cloned().collect();
        hooks.sort_by(|a, b| a.order.cmp(&b.order));
        hooks.dedup_by(|a, b| a.order == b.order);
        hooks
    }
}

/// The compiled configuration at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    mutating: BTreeMap<String, Vec<Arc<Hook>>>,
    validating: BTreeMap<String, Vec<Arc<Hook>>>,
    by_resource: [Index; 2],
    policies: [Policies; 2],
}

/// A policy and one of its bindings.
pub type Bound = (Arc<Policy>, Arc<Binding>);

/// Policies of one sort with their bindings.
#[derive(Clone, Debug, Default)]
struct Policies {
    policies: BTreeMap<String, Arc<Policy>>,
    bindings: BTreeMap<String, Arc<Binding>>,
    /// By the plural resource names of the policies' rules.
    bound: BTreeMap<String, Vec<Bound>>,
}

impl Policies {
    fn index(&mut self) {
        self.bound.clear();
        for binding in self.bindings.values() {
            let Some(policy) = self.policies.get(&binding.policy) else { continue };
            for resource in policy.matcher.resources() {
                self.bound.entry(resource).or_default().push((policy.clone(), binding.clone()));
            }
        }
    }
}

fn is_mutating(plural: &str) -> bool {
    plural.starts_with("mutating")
}

impl Snapshot {
    /// The webhooks whose rules name a resource, in the order in which they are called.
    pub fn hooks(&self, mutating: bool, plural: &str) -> Vec<Arc<Hook>> {
        self.by_resource[usize::from(!mutating)].about(plural)
    }

    /// The bound policies whose rules name a resource, by policy and binding.
    pub fn policies(&self, mutating: bool, plural: &str) -> Vec<Bound> {
        let bound = &self.policies[usize::from(!mutating)].bound;
        let lists = [bound.get(plural), bound.get("*")];
        let mut found: Vec<_> = lists.into_iter().flatten().flatten().cloned().collect();
        found.sort_by(|a, b| (&a.0.name, &a.1.name).cmp(&(&b.0.name, &b.1.name)));
        found.dedup_by(|a, b| a.0.name == b.0.name && a.1.name == b.1.name);
        found
    }

    fn put(&mut self, plural: &str, name: &str, object: Option<&Value>) {
        match plural {
            MUTATING | VALIDATING => {
                let place = if plural == MUTATING { &mut self.mutating } else { &mut self.validating };
                match object {
                    Some(object) => drop(place.insert(name.to_owned(), Hook::compile_all(name, object))),
                    None => drop(place.remove(name)),
                }
            }
            _ => self.put_policy(plural, name, object),
        }
    }

    fn put_policy(&mut self, plural: &str, name: &str, object: Option<&Value>) {
        let told = |why: &String| tracing::warn!(resource = plural, name, %why, "an admission object does not compile");
        let place = &mut self.policies[usize::from(!is_mutating(plural))];
        if plural.ends_with("bindings") {
            match object.and_then(|o| Binding::compile(o).inspect_err(told).ok()) {
                Some(binding) => drop(place.bindings.insert(name.to_owned(), Arc::new(binding))),
                None => drop(place.bindings.remove(name)),
            }
        } else {
            match object.and_then(|o| Policy::compile(o).inspect_err(told).ok()) {
                Some(policy) => drop(place.policies.insert(name.to_owned(), Arc::new(policy))),
                None => drop(place.policies.remove(name)),
            }
        }
    }

    fn clear(&mut self, plural: &str) {
        match plural {
            MUTATING => self.mutating.clear(),
            VALIDATING => self.validating.clear(),
            _ if plural.ends_with("bindings") => self.policies[usize::from(!is_mutating(plural))].bindings.clear(),
            _ => self.policies[usize::from(!is_mutating(plural))].policies.clear(),
        }
    }

    fn index(&mut self) {
        self.by_resource = [Index::of(&self.mutating), Index::of(&self.validating)];
        self.policies.iter_mut().for_each(Policies::index);
    }
}

/// Keeps a [`Snapshot`] up to date.
pub struct Configs {
    shared: Arc<Shared>,
    _tasks: Vec<Task>,
}

#[derive(Default)]
struct Shared {
    now: ArcSwap<Snapshot>,
    writer: Mutex<()>,
}

impl Configs {
    /// Reads all admission objects and follows their changes.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start(store: &Arc<Store>, system: &System) -> Result<Self, ApiError> {
        let shared = Arc::new(Shared::default());
        let mut tasks = Vec::new();
        for plural in [MUTATING, VALIDATING].into_iter().chain(POLICIES) {
            tasks.push(follow::start(store, system, ResourceId::new(GROUP, plural), shared.clone()).await?);
        }
        Ok(Self { shared, _tasks: tasks })
    }

    /// The configuration as it is now.
    pub fn now(&self) -> Arc<Snapshot> {
        self.shared.now.load_full()
    }
}

impl Shared {
    fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        let _one = self.writer.lock();
        let mut next = Snapshot::clone(&self.now.load());
        change(&mut next);
        next.index();
        self.now.store(Arc::new(next));
    }
}

fn put(snapshot: &mut Snapshot, stored: &Stored, there: bool) {
    let object: Option<Value> = there.then(|| serde_json::from_slice(&stored.body).unwrap_or_default());
    snapshot.put(stored.key.resource.plural(), stored.key.name.as_str(), object.as_ref());
}

impl Follower for Shared {
    fn reset(&self, resource: &ResourceId, items: &[Arc<Stored>]) {
        self.update(|snapshot| {
            snapshot.clear(resource.plural());
            items.iter().for_each(|item| put(snapshot, item, true));
        });
    }

    fn change(&self, event: &WatchEvent) {
        if let Some(object) = event.object() {
            let there = !matches!(event, WatchEvent::Removed { .. });
            self.update(|snapshot| put(snapshot, object, there));
        }
    }
}
