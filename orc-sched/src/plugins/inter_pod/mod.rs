//! Affinity to other pods.

mod state;

use orc_core::Name;

use self::state::State;
use super::classes::add_members;
use crate::plugin::{Classes, Fragment, Hint, Normal, Plugin, Prepared, Refusal, Touched, state, state_mut};
use crate::pod::PodInfo;
use crate::reasons::Reasons;
use crate::set::NodeSet;
use crate::view::{Change, ChangeKind, View};

/// Refuses nodes in places without the pods that must be near, or with pods that must not; prefers places by the weights of the
/// pod's own preferences and of those that other pods have about it.
#[derive(Clone, Debug)]
pub struct InterPodAffinity {
    /// The weight of other pods' required affinity to the pod when nodes are scored, 0 to 100.
    pub hard_pod_affinity_weight: i64,
    /// Whether other pods' preferences do not count.
    pub ignore_preferred_terms_of_existing_pods: bool,
}

impl Default for InterPodAffinity {
    fn default() -> Self {
        Self { hard_pod_affinity_weight: 1, ignore_preferred_terms_of_existing_pods: false }
    }
}

const NEAR: &str = "node(s) didn't match pod affinity rules";
const FAR: &str = "node(s) didn't match pod anti-affinity rules";
const EXISTING: &str = "node(s) didn't satisfy existing pods anti-affinity rules";

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn fragment(&self, view: &View, pod: &PodInfo, out: &mut Fragment) {
        out.text(pod.affinity.text());
        out.number(pod.affinity.required.iter().all(|term| view.means(term, pod)).into());
        let meaning = view.terms_meaning(pod);
        out.number(i64::try_from(meaning.len()).unwrap_or(i64::MAX));
        for (id, _, roles) in meaning {
            out.number(i64::try_from(id).unwrap_or(i64::MAX));
            let carried = [roles.apart, roles.required, roles.preferred].map(|carriers| i64::from(carriers > 0));
            out.number(carried[0] + 2 * carried[1] + 4 * carried[2]);
        }
    }

    fn prepare(&self, view: &View, pod: &PodInfo) -> Prepared {
        Box::new(State::new(self, view, pod))
    }

    fn concerned(&self, prepared: &Prepared) -> bool {
        state::<State>(prepared).concerned()
    }

    fn filter(&self, prepared: &Prepared, view: &View, nodes: &mut NodeSet, why: &mut Reasons) {
        let state = state::<State>(prepared);
        nodes.retain(|slot| {
            let refusal = if !state.near_enough(view, slot) {
                Some((NEAR, false))
            } else if state.too_near(view, slot) {
                Some((FAR, true))
            } else {
                state.unwelcome(view, slot).then_some((EXISTING, true))
            };
            if let Some((text, resolvable)) = refusal {
                why.refuse(slot, self.name(), text, resolvable);
            }
            refusal.is_none()
        });
    }

    fn normal(&self, prepared: &Prepared) -> Option<Normal> {
        state::<State>(prepared).scores().then_some(Normal::MinMax)
    }

    fn classes(&self, prepared: &Prepared) -> Option<&dyn Classes> {
        state::<State>(prepared).scores().then_some(self)
    }

    fn touched(&self, prepared: &mut Prepared, view: &View, change: &Change) -> Touched {
        let state = state_mut::<State>(prepared);
        match &change.kind {
            ChangeKind::Pod { pod, node, added } => {
                let mut nodes = NodeSet::new();
                let before = state.near.total;
                for place in state.count(view, pod, node, if *added { 1 } else { -1 }) {
                    add_members(view, &place.key, place.id, &mut nodes);
                }
                if state.classes.crowded(view) {
                    Touched::All
                } else if (before == 0) != (state.near.total == 0) {
                    // The first pod of a group goes anywhere, the next ones do not.
                    Touched::Nodes(view.present().clone())
                } else if nodes.is_empty() {
                    Touched::None
                } else {
                    Touched::Nodes(nodes)
                }
            }
            ChangeKind::Fact(key, _) if key.kind == crate::facts::FactKind::Namespace => state.after_namespace(),
            _ => Touched::None,
        }
    }

    fn helped_by(&self, hint: Hint) -> bool {
        matches!(
            hint,
            Hint::NodeAdded
                | Hint::NodeGone
                | Hint::NodeLabels
                | Hint::PodLeft
                | Hint::PodCame
                | Hint::Fact(crate::facts::FactKind::Namespace)
        )
    }

    /// Only one that the waiting pod wants to be near.
    fn helped_by_pod(&self, view: &View, waiting: &PodInfo, came: &PodInfo) -> bool {
        waiting.affinity.required.iter().any(|term| view.means(term, came))
    }
}

impl Classes for InterPodAffinity {
    fn classify(&self, prepared: &mut Prepared, view: &View, nodes: &NodeSet, out: &mut [i64]) {
        state_mut::<State>(prepared).classify(view, nodes, out);
    }

    fn judge(&self, _: &Prepared, _: i64) -> Option<Refusal> {
        None
    }

    fn weigh(&self, prepared: &Prepared, classes: &[(i64, usize)], out: &mut [i64]) {
        let state = state::<State>(prepared);
        out.iter_mut().zip(classes).for_each(|(raw, (class, _))| *raw = state.weight(*class));
    }
}

/// A place whose number has changed so that the nodes there have to be asked again.
pub(super) struct Place {
    key: Name,
    id: crate::view::DomainId,
}
