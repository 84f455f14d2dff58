//! Taints and tolerations.

use crate::plugin::{Fragment, Hint, Normal, Plugin, Prepared, Touched, state};
use crate::pod::{Effect, PodInfo, Taint, Toleration};
use crate::reasons::Reasons;
use crate::set::NodeSet;
use crate::view::{Change, View};

/// Refuses nodes with a taint that forbids and is not tolerated; prefers nodes with few `PreferNoSchedule` taints that are not
/// tolerated.
#[derive(Clone, Copy, Debug, Default)]
pub struct TaintToleration;

fn tolerated(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| toleration.tolerates(taint))
}

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn fragment(&self, _: &View, pod: &PodInfo, out: &mut Fragment) {
        out.number(i64::try_from(pod.tolerations.len()).unwrap_or(i64::MAX));
        for toleration in &pod.tolerations {
            toleration.write(out);
        }
    }

    fn prepare(&self, _: &View, pod: &PodInfo) -> Prepared {
        Box::new(pod.tolerations.clone())
    }

    fn filter(&self, prepared: &Prepared, view: &View, nodes: &mut NodeSet, why: &mut Reasons) {
        let tolerations = state::<Vec<Toleration>>(prepared);
        nodes.retain(|slot| {
            let Some(node) = view.node(slot) else { return false };
            let fits = node.taints.iter().all(|taint| !taint.effect.forbids() || tolerated(tolerations, taint));
            if !fits {
                why.refuse(slot, self.name(), "node(s) had untolerated taint(s)", false);
            }
            fits
        });
    }

    fn normal(&self, _: &Prepared) -> Option<Normal> {
        Some(Normal::Max { reverse: true })
    }

    fn score(&self, prepared: &Prepared, view: &View, nodes: &NodeSet, out: &mut [i64]) {
        let tolerations = state::<Vec<Toleration>>(prepared);
        for slot in nodes.iter() {
            let taints = view.node(slot).map_or(&[][..], |node| &node.taints);
            let unwelcome = |taint: &&Taint| taint.effect == Effect::PreferNoSchedule && !tolerated(tolerations, taint);
            out[slot] = i64::try_from(taints.iter().filter(unwelcome).count()).unwrap_or(i64::MAX);
        }
    }

    fn touched(&self, _: &mut Prepared, _: &View, _: &Change) -> Touched {
        Touched::None
    }

    fn local(&self) -> bool {
        true
    }

    fn helped_by(&self, hint: Hint) -> bool {
        matches!(hint, Hint::NodeAdded | Hint::NodeTaints)
    }
}
