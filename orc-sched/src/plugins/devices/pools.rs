//! The devices that drivers publish, by pool.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::resource::v1::{Device, ResourceClaim, ResourceSlice};
use orc_core::node_selector::NodeTerms;

use crate::facts::{Fact, FactKind, Facts};
use crate::node::NodeInfo;

/// The place of a device: its slice and where it stands there. Within a valid pool it is as good as its name.
pub(super) type Place = (usize, usize);

/// A slice of a pool's latest generation.
pub(super) struct Slice {
    fact: Arc<Fact>,
    /// Where the slice's devices are, when neither one node nor each device says so.
    terms: Option<NodeTerms>,
    /// Whether its pool has all of its slices. Nothing is given out of a pool that is being updated.
    pub(super) complete: bool,
    /// Whether its pool names each device once.
    pub(super) valid: bool,
    /// Which devices somebody has, by place.
    taken: Vec<bool>,
}

impl Slice {
    pub(super) fn get(&self) -> Option<&ResourceSlice> {
        match &*self.fact {
            Fact::Slice(slice) => Some(slice),
            _ => None,
        }
    }

    pub(super) fn devices(&self) -> &[Device] {
        self.get().and_then(|slice| slice.spec.devices.as_deref()).unwrap_or_default()
    }

    pub(super) fn is_taken(&self, at: usize) -> bool {
        self.taken.get(at).copied().unwrap_or_default()
    }

    pub(super) fn driver(&self) -> &str {
        self.get().map_or("", |slice| &slice.spec.driver)
    }

    pub(super) fn pool(&self) -> &str {
        self.get().map_or("", |slice| &slice.spec.pool.name)
    }

    fn reaches(&self, node: &NodeInfo) -> bool {
        let Some(spec) = self.get().map(|slice| &slice.spec) else { return false };
        let all = spec.all_nodes == Some(true) || spec.per_device_node_selection == Some(true);
        all || self.terms.as_ref().is_some_and(|terms| terms.matches(&node.name, &node.labels))
    }

    /// Whether a device may be used from a node of which the slice may be.
    pub(super) fn device_reaches(&self, at: usize, node: &NodeInfo) -> bool {
        let each = self.get().is_some_and(|slice| slice.spec.per_device_node_selection == Some(true));
        let Some(device) = self.devices().get(at).filter(|_| each) else { return !each };
        device.all_nodes == Some(true)
            || device.node_name.as_deref() == Some(node.name.as_str())
            || device.node_selector.as_ref().is_some_and(|own| NodeTerms::of(own).matches(&node.name, &node.labels))
    }
}

/// All slices that count, those of one pool together.
#[derive(Default)]
pub(super) struct Pools {
    pub(super) slices: Vec<Slice>,
    by_node: HashMap<String, Vec<usize>>,
    /// The slices that are not of one node.
    shared: Vec<usize>,
}

impl Pools {
    /// Reads the pools, and who has which device.
    pub(super) fn of(facts: &Facts) -> Self {
        let taken = taken(facts);
        let mut by_pool: BTreeMap<(&str, &str), Vec<&Arc<Fact>>> = BTreeMap::new();
        for (_, fact) in facts.shared(FactKind::Slice) {
            if let Fact::Slice(slice) = &**fact {
                by_pool.entry((&slice.spec.driver, &slice.spec.pool.name)).or_default().push(fact);
            }
        }
        let mut pools = Self::default();
        by_pool.values().for_each(|slices| pools.add(slices, &taken));
        pools
    }

    /// Adds a pool: what is older than its latest generation is on its way out.
    fn add(&mut self, facts: &[&Arc<Fact>], taken: &BTreeSet<[&str; 3]>) {
        let spec = |fact: &Arc<Fact>| match &**fact {
            Fact::Slice(slice) => Some(slice.spec.clone()),
            _ => None,
        };
        let all: Vec<_> = facts.iter().filter_map(|fact| Some(((*fact).clone(), spec(fact)?))).collect();
        let latest = all.iter().map(|(_, spec)| spec.pool.generation).max();
        let current: Vec<_> = all.into_iter().filter(|(_, spec)| Some(spec.pool.generation) == latest).collect();
        let wanted = current.first().map_or(0, |(_, spec)| spec.pool.resource_slice_count);
        let complete = i64::try_from(current.len()) == Ok(wanted);
        let names: Vec<&str> = current.iter().flat_map(|(_, s)| s.devices.iter().flatten()).map(|d| &*d.name).collect();
        let valid = names.iter().collect::<BTreeSet<_>>().len() == names.len();
        for (fact, spec) in &current {
            let has = |device: &Device| taken.contains(&[&*spec.driver, &*spec.pool.name, &*device.name]);
            let at = self.slices.len();
            match spec.node_name.as_ref().filter(|name| !name.is_empty()) {
                Some(node) => self.by_node.entry(node.clone()).or_default().push(at),
                None => self.shared.push(at),
            }
            self.slices.push(Slice {
                fact: fact.clone(),
                terms: spec.node_selector.as_ref().map(NodeTerms::of),
                complete,
                valid,
                taken: spec.devices.iter().flatten().map(has).collect(),
            });
        }
    }

    /// The slices that may have devices for a node, in the order of pools.
    pub(super) fn of_node(&self, node: &NodeInfo) -> Vec<usize> {
        let own = self.by_node.get(node.name.as_str()).into_iter().flatten().copied();
        let shared = self.shared.iter().copied().filter(|at| self.slices[*at].reaches(node));
        let mut all: Vec<usize> = own.chain(shared).collect();
        all.sort_unstable();
        all
    }
}

/// The devices that are allocated, as driver, pool and name. Who only looks (`adminAccess`) takes nothing.
fn taken(facts: &Facts) -> BTreeSet<[&str; 3]> {
    let claims = facts.all(FactKind::DeviceClaim).filter_map(|(_, fact)| match fact {
        Fact::DeviceClaim(claim) => Some(&**claim),
        _ => None,
    });
    claims.flat_map(given).collect()
}

fn given(claim: &ResourceClaim) -> impl Iterator<Item = [&str; 3]> {
    let allocation = claim.status.as_ref().and_then(|status| status.allocation.as_ref());
    let results = allocation.and_then(|allocation| allocation.devices.as_ref()?.results.as_ref());
    let owned = results.into_iter().flatten().filter(|result| result.admin_access != Some(true));
    owned.map(|result| [&*result.driver, &*result.pool, &*result.device])
}
