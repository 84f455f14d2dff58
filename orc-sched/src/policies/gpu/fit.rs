//! Whether a node's devices suffice.

use super::{Ask, Devices};
use crate::plugin::{Fragment, Hint, Plugin, Prepared, Touched, state};
use crate::pod::PodInfo;
use crate::reasons::Reasons;
use crate::set::NodeSet;
use crate::view::{Change, ChangeKind, View};

/// Refuses nodes whose devices do not suffice: a share has to fit into one, whole devices must be unused.
#[derive(Clone, Copy, Debug, Default)]
pub struct GpuFit;

impl Plugin for GpuFit {
    fn name(&self) -> &'static str {
        "GpuFit"
    }

    fn fragment(&self, _: &View, pod: &PodInfo, out: &mut Fragment) {
        Ask::of(pod).write(out);
    }

    fn prepare(&self, _: &View, pod: &PodInfo) -> Prepared {
        Box::new(Ask::of(pod))
    }

    fn concerned(&self, prepared: &Prepared) -> bool {
        state::<Ask>(prepared).count > 0
    }

    fn filter(&self, prepared: &Prepared, view: &View, nodes: &mut NodeSet, why: &mut Reasons) {
        let (ask, devices) = (state::<Ask>(prepared), Devices::of(view));
        nodes.retain(|slot| {
            let node = devices.node(slot);
            let fits = node.has_devices(ask);
            if !fits {
                why.refuse(slot, self.name(), "Insufficient free GPU devices", node.free().len() >= ask.count);
            }
            fits
        });
    }

    fn touched(&self, _: &mut Prepared, _: &View, change: &Change) -> Touched {
        if matches!(change.kind, ChangeKind::Pod { .. }) { Touched::Node } else { Touched::None }
    }

    fn local(&self) -> bool {
        true
    }

    fn helped_by(&self, hint: Hint) -> bool {
        matches!(hint, Hint::NodeAdded | Hint::NodeAllocatable | Hint::PodLeft)
    }
}
