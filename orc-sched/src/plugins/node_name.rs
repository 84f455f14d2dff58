//! Pods that name their node.

use orc_core::Name;

use crate::plugin::{Fragment, Hint, Plugin, Prepared, Touched, state};
use crate::pod::PodInfo;
use crate::reasons::Reasons;
use crate::set::NodeSet;
use crate::view::{Change, View};

/// Refuses every node but the one in `spec.nodeName`.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeName;

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn fragment(&self, _: &View, pod: &PodInfo, out: &mut Fragment) {
        out.text(pod.node.as_deref().unwrap_or_default());
    }

    fn prepare(&self, _: &View, pod: &PodInfo) -> Prepared {
        Box::new(pod.node.clone())
    }

    fn concerned(&self, prepared: &Prepared) -> bool {
        state::<Option<Name>>(prepared).is_some()
    }

    fn filter(&self, prepared: &Prepared, view: &View, nodes: &mut NodeSet, why: &mut Reasons) {
        let Some(name) = state::<Option<Name>>(prepared) else { return };
        let wanted = view.slot(name);
        nodes.retain(|slot| {
            if wanted != Some(slot) {
                why.refuse(slot, self.name(), "node(s) didn't match the requested node name", false);
            }
            wanted == Some(slot)
        });
    }

    fn touched(&self, _: &mut Prepared, _: &View, _: &Change) -> Touched {
        Touched::None
    }

    fn local(&self) -> bool {
        true
    }

    fn helped_by(&self, hint: Hint) -> bool {
        hint == Hint::NodeAdded
    }
}
