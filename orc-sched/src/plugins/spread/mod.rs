//! Spreading over the values of node labels.

mod counted;
mod defaults;
mod state;

use orc_core::Name;

pub use self::defaults::{SpreadDefault, SpreadDefaults};
use self::state::State;
use crate::facts::FactKind;
use crate::plugin::{Classes, Fragment, Hint, Normal, Plugin, Prepared, Refusal, Touched, state, state_mut};
use crate::pod::PodInfo;
use crate::set::NodeSet;
use crate::view::{Change, ChangeKind, View};

/// Refuses nodes in places that would have too many pods more than the place with the fewest (`DoNotSchedule`), and prefers
/// places with few (`ScheduleAnyway`). Pods without constraints get the defaults.
#[derive(Clone, Debug, Default)]
pub struct PodTopologySpread {
    /// Constraints of pods that have none.
    pub defaults: SpreadDefaults,
}

const SKEW: Refusal = Refusal { text: "node(s) didn't match pod topology spread constraints", resolvable: true };
const MISSING: Refusal = Refusal {
    text: "node(s) didn't match pod topology spread constraints (missing required label)",
    resolvable: false,
};

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn fragment(&self, view: &View, pod: &PodInfo, out: &mut Fragment) {
        let defaults = self.defaults.of(view, pod);
        let all = if pod.spread.is_empty() { &defaults } else { &pod.spread };
        out.number(i64::try_from(all.len()).unwrap_or(i64::MAX));
        for constraint in all {
            out.text(constraint.text());
            out.number(constraint.counts(&pod.labels).into());
        }
        if all.is_empty() {
            return;
        }
        out.text(pod.key.namespace_str());
        out.text(pod.rule.text());
        if all.iter().any(|constraint| constraint.honor_taints) {
            pod.tolerations.iter().for_each(|toleration| toleration.write(out));
        }
    }

    fn topology_keys(&self) -> Vec<Name> {
        self.defaults.keys()
    }

    fn prepare(&self, view: &View, pod: &PodInfo) -> Prepared {
        let own = !pod.spread.is_empty();
        let constraints = if own { pod.spread.clone() } else { self.defaults.of(view, pod) };
        Box::new(State::new(view, pod, constraints, own || !self.defaults.lenient()))
    }

    fn concerned(&self, prepared: &Prepared) -> bool {
        state::<State>(prepared).concerned()
    }

    fn normal(&self, prepared: &Prepared) -> Option<Normal> {
        state::<State>(prepared).scores().then_some(Normal::Mirror)
    }

    fn classes(&self, prepared: &Prepared) -> Option<&dyn Classes> {
        state::<State>(prepared).concerned().then_some(self)
    }

    fn touched(&self, prepared: &mut Prepared, view: &View, change: &Change) -> Touched {
        let state = state_mut::<State>(prepared);
        match &change.kind {
            ChangeKind::Pod { pod, node, added } => {
                state.pod(view, pod, node, change.slot, if *added { 1 } else { -1 })
            }
            ChangeKind::Node { before, after } => {
                before.iter().for_each(|node| state.node(view, node, -1));
                after.iter().for_each(|node| state.node(view, node, 1));
                Touched::None
            }
            ChangeKind::Fact(..) => Touched::None,
        }
    }

    fn helped_by(&self, hint: Hint) -> bool {
        let owners = [FactKind::Service, FactKind::ReplicaSet, FactKind::StatefulSet, FactKind::ReplicationController];
        match hint {
            // Where a place is gone, the least of the others counts.
            Hint::NodeAdded | Hint::NodeGone | Hint::NodeLabels | Hint::NodeTaints => true,
            Hint::PodLeft | Hint::PodCame => true,
            Hint::Fact(kind) => owners.contains(&kind),
            _ => false,
        }
    }

    /// Only one that is counted: the least of all places may be more with it. Constraints by default are not looked into.
    fn helped_by_pod(&self, _: &View, waiting: &PodInfo, came: &PodInfo) -> bool {
        let counts = |own: &crate::pod::SpreadConstraint| own.hard && own.counts(&came.labels);
        waiting.key.namespace == came.key.namespace && (waiting.spread.is_empty() || waiting.spread.iter().any(counts))
    }
}

impl Classes for PodTopologySpread {
    fn classify(&self, prepared: &mut Prepared, view: &View, nodes: &NodeSet, out: &mut [i64]) {
        state_mut::<State>(prepared).classify(view, nodes, out);
    }

    fn judge(&self, prepared: &Prepared, class: i64) -> Option<Refusal> {
        state::<State>(prepared).judge(class)
    }

    fn weigh(&self, prepared: &Prepared, classes: &[(i64, usize)], out: &mut [i64]) {
        state::<State>(prepared).weigh(classes, out);
    }
}
