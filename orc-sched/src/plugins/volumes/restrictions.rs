//! Disks and claims that only one pod may have.

use std::collections::BTreeMap;

use orc_core::Name;

use super::{Claims, after_fact};
use crate::facts::FactKind;
use crate::plugin::{Fragment, Hint, Plugin, Prepared, Touched, state, state_mut};
use crate::pod::{Disk, PodInfo};
use crate::reasons::Reasons;
use crate::set::NodeSet;
use crate::view::{Change, ChangeKind, View};

/// Refuses nodes where a disk of the pod is in use in a way that excludes it, and every node while another pod uses a claim
/// with the access mode `ReadWriteOncePod`.
#[derive(Clone, Copy, Debug, Default)]
pub struct VolumeRestrictions;

struct State {
    disks: Vec<Disk>,
    namespace: Name,
    /// Claims for one pod only, with how many placed pods use them.
    lone: BTreeMap<Name, i64>,
}

impl State {
    fn count(&mut self, pod: &PodInfo, n: i64) {
        if *self.namespace == *pod.key.namespace_str() {
            for claim in &pod.claims {
                if let Some(users) = self.lone.get_mut(&claim.name) {
                    *users += n;
                }
            }
        }
    }

    fn taken(&self) -> bool {
        self.lone.values().any(|users| *users > 0)
    }
}

impl Plugin for VolumeRestrictions {
    fn name(&self) -> &'static str {
        "VolumeRestrictions"
    }

    fn fragment(&self, _: &View, pod: &PodInfo, out: &mut Fragment) {
        Claims::write(pod, out);
        for disk in &pod.disks {
            out.text(&disk.id);
            out.number(disk.shared.into());
        }
    }

    fn prepare(&self, view: &View, pod: &PodInfo) -> Prepared {
        let claims = Claims::of(pod);
        let lone = |name: &&Name| {
            let claim = view.facts().claim(&claims.namespace, name);
            let modes = claim.and_then(|claim| claim.spec.as_ref()).and_then(|spec| spec.access_modes.as_ref());
            modes.into_iter().flatten().any(|mode| mode == "ReadWriteOncePod")
        };
        let lone = claims.names.iter().filter(lone).map(|name| (name.clone(), 0)).collect();
        let mut state = State { disks: pod.disks.clone(), lone, namespace: claims.namespace };
        if !state.lone.is_empty() {
            let on_nodes = view.nodes().flat_map(|(slot, _)| view.pods_on(slot));
            on_nodes.for_each(|other| state.count(other, 1));
        }
        Box::new(state)
    }

    fn concerned(&self, prepared: &Prepared) -> bool {
        let state = state::<State>(prepared);
        !state.disks.is_empty() || !state.lone.is_empty()
    }

    fn filter(&self, prepared: &Prepared, view: &View, nodes: &mut NodeSet, why: &mut Reasons) {
        let state = state::<State>(prepared);
        let taken = state.taken();
        nodes.retain(|slot| {
            let mut disks = view.pods_on(slot).flat_map(|pod| &pod.disks);
            let refusal = if disks.any(|disk| state.disks.iter().any(|own| own.conflicts(disk))) {
                Some("node(s) had no available disk")
            } else {
                taken.then_some(
                    "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",
                )
            };
            if let Some(text) = refusal {
                why.refuse(slot, self.name(), text, true);
            }
            refusal.is_none()
        });
    }

    fn touched(&self, prepared: &mut Prepared, view: &View, change: &Change) -> Touched {
        let ChangeKind::Pod { pod, added, .. } = &change.kind else { return after_fact(change, &[FactKind::Claim]) };
        let state = state_mut::<State>(prepared);
        let before = state.taken();
        state.count(pod, if *added { 1 } else { -1 });
        match (before == state.taken(), pod.disks.is_empty()) {
            (false, _) => Touched::Nodes(view.present().clone()),
            (true, false) => Touched::Node,
            (true, true) => Touched::None,
        }
    }

    fn helped_by(&self, hint: Hint) -> bool {
        matches!(hint, Hint::NodeAdded | Hint::PodLeft | Hint::Fact(FactKind::Claim))
    }
}
