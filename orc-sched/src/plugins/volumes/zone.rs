//! Volumes that exist in certain zones or regions only.

use super::{Claims, after_fact};
use crate::facts::FactKind;
use crate::plugin::{Fragment, Hint, Plugin, Prepared, Touched, state};
use crate::pod::PodInfo;
use crate::reasons::Reasons;
use crate::set::NodeSet;
use crate::view::{Change, View};

/// Refuses nodes outside of the zones and regions that the pod's bound volumes carry as labels.
#[derive(Clone, Copy, Debug, Default)]
pub struct VolumeZone;

const LABELS: [&str; 4] = [
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
];

/// Labels with the values that will do.
type Places = Vec<(&'static str, Vec<String>)>;

/// The name of a label in its present form.
fn present(label: &'static str) -> &'static str {
    match label {
        "failure-domain.beta.kubernetes.io/zone" => LABELS[0],
        "failure-domain.beta.kubernetes.io/region" => LABELS[1],
        label => label,
    }
}

impl Plugin for VolumeZone {
    fn name(&self) -> &'static str {
        "VolumeZone"
    }

    fn fragment(&self, _: &View, pod: &PodInfo, out: &mut Fragment) {
        Claims::write(pod, out);
    }

    fn prepare(&self, view: &View, pod: &PodInfo) -> Prepared {
        let claims = Claims::of(pod);
        let mut places = Places::new();
        for name in &claims.names {
            let claim = view.facts().claim(&claims.namespace, name).and_then(|claim| claim.spec.as_ref());
            let volume = claim.and_then(|spec| spec.volume_name.as_deref()).and_then(|name| view.facts().volume(name));
            let labels = volume.and_then(|volume| volume.metadata.labels.as_ref());
            for label in LABELS {
                if let Some(value) = labels.and_then(|labels| labels.get(label)) {
                    places.push((label, value.split("__").map(str::to_owned).collect()));
                }
            }
        }
        Box::new(places)
    }

    fn concerned(&self, prepared: &Prepared) -> bool {
        !state::<Places>(prepared).is_empty()
    }

    fn filter(&self, prepared: &Prepared, view: &View, nodes: &mut NodeSet, why: &mut Reasons) {
        let places = state::<Places>(prepared);
        nodes.retain(|slot| {
            let Some(node) = view.node(slot) else { return false };
            // A node that says nothing of where it is, is everywhere.
            let placed = LABELS.iter().any(|label| node.labels.contains_key(*label));
            let inside = |(label, values): &(&'static str, Vec<String>)| {
                let own = node.labels.get(*label).or_else(|| node.labels.get(present(label)));
                own.is_some_and(|own| values.contains(own))
            };
            let fits = !placed || places.iter().all(inside);
            if !fits {
                why.refuse(slot, self.name(), "node(s) had no available volume zone", false);
            }
            fits
        });
    }

    fn touched(&self, _: &mut Prepared, _: &View, change: &Change) -> Touched {
        after_fact(change, &[FactKind::Claim, FactKind::Volume])
    }

    fn local(&self) -> bool {
        true
    }

    fn helped_by(&self, hint: Hint) -> bool {
        matches!(hint, Hint::NodeAdded | Hint::NodeLabels | Hint::Fact(FactKind::Claim | FactKind::Volume))
    }
}
