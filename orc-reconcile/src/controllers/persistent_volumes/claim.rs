//! What a claim needs: `syncClaim` of upstream's `pkg/controller/volume/persistentvolume`, as a function.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;

use super::bond::{self, claim_phase};
use super::marks::{
    BIND_COMPLETED, BOUND_BY_CONTROLLER, BY_HAND, PROVISIONER, PROVISIONER_BETA, SELECTED_NODE, annotate, claim_class,
    named_volume,
};
use super::matching::{find, is_for, promised, refusal};
use super::step::{Plan, Step};
use super::{grow, provision};
use crate::controllers::support::meta;

/// What the decision about a claim is made from.
pub(super) struct View<'a> {
    pub(super) claim: &'a PersistentVolumeClaim,
    /// The volume that the claim names; that there is none is certain.
    pub(super) named: Option<Arc<PersistentVolume>>,
    /// The volumes to choose from; read only for a claim that names none.
    pub(super) volumes: Vec<Arc<PersistentVolume>>,
    /// The claim's class.
    pub(super) class: Option<Arc<StorageClass>>,
    /// The class of claims that name none.
    pub(super) default_class: Option<String>,
    /// The node that the scheduler chose.
    pub(super) node: Option<Arc<Node>>,
    /// Pods that name the claim and have no node yet.
    pub(super) waiting: Vec<String>,
    /// Whether this process makes volumes of the local class.
    pub(super) provisions: bool,
}

/// The next step of a claim.
pub(super) fn plan(view: &View<'_>) -> Plan {
    let claim = view.claim;
    if meta::annotation(&claim.metadata, BIND_COMPLETED).is_some() {
        return was_bound(view);
    }
    if meta::is_terminating(&claim.metadata) {
        return Plan::default();
    }
    if named_volume(claim).is_empty() { search(view) } else { asked_for(view) }
}

/// A claim that was bound once: what it had must be there.
fn was_bound(view: &View<'_>) -> Plan {
    let claim = view.claim;
    let lost = |reason: &'static str, why: &str| {
        let step = claim_phase(claim, "Lost");
        // Told once, with the write.
        if step.is_some() { Plan::of(step).warning(reason, why) } else { Plan::default() }
    };
    if named_volume(claim).is_empty() {
        return lost("ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!");
    }
    let Some(volume) = &view.named else {
        return lost("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
    };
    let own = promised(volume).is_none_or(|to| to.uid.as_deref() == claim.metadata.uid.as_deref());
    if !own {
        let why = "Two claims are bound to the same volume, this one is bound incorrectly";
        return lost("ClaimMisbound", why);
    }
    Plan::of(bond::next(claim, volume).or_else(|| grow::next(claim, volume, view.class.as_deref())))
}

/// A claim that names the volume it wants.
fn asked_for(view: &View<'_>) -> Plan {
    let claim = view.claim;
    let pending = Plan::of(claim_phase(claim, "Pending"));
    let Some(volume) = &view.named else { return pending };
    if is_for(volume, claim) {
        return Plan::of(bond::next(claim, volume));
    }
    let name = named_volume(claim);
    if promised(volume).is_some() {
        let own = meta::annotation(&claim.metadata, BOUND_BY_CONTROLLER).is_some();
        let reason = if own { "ClaimMisbound" } else { "FailedBinding" };
        return pending.warning(reason, format!("volume {name:?} already bound to a different claim."));
    }
    match refusal(volume, claim) {
        Some(why) => pending.warning("VolumeMismatch", format!("Cannot bind to requested volume {name:?}: {why}")),
        None => Plan::of(bond::next(claim, volume)),
    }
}

/// A claim that takes what it gets.
fn search(view: &View<'_>) -> Plan {
    let claim = view.claim;
    let waits =
        view.class.as_ref().is_some_and(|class| class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"));
    if let Some(volume) = find(claim, &view.volumes, waits) {
        return Plan::of(bond::next(claim, &volume));
    }
    if let (None, Some(class)) = (claim_class(claim), &view.default_class) {
        let mut next = claim.clone();
        next.spec.get_or_insert_default().storage_class_name = Some(class.clone());
        return Plan::of(Some(Step::Claim(Box::new(next))));
    }
    if let Some(step) = claim_phase(claim, "Pending") {
        return Plan::of(Some(step));
    }
    let selected = meta::annotation(&claim.metadata, SELECTED_NODE).filter(|node| !node.is_empty());
    if waits && selected.is_none() {
        return match view.waiting.as_slice() {
            [] => Plan::default()
                .normal("WaitForFirstConsumer", "waiting for first consumer to be created before binding"),
            pods => Plan::default()
                .normal("WaitForPodScheduled", format!("waiting for pod {} to be scheduled", pods.join(","))),
        };
    }
    match claim_class(claim).unwrap_or_default() {
        "" => Plan::default()
            .normal("FailedBinding", "no persistent volumes available for this claim and no storage class is set"),
        name => make(view, name, selected),
    }
}

/// A claim whose class makes volumes.
fn make(view: &View<'_>, name: &str, selected: Option<&str>) -> Plan {
    const FAILED: &str = "ProvisioningFailed";
    let claim = view.claim;
    let Some(class) = &view.class else {
        return Plan::default().warning(FAILED, format!("storageclass.storage.k8s.io {name:?} not found"));
    };
    let provisioner = class.provisioner.as_str();
    if provisioner == BY_HAND {
        return Plan::default().warning(FAILED, format!("no volume plugin matched name: {provisioner}"));
    }
    if meta::annotation(&claim.metadata, PROVISIONER) != Some(provisioner) {
        let mut next = claim.clone();
        annotate(&mut next.metadata, PROVISIONER, provisioner);
        annotate(&mut next.metadata, PROVISIONER_BETA, provisioner);
        return Plan::of(Some(Step::Claim(Box::new(next))));
    }
    if provisioner != provision::LOCAL_PATH || !view.provisions {
        let text = format!(
            "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the \
             system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
        );
        return Plan::default().normal("ExternalProvisioning", text);
    }
    if let Err(why) = provision::check(claim, selected) {
        return Plan::default()
            .warning(FAILED, format!("failed to provision volume with StorageClass {name:?}: {why}"));
    }
    match &view.node {
        Some(node) => Plan::of(Some(Step::Provision(class.clone(), node.clone()))),
        // The scheduler chooses again.
        None => {
            let mut next = claim.clone();
            next.metadata.annotations.get_or_insert_default().remove(SELECTED_NODE);
            let node = selected.unwrap_or_default();
            Plan::of(Some(Step::Claim(Box::new(next)))).warning(FAILED, format!("node {node:?} not found"))
        }
    }
}
