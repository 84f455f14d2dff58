//! Node selector and node affinity.

use crate::plugin::{Fragment, Hint, Normal, Plugin, Prepared, Touched, state};
use crate::pod::{NodeRule, PodInfo};
use crate::reasons::Reasons;
use crate::set::NodeSet;
use crate::view::{Change, View};

/// Refuses nodes that `spec.nodeSelector` or the required node affinity do not allow; prefers those of the preferred terms.
#[derive(Clone, Debug, Default)]
pub struct NodeAffinity {
    /// What holds for every pod beside its own wishes (`addedAffinity`).
    pub added: NodeRule,
}

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn fragment(&self, _: &View, pod: &PodInfo, out: &mut Fragment) {
        out.text(pod.rule.text());
    }

    fn prepare(&self, _: &View, pod: &PodInfo) -> Prepared {
        Box::new(pod.rule.clone())
    }

    fn concerned(&self, prepared: &Prepared) -> bool {
        let plain = |rule: &NodeRule| rule.allows_all() && rule.prefers_none();
        !(plain(state::<NodeRule>(prepared)) && plain(&self.added))
    }

    fn filter(&self, prepared: &Prepared, view: &View, nodes: &mut NodeSet, why: &mut Reasons) {
        let rule = state::<NodeRule>(prepared);
        nodes.retain(|slot| {
            let Some(node) = view.node(slot) else { return false };
            let refusal = if !self.added.allows(&node.name, &node.labels) {
                Some("node(s) didn't match scheduler-enforced node affinity")
            } else {
                (!rule.allows(&node.name, &node.labels)).then_some("node(s) didn't match Pod's node affinity/selector")
            };
            if let Some(text) = refusal {
                why.refuse(slot, self.name(), text, false);
            }
            refusal.is_none()
        });
    }

    fn normal(&self, prepared: &Prepared) -> Option<Normal> {
        let silent = state::<NodeRule>(prepared).prefers_none() && self.added.prefers_none();
        (!silent).then_some(Normal::Max { reverse: false })
    }

    fn score(&self, prepared: &Prepared, view: &View, nodes: &NodeSet, out: &mut [i64]) {
        let rule = state::<NodeRule>(prepared);
        for slot in nodes.iter() {
            let of = |rule: &NodeRule| view.node(slot).map_or(0, |node| rule.preference(&node.name, &node.labels));
            out[slot] = of(rule) + of(&self.added);
        }
    }

    fn touched(&self, _: &mut Prepared, _: &View, _: &Change) -> Touched {
        Touched::None
    }

    fn local(&self) -> bool {
        true
    }

    fn helped_by(&self, hint: Hint) -> bool {
        matches!(hint, Hint::NodeAdded | Hint::NodeLabels)
    }
}
