//! Node selector and node affinity.

use crate::plugin::{Fragment, Hint, Normal, Plugin, Prepared, Touched, state};
use crate::pod::{NodeRule, PodInfo};
use crate::reasons::Reasons;
use crate::set::NodeSet;
use crate::view::{Change, View};

/// Refuses nodes that `spec.nodeSelector` or the required node affinity do not allow; prefers those of the preferred terms.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeAffinity;

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn fragment(&self, pod: &PodInfo, out: &mut Fragment) {
        let any = pod.rule.allows_all() && pod.rule.prefers_none();
        out.number(any.into());
        if !any {
            out.debug(&pod.rule);
        }
    }

    fn prepare(&self, _: &View, pod: &PodInfo) -> Prepared {
        Box::new(pod.rule.clone())
    }

    fn filter(&self, prepared: &Prepared, view: &View, nodes: &mut NodeSet, why: &mut Reasons) {
        let rule = state::<NodeRule>(prepared);
        if rule.allows_all() {
            return;
        }
        nodes.retain(|slot| {
            let fits = view.node(slot).is_some_and(|node| rule.allows(&node.name, &node.labels));
            if !fits {
                why.refuse(slot, self.name(), "node(s) didn't match Pod's node affinity/selector", false);
            }
            fits
        });
    }

    fn normal(&self, prepared: &Prepared) -> Option<Normal> {
        (!state::<NodeRule>(prepared).prefers_none()).then_some(Normal::Max { reverse: false })
    }

    fn score(&self, prepared: &Prepared, view: &View, nodes: &NodeSet, out: &mut [i64]) {
        let rule = state::<NodeRule>(prepared);
        for slot in nodes.iter() {
            out[slot] = view.node(slot).map_or(0, |node| rule.preference(&node.name, &node.labels));
        }
    }

    fn touched(&self, _: &mut Prepared, _: &Change) -> Touched {
        Touched::None
    }

    fn helped_by(&self, hint: Hint) -> bool {
        matches!(hint, Hint::NodeAdded | Hint::NodeLabels)
    }
}
