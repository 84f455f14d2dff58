//! The devices that drivers publish, by pool, and who has which: kept with the facts, so that a claim that is allocated or given
//! back costs the pools that it names and not all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::resource::v1::{Device, ResourceClaim, ResourceSlice};
use orc_core::Name;
use orc_core::node_selector::NodeTerms;

use super::{Fact, FactKey};
use crate::node::NodeInfo;

/// A pool: its driver and its name.
pub(crate) type PoolKey = (Name, Name);

/// A slice of a pool's latest generation.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    /// Told apart from every other slice there ever was.
    pub(crate) id: u64,
    fact: Arc<Fact>,
    /// Where the slice's devices are, when neither one node nor each device says so.
    terms: Option<NodeTerms>,
    /// Whether its pool has all of its slices. Nothing is given out of a pool that is being updated.
    pub(crate) complete: bool,
    /// Whether its pool names each device once.
    pub(crate) valid: bool,
    /// Which devices somebody has, by place.
    taken: Vec<bool>,
}

impl Slice {
    /// The slice as it was published.
    pub(crate) fn get(&self) -> Option<&ResourceSlice> {
        published(&self.fact)
    }

    /// Its devices, in their order.
    pub(crate) fn devices(&self) -> &[Device] {
        self.get().and_then(|slice| slice.spec.devices.as_deref()).unwrap_or_default()
    }

    /// Whether somebody has the device of a place.
    pub(crate) fn is_taken(&self, at: usize) -> bool {
        self.taken.get(at).copied().unwrap_or_default()
    }

    /// Its driver.
    pub(crate) fn driver(&self) -> &str {
        self.get().map_or("", |slice| &slice.spec.driver)
    }

    /// Its pool's name.
    pub(crate) fn pool(&self) -> &str {
        self.get().map_or("", |slice| &slice.spec.pool.name)
    }

    /// The one node that it is of.
    fn node(&self) -> Option<&str> {
        node_of(self.get()?)
    }

    fn reaches(&self, node: &NodeInfo) -> bool {
        let Some(spec) = self.get().map(|slice| &slice.spec) else { return false };
        if let Some(own) = self.node() {
            return own == node.name.as_str();
        }
        let all = spec.all_nodes == Some(true) || spec.per_device_node_selection == Some(true);
        all || self.terms.as_ref().is_some_and(|terms| terms.matches(&node.name, &node.labels))
    }

    /// Whether a device may be used from a node of which the slice may be.
    pub(crate) fn device_reaches(&self, at: usize, node: &NodeInfo) -> bool {
        let each = self.get().is_some_and(|slice| slice.spec.per_device_node_selection == Some(true));
        let Some(device) = self.devices().get(at).filter(|_| each) else { return !each };
        device.all_nodes == Some(true)
            || device.node_name.as_deref() == Some(node.name.as_str())
            || device.node_selector.as_ref().is_some_and(|own| NodeTerms::of(own).matches(&node.name, &node.labels))
    }
}

fn published(fact: &Fact) -> Option<&ResourceSlice> {
    match fact {
        Fact::Slice(slice) => Some(slice),
        _ => None,
    }
}

fn node_of(slice: &ResourceSlice) -> Option<&str> {
    slice.spec.node_name.as_deref().filter(|name| !name.is_empty())
}

#[derive(Clone, Debug, Default)]
struct Pool {
    /// What is published, by the slice's name.
    published: BTreeMap<Name, Arc<Fact>>,
    /// Those of the latest generation: what is older is on its way out.
    current: Vec<Slice>,
}

/// Pools with what is taken of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Devices {
    pools: BTreeMap<PoolKey, Pool>,
    by_node: HashMap<Name, BTreeSet<PoolKey>>,
    /// The pools with slices that are not of one node.
    shared: BTreeSet<PoolKey>,
    /// By how many claims each device is held, by name. Who only looks (`adminAccess`) holds nothing.
    held: HashMap<PoolKey, BTreeMap<String, u32>>,
    made: u64,
}

impl Devices {
    /// The slices that may have devices for a node, in the order of pools and then of their names.
    pub(crate) fn of_node(&self, node: &NodeInfo) -> Vec<&Slice> {
        let own = self.by_node.get(node.name.as_str()).into_iter().flatten();
        let all: BTreeSet<&PoolKey> = own.chain(&self.shared).collect();
        let slices = all.into_iter().filter_map(|key| self.pools.get(key)).flat_map(|pool| &pool.current);
        slices.filter(|slice| slice.reaches(node)).collect()
    }

    /// The nodes that slices of a pool are of; `None` when one is not of one node.
    pub(crate) fn nodes_of(&self, key: &PoolKey) -> Option<Vec<&str>> {
        self.pools.get(key).into_iter().flat_map(|pool| &pool.current).map(Slice::node).collect()
    }

    /// A slice or a claim has changed.
    pub(super) fn follow(&mut self, key: &FactKey, before: Option<&Fact>, after: Option<&Arc<Fact>>) {
        match (before, after.map(|fact| &**fact)) {
            (Some(Fact::Slice(_)), _) | (_, Some(Fact::Slice(_))) => self.slice(&key.name, before, after),
            (Some(Fact::DeviceClaim(_)), _) | (_, Some(Fact::DeviceClaim(_))) => {
                before.iter().for_each(|claim| self.hold(claim, false));
                after.iter().for_each(|claim| self.hold(claim, true));
            }
            _ => {}
        }
    }

    fn slice(&mut self, name: &Name, before: Option<&Fact>, after: Option<&Arc<Fact>>) {
        let old = before.and_then(pool_of);
        let new = after.and_then(|fact| pool_of(fact));
        if let Some(key) = &old {
            self.unlist(key);
            self.pools.get_mut(key).map(|pool| pool.published.remove(name));
        }
        if let Some((key, fact)) = new.clone().zip(after) {
            self.unlist(&key);
            self.pools.entry(key).or_default().published.insert(name.clone(), fact.clone());
        }
        let changed: BTreeSet<PoolKey> = old.into_iter().chain(new).collect();
        changed.into_iter().for_each(|key| self.rebuild(key));
    }

    /// Takes a pool out of the lists by node.
    fn unlist(&mut self, key: &PoolKey) {
        self.shared.remove(key);
        let slices = self.pools.get(key).into_iter().flat_map(|pool| &pool.current);
        for node in slices.filter_map(Slice::node) {
            if self.by_node.get_mut(node).is_some_and(|pools| pools.remove(key) && pools.is_empty()) {
                self.by_node.remove(node);
            }
        }
    }

    fn rebuild(&mut self, key: PoolKey) {
        let Some(pool) = self.pools.get_mut(&key) else { return };
        let specs = || pool.published.values().filter_map(|fact| Some((fact, &published(fact)?.spec)));
        let latest = specs().map(|(_, spec)| spec.pool.generation).max();
        let current: Vec<_> = specs().filter(|(_, spec)| Some(spec.pool.generation) == latest).collect();
        let wanted = current.first().map_or(0, |(_, spec)| spec.pool.resource_slice_count);
        let complete = i64::try_from(current.len()) == Ok(wanted);
        let names: Vec<&str> = current.iter().flat_map(|(_, s)| s.devices.iter().flatten()).map(|d| &*d.name).collect();
        let valid = names.iter().collect::<BTreeSet<_>>().len() == names.len();
        let held = self.held.get(&key);
        let slices: Vec<Slice> = current
            .iter()
            .zip(self.made..)
            .map(|((fact, spec), id)| Slice {
                id,
                fact: (*fact).clone(),
                terms: spec.node_selector.as_ref().map(NodeTerms::of),
                complete,
                valid,
                taken: spec.devices.iter().flatten().map(|d| held.is_some_and(|h| h.contains_key(&d.name))).collect(),
            })
            .collect();
        self.made += slices.len() as u64;
        pool.current = slices;
        if pool.published.is_empty() {
            self.pools.remove(&key);
            return;
        }
        for slice in &pool.current {
            match slice.node() {
                Some(node) => drop(self.by_node.entry(node.into()).or_default().insert(key.clone())),
                None => drop(self.shared.insert(key.clone())),
            }
        }
    }

    /// A claim has its devices, or has them no longer.
    fn hold(&mut self, claim: &Fact, has: bool) {
        for [driver, pool, device] in given(claim) {
            let key = (Name::new(driver), Name::new(pool));
            let held = self.held.entry(key.clone()).or_default();
            let count = held.entry(device.to_owned()).or_default();
            *count = if has { *count + 1 } else { count.saturating_sub(1) };
            let taken = *count > 0;
            if !taken {
                held.remove(device);
                if held.is_empty() {
                    self.held.remove(&key);
                }
            }
            for slice in self.pools.get_mut(&key).into_iter().flat_map(|pool| &mut pool.current) {
                // In a pool that is not valid a name may stand more than once.
                let is = |at: &usize| slice.devices().get(*at).is_some_and(|own| own.name == device);
                let places: Vec<usize> = (0..slice.taken.len()).filter(is).collect();
                places.into_iter().for_each(|at| slice.taken[at] = taken);
            }
        }
    }
}

/// The pool of a slice.
pub(crate) fn pool_of(slice: &Fact) -> Option<PoolKey> {
    published(slice).map(|slice| (Name::new(&slice.spec.driver), Name::new(&slice.spec.pool.name)))
}

/// The node of a slice that is of one.
pub(crate) fn slice_node(slice: &Fact) -> Option<&str> {
    published(slice).and_then(node_of)
}

/// The devices that a claim holds, as driver, pool and name. Who only looks (`adminAccess`) holds nothing.
pub(crate) fn given(claim: &Fact) -> impl Iterator<Item = [&str; 3]> {
    let claim: Option<&ResourceClaim> = match claim {
        Fact::DeviceClaim(claim) => Some(claim),
        _ => None,
    };
    let allocation = claim.and_then(|claim| claim.status.as_ref()?.allocation.as_ref()?.devices.as_ref());
    let results = allocation.and_then(|devices| devices.results.as_ref());
    let owned = results.into_iter().flatten().filter(|result| result.admin_access != Some(true));
    owned.map(|result| [&*result.driver, &*result.pool, &*result.device])
}
