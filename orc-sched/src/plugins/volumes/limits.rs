//! How many volumes a node can have attached.

use std::collections::{BTreeMap, BTreeSet};

use orc_core::Name;

use super::{Claims, after_fact};
use crate::facts::{FactKind, Facts};
use crate::plugin::{Fragment, Hint, Plugin, Prepared, Touched, state};
use crate::pod::PodInfo;
use crate::reasons::Reasons;
use crate::set::NodeSet;
use crate::view::{Change, ChangeKind, View};

/// Refuses nodes whose drivers could not attach the pod's volumes beside those that pods there have (`CSINode`).
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeVolumeLimits;

/// Volumes by driver: a bound one by its handle, one that is to be made by its claim.
type Volumes = BTreeMap<String, BTreeSet<String>>;

fn volumes(facts: &Facts, namespace: &Name, claims: &[Name], into: &mut Volumes) {
    for name in claims {
        if let Some((driver, volume)) = volume(facts, namespace, name) {
            into.entry(driver).or_default().insert(volume);
        }
    }
}

fn volume(facts: &Facts, namespace: &Name, name: &Name) -> Option<(String, String)> {
    let spec = facts.claim(namespace, name)?.spec.as_ref()?;
    let bound = spec.volume_name.as_deref().and_then(|volume| facts.volume(volume));
    if let Some(volume) = bound {
        let csi = volume.spec.as_ref()?.csi.as_ref()?;
        return Some((csi.driver.clone(), csi.volume_handle.clone()));
    }
    let class = facts.storage_class(spec.storage_class_name.as_deref()?)?;
    Some((class.provisioner.clone(), format!("{namespace}/{name}")))
}

impl Plugin for NodeVolumeLimits {
    fn name(&self) -> &'static str {
        "NodeVolumeLimits"
    }

    fn fragment(&self, _: &View, pod: &PodInfo, out: &mut Fragment) {
        Claims::write(pod, out);
    }

    fn prepare(&self, view: &View, pod: &PodInfo) -> Prepared {
        let claims = Claims::of(pod);
        let mut wanted = Volumes::new();
        volumes(view.facts(), &claims.namespace, &claims.names, &mut wanted);
        Box::new(wanted)
    }

    fn concerned(&self, prepared: &Prepared) -> bool {
        !state::<Volumes>(prepared).is_empty()
    }

    fn filter(&self, prepared: &Prepared, view: &View, nodes: &mut NodeSet, why: &mut Reasons) {
        let wanted = state::<Volumes>(prepared);
        nodes.retain(|slot| {
            let fits = within(view, slot, wanted).unwrap_or(true);
            if !fits {
                why.refuse(slot, self.name(), "node(s) exceed max volume count", true);
            }
            fits
        });
    }

    fn touched(&self, _: &mut Prepared, _: &View, change: &Change) -> Touched {
        match &change.kind {
            ChangeKind::Pod { pod, .. } if !pod.claims.is_empty() => Touched::Node,
            _ => after_fact(change, &[FactKind::Claim, FactKind::Volume, FactKind::StorageClass, FactKind::CsiNode]),
        }
    }

    fn local(&self) -> bool {
        true
    }

    fn helped_by(&self, hint: Hint) -> bool {
        matches!(hint, Hint::NodeAdded | Hint::PodLeft | Hint::Fact(FactKind::CsiNode | FactKind::Claim))
    }
}

/// Whether a node can have volumes beside those that it has; `None` where its drivers tell no limit.
fn within(view: &View, slot: usize, wanted: &Volumes) -> Option<bool> {
    let node = view.node(slot)?;
    let drivers = &view.facts().csi_node(&node.name)?.spec.drivers;
    let mut there = Volumes::new();
    for pod in view.pods_on(slot) {
        let claims = Claims::of(pod);
        volumes(view.facts(), &claims.namespace, &claims.names, &mut there);
    }
    let fits = |driver: &k8s_openapi::api::storage::v1::CSINodeDriver| {
        let Some(most) = driver.allocatable.as_ref().and_then(|allocatable| allocatable.count) else { return true };
        let Some(wanted) = wanted.get(&driver.name) else { return true };
        let has = there.get(&driver.name);
        let new = wanted.iter().filter(|volume| has.is_none_or(|has| !has.contains(*volume))).count();
        new == 0 || has.map_or(0, BTreeSet::len) + new <= usize::try_from(most).unwrap_or(0)
    };
    Some(drivers.iter().all(fits))
}
