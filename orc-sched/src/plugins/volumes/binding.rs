//! Claims and the volumes that they have or get.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use orc_core::Name;

use super::find::{Found, find, is_bound, names_volume, reachable};
use super::{Claims, after_fact};
use crate::facts::{Fact, FactKey, FactKind};
use crate::plugin::{Fragment, Hint, Plugin, Prepared, Touched, state};
use crate::plugins::SELECTED_NODE;
use crate::pod::PodInfo;
use crate::reasons::Reasons;
use crate::set::NodeSet;
use crate::view::{Change, View};

/// Refuses nodes that the pod's volumes cannot be used on, and those where a claim that waits for its first pod
/// (`WaitForFirstConsumer`) would get none. What it offers is reserved with the pod and written before it is bound.
#[derive(Clone, Copy, Debug, Default)]
pub struct VolumeBinding;

const CONFLICT: &str = "node(s) had volume node affinity conflict";
const NONE: &str = "node(s) didn't find available persistent volumes to bind";
const UNBOUND: &str = "pod has unbound immediate PersistentVolumeClaims";

#[derive(Default)]
struct State {
    /// Why no node will do.
    never: Option<String>,
    bound: Vec<PersistentVolume>,
    waiting: Vec<(Name, PersistentVolumeClaim)>,
}

impl State {
    fn new(view: &View, pod: &PodInfo) -> Self {
        let claims = Claims::of(pod);
        let mut state = Self::default();
        for name in &claims.names {
            if let Err(why) = state.add(view, &claims.namespace, name) {
                state.never = Some(why);
                break;
            }
        }
        state
    }

    fn add(&mut self, view: &View, namespace: &Name, name: &Name) -> Result<(), String> {
        let facts = view.facts();
        let missing = || format!("persistentvolumeclaim \"{name}\" not found");
        let claim = facts.claim(namespace, name).ok_or_else(missing)?;
        if claim.metadata.deletion_timestamp.is_some() {
            return Err(format!("persistentvolumeclaim \"{name}\" is being deleted"));
        }
        let spec = claim.spec.clone().unwrap_or_default();
        if is_bound(claim) {
            let volume = spec.volume_name.unwrap_or_default();
            let missing = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";
            self.bound.push(facts.volume(&volume).ok_or(missing)?.clone());
            return Ok(());
        }
        let class = spec.storage_class_name.as_deref().and_then(|class| facts.storage_class(class));
        // One that names its volume waits for the binder, whatever its class says.
        let waits = class.and_then(|class| class.volume_binding_mode.as_deref()) == Some("WaitForFirstConsumer");
        if names_volume(claim) || !waits {
            return Err(UNBOUND.to_owned());
        }
        self.waiting.push((namespace.clone(), claim.clone()));
        Ok(())
    }

    fn waiting(&self) -> Vec<(Name, &PersistentVolumeClaim)> {
        self.waiting.iter().map(|(namespace, claim)| (namespace.clone(), claim)).collect()
    }
}

impl Plugin for VolumeBinding {
    fn name(&self) -> &'static str {
        "VolumeBinding"
    }

    fn fragment(&self, _: &View, pod: &PodInfo, out: &mut Fragment) {
        Claims::write(pod, out);
    }

    fn prepare(&self, view: &View, pod: &PodInfo) -> Prepared {
        Box::new(State::new(view, pod))
    }

    fn concerned(&self, prepared: &Prepared) -> bool {
        let state = state::<State>(prepared);
        state.never.is_some() || !state.bound.is_empty() || !state.waiting.is_empty()
    }

    fn filter(&self, prepared: &Prepared, view: &View, nodes: &mut NodeSet, why: &mut Reasons) {
        let state = state::<State>(prepared);
        let waiting = state.waiting();
        nodes.retain(|slot| {
            let Some(node) = view.node(slot) else { return false };
            let refusal = if let Some(never) = &state.never {
                Some(&**never)
            } else if !state.bound.iter().all(|volume| reachable(volume, node)) {
                Some(CONFLICT)
            } else {
                find(view.facts(), &waiting, node).is_none().then_some(NONE)
            };
            if let Some(text) = refusal {
                why.refuse(slot, self.name(), text, false);
            }
            refusal.is_none()
        });
    }

    fn touched(&self, _: &mut Prepared, _: &View, change: &Change) -> Touched {
        after_fact(change, &[FactKind::Claim, FactKind::Volume, FactKind::StorageClass])
    }

    fn local(&self) -> bool {
        true
    }

    fn reserve(&self, view: &View, pod: &PodInfo, slot: usize) -> Result<Vec<(FactKey, Arc<Fact>)>, String> {
        let state = State::new(view, pod);
        let Some(node) = view.node(slot) else { return Err("the node is gone".to_owned()) };
        let found = find(view.facts(), &state.waiting(), node).ok_or(NONE)?;
        let mut facts = Vec::new();
        for ((namespace, claim), found) in state.waiting.iter().zip(found) {
            let name = Name::new(claim.metadata.name.as_deref().unwrap_or_default());
            match found {
                Found::Made => {
                    let mut claim = claim.clone();
                    let annotations = claim.metadata.annotations.get_or_insert_default();
                    annotations.insert(SELECTED_NODE.to_owned(), node.name.to_string());
                    facts.push((
                        FactKey::new(FactKind::Claim, namespace.clone(), name),
                        Arc::new(Fact::Claim(Box::new(claim))),
                    ));
                }
                Found::Volume(volume) => {
                    let mut there = view.facts().volume(&volume).ok_or(NONE)?.clone();
                    there.spec.get_or_insert_default().claim_ref = Some(reference(namespace, claim));
                    facts.push((FactKey::new(FactKind::Volume, "", volume), Arc::new(Fact::Volume(Box::new(there)))));
                }
            }
        }
        Ok(facts)
    }

    fn helped_by(&self, hint: Hint) -> bool {
        let storage = [FactKind::Claim, FactKind::Volume, FactKind::StorageClass];
        matches!(hint, Hint::NodeAdded | Hint::NodeLabels)
            || matches!(hint, Hint::Fact(kind) if storage.contains(&kind))
    }
}

fn reference(namespace: &Name, claim: &PersistentVolumeClaim) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolumeClaim".to_owned()),
        namespace: Some(namespace.to_string()),
        name: claim.metadata.name.clone(),
        uid: claim.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}
