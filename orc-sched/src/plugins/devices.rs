//! Device claims that are allocated already.

use orc_core::Name;
use orc_core::node_selector::NodeTerms;

use crate::facts::{Fact, FactKey, FactKind};
use crate::plugin::{Fragment, Hint, Plugin, Prepared, Touched, state};
use crate::pod::PodInfo;
use crate::reasons::Reasons;
use crate::set::NodeSet;
use crate::view::{Change, ChangeKind, View};

/// Refuses nodes where the devices allocated to the pod's claims are not. It does not allocate: a claim without allocation
/// keeps the pod waiting, and the refusal says so.
#[derive(Clone, Copy, Debug, Default)]
pub struct DynamicResources;

#[derive(Default)]
struct State {
    never: Option<String>,
    /// Where the claims can be used.
    places: Vec<NodeTerms>,
}

impl State {
    fn new(view: &View, pod: &PodInfo) -> Self {
        let mut state = Self::default();
        for device in &pod.devices {
            match device.claim.as_ref().map(|claim| allocated(view, pod, claim)) {
                Some(Ok(places)) => state.places.extend(places),
                Some(Err(why)) => state.never = Some(why),
                None => {
                    state.never = Some("waiting for dynamic resource controller to create the resourceclaim".into())
                }
            }
        }
        state
    }
}

fn allocated(view: &View, pod: &PodInfo, name: &Name) -> Result<Option<NodeTerms>, String> {
    let key = FactKey::new(FactKind::DeviceClaim, pod.key.namespace_str(), name.clone());
    let claim = match view.facts().get(&key).map(|fact| &**fact) {
        Some(Fact::DeviceClaim(claim)) => claim,
        _ => return Err(format!("resourceclaim \"{name}\" not found")),
    };
    let allocation = claim.status.as_ref().and_then(|status| status.allocation.as_ref());
    let allocation =
        allocation.ok_or_else(|| format!("resourceclaim \"{name}\" is not allocated: allocation is not built yet"))?;
    Ok(allocation.node_selector.as_ref().map(NodeTerms::of))
}

impl Plugin for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }

    fn fragment(&self, _: &View, pod: &PodInfo, out: &mut Fragment) {
        out.number(i64::try_from(pod.devices.len()).unwrap_or(i64::MAX));
        if !pod.devices.is_empty() {
            out.text(pod.key.namespace_str());
            pod.devices.iter().for_each(|device| out.text(device.claim.as_deref().unwrap_or_default()));
        }
    }

    fn prepare(&self, view: &View, pod: &PodInfo) -> Prepared {
        Box::new(State::new(view, pod))
    }

    fn concerned(&self, prepared: &Prepared) -> bool {
        let state = state::<State>(prepared);
        state.never.is_some() || !state.places.is_empty()
    }

    fn filter(&self, prepared: &Prepared, view: &View, nodes: &mut NodeSet, why: &mut Reasons) {
        let state = state::<State>(prepared);
        nodes.retain(|slot| {
            let Some(node) = view.node(slot) else { return false };
            let refusal = match &state.never {
                Some(never) => Some(&**never),
                None => {
                    let there = state.places.iter().all(|terms| terms.matches(&node.name, &node.labels));
                    (!there).then_some("resourceclaim not available on the node")
                }
            };
            if let Some(text) = refusal {
                why.refuse(slot, self.name(), text, false);
            }
            refusal.is_none()
        });
    }

    fn touched(&self, _: &mut Prepared, _: &View, change: &Change) -> Touched {
        match &change.kind {
            ChangeKind::Fact(key) if key.kind == FactKind::DeviceClaim => Touched::All,
            _ => Touched::None,
        }
    }

    fn local(&self) -> bool {
        true
    }

    fn helped_by(&self, hint: Hint) -> bool {
        matches!(hint, Hint::NodeAdded | Hint::NodeLabels | Hint::Fact(FactKind::DeviceClaim))
    }
}
