//! Devices: where a pod can have what its resource claims ask for (`resource.k8s.io/v1`, structured parameters).
//!
//! Built: `ExactCount` and `All`, alternatives (`firstAvailable`), selectors of classes and requests, `matchAttribute`, admin
//! access, taints of devices, and which nodes slices and devices are for. Not handed out: parts of devices (`consumesCounters`,
//! `allowMultipleAllocations`) and devices with binding conditions.

mod allocate;
mod outcome;
mod selector;
mod standing;
mod state;
mod wanted;

use std::sync::Arc;

pub(crate) use self::outcome::MOST_PODS;
use self::selector::NoSelectors;
pub use self::selector::{DeviceSelector, DeviceSelectors};
use self::state::State;
use crate::facts::{Fact, FactKey, FactKind};
use crate::plugin::{Fragment, Hint, Plugin, Prepared, Touched, state, state_mut};
use crate::pod::PodInfo;
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

impl Plugin for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }

    fn fragment(&self, view: &View, pod: &PodInfo, out: &mut Fragment) {
        if pod.devices.is_empty() {
            return out.number(0);
        }
        standing::write(view.facts(), pod, out);
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
            let refusal = state.refusal(view, node);
            if let Some(text) = &refusal {
                why.refuse(slot, self.name(), text, false);
            }
            refusal.is_none()
        });
    }

    fn touched(&self, prepared: &mut Prepared, view: &View, change: &Change) -> Touched {
        match &change.kind {
            ChangeKind::Fact(key, before) => state_mut::<State>(prepared).touched(view, key, before.as_deref()),
            _ => Touched::None,
        }
    }

    fn reserve(&self, view: &View, pod: &PodInfo, slot: usize) -> Result<Vec<(FactKey, Arc<Fact>)>, String> {
        if pod.devices.is_empty() {
            return Ok(Vec::new());
        }
        let state = State::new(self, view, pod);
        let Some(node) = view.node(slot) else { return Err("the node is gone".to_owned()) };
        let claims = match state.refusal(view, node) {
            Some(refusal) => Err(refusal),
            None => state.claims(view, pod, node),
        };
        let claims = claims.map_err(|why| standing::worded(pod, &why).unwrap_or(why))?;
        Ok(claims.into_iter().map(|(key, claim)| (key, Arc::new(Fact::DeviceClaim(Box::new(claim))))).collect())
    }

    fn worded(&self, pod: &PodInfo, reason: &str) -> Option<String> {
        standing::worded(pod, reason)
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
