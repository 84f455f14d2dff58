//! What is known of the claims of pods that are alike.

use std::sync::Arc;

use k8s_openapi::api::resource::v1::ResourceClaim;
use orc_core::Name;
use orc_core::node_selector::NodeTerms;

use super::DynamicResources;
use super::allocate::{Matches, allocate};
use super::outcome;
use super::standing::{Standing, keys, label, standing};
use super::wanted::{Reader, Wanted};
use crate::facts::devices::{PoolKey, given, pool_of, slice_node};
use crate::facts::{Fact, FactKey, FactKind};
use crate::node::NodeInfo;
use crate::plugin::Touched;
use crate::pod::PodInfo;
use crate::set::NodeSet;
use crate::view::View;

const ELSEWHERE: &str = "resourceclaim not available on the node";
const NONE: &str = "cannot allocate all claims";

/// What is known of the claims of pods that are alike. Who has which devices is read from the facts each time.
#[derive(Default)]
pub(super) struct State {
    /// Why no node will do.
    pub(super) never: Option<String>,
    /// The claims whose news change everything: those that keep the pod waiting, or have their devices.
    own: Vec<FactKey>,
    /// Where the claims that have their devices can be used.
    pub(super) places: Vec<NodeTerms>,
    /// Claims that have their devices and are to be shared with the pod.
    pub(super) shared: Vec<(FactKey, ResourceClaim)>,
    pub(super) wanted: Vec<Wanted>,
    matches: Matches,
}

impl State {
    pub(super) fn new(plugin: &DynamicResources, view: &View, pod: &PodInfo) -> Self {
        let mut state = Self::default();
        let mut reader = Reader { facts: view.facts(), selectors: &*plugin.selectors, choices: 0 };
        let added = (0..pod.devices.len()).try_for_each(|at| state.add(&mut reader, pod, at));
        state.never = added.err();
        state.own = match state.never {
            Some(_) => keys(pod),
            None => state.shared.iter().map(|(key, _)| key.clone()).collect(),
        };
        state
    }

    fn add(&mut self, reader: &mut Reader<'_>, pod: &PodInfo, at: usize) -> Result<(), String> {
        match standing(reader.facts, pod, at) {
            Standing::Never(why) => return Err(why),
            Standing::Again => {}
            Standing::Wanted(key, claim) => {
                let number = self.wanted.len() + self.shared.len();
                self.wanted.push(reader.read(key, label(number), claim)?);
            }
            Standing::Allocated(key, claim) => {
                let allocation = claim.status.as_ref().and_then(|status| status.allocation.as_ref());
                let selector = allocation.and_then(|allocation| allocation.node_selector.as_ref());
                self.places.extend(selector.map(NodeTerms::of));
                self.shared.push((key, claim.clone()));
            }
        }
        Ok(())
    }

    /// Why a node will not do.
    pub(super) fn refusal(&self, view: &View, node: &NodeInfo) -> Option<String> {
        if let Some(never) = &self.never {
            return Some(never.clone());
        }
        if !self.places.iter().all(|terms| terms.matches(&node.name, &node.labels)) {
            return Some(ELSEWHERE.to_owned());
        }
        if self.wanted.is_empty() {
            return None;
        }
        match allocate(node, &self.wanted, &view.facts().devices().of_node(node), &self.matches) {
            Ok(Some(_)) => None,
            Ok(None) => Some(NONE.to_owned()),
            Err(error) => Some(error),
        }
    }

    /// The claims as they are with the pod on a node; those that have the pod already are left out.
    pub(super) fn claims(&self, view: &View, pod: &PodInfo, node: &NodeInfo) -> Result<outcome::Claims, String> {
        let shared = self.shared.iter().filter(|(_, claim)| !outcome::is_reserved(claim, pod));
        let mut claims: outcome::Claims = shared.cloned().collect();
        if !self.wanted.is_empty() {
            let slices = view.facts().devices().of_node(node);
            let given = allocate(node, &self.wanted, &slices, &self.matches)?.ok_or(NONE)?;
            let made =
                self.wanted.iter().zip(&given).map(|(wanted, given)| {
                    (wanted.key.clone(), outcome::allocated(view.facts(), &slices, wanted, given))
                });
            claims.extend(made);
        }
        claims.values_mut().filter(|claim| !outcome::is_reserved(claim, pod)).for_each(|c| outcome::reserve(c, pod));
        Ok(claims)
    }

    /// The nodes whose answer a changed fact may have changed.
    pub(super) fn touched(&mut self, view: &View, key: &FactKey, before: Option<&Fact>) -> Touched {
        let now = view.facts().get(key);
        match key.kind {
            FactKind::DeviceClass => Touched::All,
            FactKind::DeviceClaim if self.own.contains(key) && !self.still(key, now) => Touched::All,
            FactKind::DeviceClaim | FactKind::Slice if self.wanted.is_empty() => Touched::None,
            FactKind::DeviceClaim => claim_touched(view, before, now),
            FactKind::Slice => {
                self.matches.get_mut().clear();
                slice_touched(view, before, now)
            }
            _ => Touched::None,
        }
    }

    /// Whether a claim that has its devices has them still; who uses it beside matters to nobody that is alike.
    fn still(&self, key: &FactKey, now: Option<&Arc<Fact>>) -> bool {
        let Some(Fact::DeviceClaim(now)) = now.map(|fact| &**fact) else { return false };
        let known = self.shared.iter().find(|(own, _)| own == key).filter(|_| self.never.is_none());
        known.is_some_and(|(_, known)| outcome::same_devices(known, now))
    }
}

/// The nodes from which the devices can be used that a claim had, or has now. The view may be further on than the change: what
/// came between has changes of its own.
fn claim_touched(view: &View, before: Option<&Fact>, now: Option<&Arc<Fact>>) -> Touched {
    if let (Some(Fact::DeviceClaim(before)), Some(Fact::DeviceClaim(now))) = (before, now.map(|fact| &**fact))
        && outcome::same_devices(before, now)
    {
        return Touched::None;
    }
    let devices = before.into_iter().chain(now.map(|fact| &**fact)).flat_map(given);
    let mut pools: Vec<PoolKey> = devices.map(|[driver, pool, _]| (Name::new(driver), Name::new(pool))).collect();
    pools.sort();
    pools.dedup();
    named(view, &pools, NodeSet::new())
}

/// The nodes of a slice's pool as it was and as it is: with a slice more or less a pool is complete or not.
fn slice_touched(view: &View, before: Option<&Fact>, now: Option<&Arc<Fact>>) -> Touched {
    let both = || before.into_iter().chain(now.map(|fact| &**fact));
    let pools: Vec<PoolKey> = both().filter_map(pool_of).collect();
    let mut nodes = NodeSet::new();
    for slice in both() {
        match slice_node(slice) {
            Some(node) => nodes.extend(view.slot(node)),
            None => return Touched::Nodes(view.present().clone()),
        }
    }
    named(view, &pools, nodes)
}

/// The nodes of pools, and more.
fn named(view: &View, pools: &[PoolKey], mut nodes: NodeSet) -> Touched {
    for pool in pools {
        match view.facts().devices().nodes_of(pool) {
            Some(names) => nodes.extend(names.into_iter().filter_map(|name| view.slot(name))),
            None => return Touched::Nodes(view.present().clone()),
        }
    }
    if nodes.is_empty() { Touched::None } else { Touched::Nodes(nodes) }
}
