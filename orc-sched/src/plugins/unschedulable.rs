//! Nodes that are cordoned.

use crate::plugin::{Fragment, Hint, Plugin, Prepared, Touched, state};
use crate::pod::{Effect, PodInfo, Taint};
use crate::reasons::Reasons;
use crate::set::NodeSet;
use crate::view::{Change, View};

/// Refuses nodes with `spec.unschedulable`, unless the pod tolerates the taint that stands for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeUnschedulable;

fn tolerates(pod: &PodInfo) -> bool {
    if pod.tolerations.is_empty() {
        return false;
    }
    let taint = Taint { key: "node.kubernetes.io/unschedulable".into(), value: "".into(), effect: Effect::NoSchedule };
    pod.tolerations.iter().any(|toleration| toleration.tolerates(&taint))
}

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn fragment(&self, _: &View, pod: &PodInfo, out: &mut Fragment) {
        out.number(tolerates(pod).into());
    }

    fn prepare(&self, _: &View, pod: &PodInfo) -> Prepared {
        Box::new(tolerates(pod))
    }

    fn filter(&self, prepared: &Prepared, view: &View, nodes: &mut NodeSet, why: &mut Reasons) {
        if *state::<bool>(prepared) {
            return;
        }
        nodes.retain(|slot| {
            let open = !view.node(slot).is_some_and(|node| node.unschedulable);
            if !open {
                why.refuse(slot, self.name(), "node(s) were unschedulable", false);
            }
            open
        });
    }

    fn touched(&self, _: &mut Prepared, _: &View, _: &Change) -> Touched {
        Touched::None
    }

    fn local(&self) -> bool {
        true
    }

    fn helped_by(&self, hint: Hint) -> bool {
        matches!(hint, Hint::NodeAdded | Hint::NodeSchedulable)
    }
}
