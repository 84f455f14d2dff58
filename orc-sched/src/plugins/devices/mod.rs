//! Devices: where a pod can have what its resource claims ask for (`resource.k8s.io/v1`, structured parameters).
//!
//! Built: `ExactCount` and `All`, alternatives (`firstAvailable`), selectors of classes and requests, `matchAttribute`, admin
//! access, taints of devices, and which nodes slices and devices are for. Not handed out: parts of devices (`consumesCounters`,
//! `allowMultipleAllocations`) and devices with binding conditions.

mod allocate;
mod outcome;
mod pools;
mod selector;
mod wanted;

use std::sync::Arc;

use k8s_openapi::api::resource::v1::ResourceClaim;
use orc_core::node_selector::NodeTerms;

use self::allocate::{Matches, allocate};
pub(crate) use self::outcome::MOST_PODS;
use self::pools::Pools;
use self::selector::NoSelectors;
pub use self::selector::{DeviceSelector, DeviceSelectors};
use self::wanted::{Reader, Wanted};
use crate::facts::{Fact, FactKey, FactKind};
use crate::node::NodeInfo;
use crate::plugin::{Fragment, Hint, Plugin, Prepared, Touched, state};
use crate::pod::{DeviceRef, PodInfo};
use crate::reasons::Reasons;
use crate::set::NodeSet;
use crate::view::{Change, ChangeKind, View};

/// Refuses nodes where the pod's device claims cannot be used, or cannot be allocated. What it finds is reserved with the pod and
/// written before it is bound.
#[derive(Clone)]
pub struct DynamicResources {
    selectors: Arc<dyn DeviceSelectors>,
}

impl DynamicResources {
    /// With an evaluator of the expressions in classes and claims.
    pub fn new(selectors: Arc<dyn DeviceSelectors>) -> Self {
        Self { selectors }
    }
}

impl Default for DynamicResources {
    /// Without an evaluator: classes and claims with expressions keep their pods waiting, and the message says why.
    fn default() -> Self {
        Self::new(Arc::new(NoSelectors))
    }
}

impl std::fmt::Debug for DynamicResources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DynamicResources")
    }
}

const ELSEWHERE: &str = "resourceclaim not available on the node";
const NONE: &str = "cannot allocate all claims";

#[derive(Default)]
struct State {
    /// Why no node will do.
    never: Option<String>,
    /// Where the claims that have their devices can be used.
    places: Vec<NodeTerms>,
    /// Claims that have their devices and are to be shared with the pod.
    shared: Vec<(FactKey, ResourceClaim)>,
    wanted: Vec<Wanted>,
    pools: Pools,
    matches: Matches,
}

impl State {
    fn new(plugin: &DynamicResources, view: &View, pod: &PodInfo) -> Self {
        let mut state = Self::default();
        if pod.devices.is_empty() {
            return state;
        }
        let mut reader = Reader { facts: view.facts(), selectors: &*plugin.selectors, choices: 0 };
        let added = pod.devices.iter().try_for_each(|device| state.add(&mut reader, pod, device));
        state.never = added.err();
        if state.never.is_none() && !state.wanted.is_empty() {
            state.pools = Pools::of(view.facts());
        }
        state
    }

    fn add(&mut self, reader: &mut Reader<'_>, pod: &PodInfo, device: &DeviceRef) -> Result<(), String> {
        let waiting = || "waiting for dynamic resource controller to create the resourceclaim".to_owned();
        let name = device.claim.as_ref().ok_or_else(waiting)?;
        let key = FactKey::new(FactKind::DeviceClaim, pod.key.namespace_str(), name.clone());
        let claim = match reader.facts.get(&key).map(|fact| &**fact) {
            Some(Fact::DeviceClaim(claim)) => claim,
            _ => return Err(format!("resourceclaim \"{name}\" not found")),
        };
        if claim.metadata.deletion_timestamp.is_some() {
            return Err(format!("resourceclaim \"{name}\" is being deleted"));
        }
        if device.template && !owns(pod, claim) {
            let full = format!("{}/{name}", key.namespace);
            let pod = format!("{}/{}", key.namespace, pod.key.name);
            return Err(format!("ResourceClaim {full} was not created for Pod {pod} (pod is not owner)"));
        }
        if self.shared.iter().any(|(own, _)| *own == key) || self.wanted.iter().any(|own| own.key == key) {
            return Ok(());
        }
        let Some(allocation) = claim.status.as_ref().and_then(|status| status.allocation.as_ref()) else {
            self.wanted.push(reader.read(key, claim)?);
            return Ok(());
        };
        if !outcome::is_reserved(claim, pod) && !outcome::has_room(claim) {
            return Err("resourceclaim in use".to_owned());
        }
        self.places.extend(allocation.node_selector.as_ref().map(NodeTerms::of));
        self.shared.push((key, ResourceClaim::clone(claim)));
        Ok(())
    }

    /// Why a node will not do.
    fn refusal(&self, node: &NodeInfo) -> Option<String> {
        if let Some(never) = &self.never {
            return Some(never.clone());
        }
        if !self.places.iter().all(|terms| terms.matches(&node.name, &node.labels)) {
            return Some(ELSEWHERE.to_owned());
        }
        if self.wanted.is_empty() {
            return None;
        }
        match allocate(node, &self.wanted, &self.pools, &self.matches) {
            Ok(Some(_)) => None,
            Ok(None) => Some(NONE.to_owned()),
            Err(error) => Some(error),
        }
    }

    /// The claims as they are with the pod on a node; those that have the pod already are left out.
    fn claims(&self, view: &View, pod: &PodInfo, node: &NodeInfo) -> Result<outcome::Claims, String> {
        let shared = self.shared.iter().filter(|(_, claim)| !outcome::is_reserved(claim, pod));
        let mut claims: outcome::Claims = shared.cloned().collect();
        if !self.wanted.is_empty() {
            let given = allocate(node, &self.wanted, &self.pools, &self.matches)?.ok_or(NONE)?;
            let made = self.wanted.iter().zip(&given).map(|(wanted, given)| {
                (wanted.key.clone(), outcome::allocated(view.facts(), &self.pools, wanted, given))
            });
            claims.extend(made);
        }
        claims.values_mut().filter(|claim| !outcome::is_reserved(claim, pod)).for_each(|c| outcome::reserve(c, pod));
        Ok(claims)
    }
}

/// Whether a claim was made for a pod.
fn owns(pod: &PodInfo, claim: &ResourceClaim) -> bool {
    let owners = claim.metadata.owner_references.iter().flatten();
    owners.into_iter().any(|owner| owner.controller == Some(true) && owner.uid == pod.uid.as_str())
}

impl Plugin for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }

    fn fragment(&self, _: &View, pod: &PodInfo, out: &mut Fragment) {
        out.number(i64::try_from(pod.devices.len()).unwrap_or(i64::MAX));
        if pod.devices.is_empty() {
            return;
        }
        out.text(pod.key.namespace_str());
        // Whether a claim has this very pod among its users, or was made for it, differs from pod to pod.
        out.text(&pod.uid);
        pod.devices.iter().for_each(|device| out.text(device.claim.as_deref().unwrap_or_default()));
    }

    fn prepare(&self, view: &View, pod: &PodInfo) -> Prepared {
        Box::new(State::new(self, view, pod))
    }

    fn concerned(&self, prepared: &Prepared) -> bool {
        let state = state::<State>(prepared);
        state.never.is_some() || !state.places.is_empty() || !state.wanted.is_empty() || !state.shared.is_empty()
    }

    fn filter(&self, prepared: &Prepared, view: &View, nodes: &mut NodeSet, why: &mut Reasons) {
        let state = state::<State>(prepared);
        nodes.retain(|slot| {
            let Some(node) = view.node(slot) else { return false };
            let refusal = state.refusal(node);
            if let Some(text) = &refusal {
                why.refuse(slot, self.name(), text, false);
            }
            refusal.is_none()
        });
    }

    fn touched(&self, _: &mut Prepared, _: &View, change: &Change) -> Touched {
        let kinds = [FactKind::DeviceClaim, FactKind::Slice, FactKind::DeviceClass];
        match &change.kind {
            ChangeKind::Fact(key) if kinds.contains(&key.kind) => Touched::All,
            _ => Touched::None,
        }
    }

    fn reserve(&self, view: &View, pod: &PodInfo, slot: usize) -> Result<Vec<(FactKey, Arc<Fact>)>, String> {
        if pod.devices.is_empty() {
            return Ok(Vec::new());
        }
        let state = State::new(self, view, pod);
        let Some(node) = view.node(slot) else { return Err("the node is gone".to_owned()) };
        if let Some(refusal) = state.refusal(node) {
            return Err(refusal);
        }
        let claims = state.claims(view, pod, node)?;
        Ok(claims.into_iter().map(|(key, claim)| (key, Arc::new(Fact::DeviceClaim(Box::new(claim))))).collect())
    }

    fn local(&self) -> bool {
        true
    }

    fn helped_by(&self, hint: Hint) -> bool {
        let kinds = [FactKind::DeviceClaim, FactKind::Slice, FactKind::DeviceClass];
        // A pod that is taken off its node again gives back what was assumed with it.
        matches!(hint, Hint::NodeAdded | Hint::NodeLabels | Hint::PodLeft)
            || matches!(hint, Hint::Fact(kind) if kinds.contains(&kind))
    }
}
