//! What a deployment needs next.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use orc_core::labels::Selector;

use super::percent::is_recreate;
use super::scale::{self, Sizes};
use super::sets;
use super::status::{self, progressing};
use crate::controllers::support::{Claim, Plan, meta};

/// What a pass looks at.
pub(crate) struct State<'a> {
    /// The deployment.
    pub(crate) deployment: &'a Deployment,
    /// Replica sets that name it as their owner, and those of its namespace that nobody controls.
    pub(crate) candidates: Vec<Arc<ReplicaSet>>,
}

/// A write of a deployment.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Write {
    /// Take an orphan in.
    Adopt(Arc<ReplicaSet>),
    /// Let a set go that is no longer selected.
    Release(Arc<ReplicaSet>),
    /// Make the set of the present template.
    Create(Box<ReplicaSet>),
    /// Put a set's new form in its place.
    Update(Box<ReplicaSet>),
    /// Change the size of a set, from the size that it has.
    Scale {
        /// Its new form.
        next: Box<ReplicaSet>,
        /// Its size before.
        from: i32,
    },
    /// Delete a set of the history.
    Delete(Arc<ReplicaSet>),
    /// Write the revision into the deployment.
    Annotate(String),
}

type Planned = Plan<Write, DeploymentStatus>;

/// One stage: ownership, the new set, sizes, history, and what the status says of them.
pub(crate) fn plan(state: State<'_>, now: Timestamp) -> Planned {
    let deployment = state.deployment;
    let Some(spec) = &deployment.spec else { return Plan::default() };
    let selector = Selector::from_label_selector(Some(&spec.selector)).unwrap_or_else(|_| Selector::nothing());
    // An empty selector would take every set of the namespace; upstream refuses to act on it as well.
    if selector.is_everything() {
        return Plan::default();
    }
    let claim = Claim::sort(&deployment.metadata, &selector, state.candidates);
    let releases = claim.release.into_iter().map(Write::Release);
    let ownership: Vec<Write> = releases.chain(claim.adopt.into_iter().map(Write::Adopt)).collect();
    if !ownership.is_empty() {
        return Plan::stage(ownership);
    }
    let new = sets::newest(deployment, &claim.owned);
    let is_new = |set: &Arc<ReplicaSet>| new.as_ref().is_some_and(|new| Arc::ptr_eq(new, set));
    let old: Vec<_> = claim.owned.iter().filter(|set| !is_new(set)).cloned().collect();
    let pass = Pass { deployment, all: claim.owned, new, old, now };
    let mut plan = pass.plan(is_recreate(spec), spec.paused == Some(true));
    plan.status = plan.status.filter(|status| deployment.status.as_ref() != Some(status));
    plan
}

struct Pass<'a> {
    deployment: &'a Deployment,
    all: Vec<Arc<ReplicaSet>>,
    new: Option<Arc<ReplicaSet>>,
    old: Vec<Arc<ReplicaSet>>,
    now: Timestamp,
}

impl Pass<'_> {
    fn plan(&self, recreate: bool, paused: bool) -> Planned {
        if meta::is_terminating(&self.deployment.metadata) {
            return self.settled(false);
        }
        if let Some(status) = self.pause_changed(paused) {
            return Plan { status: Some(status), ..Plan::default() };
        }
        if let Some(plan) = self.refresh_new() {
            return plan;
        }
        if paused || scale::is_scaling(self.deployment, &self.all) {
            return self.resize(paused);
        }
        if recreate { self.recreate() } else { self.roll() }
    }

    fn settled(&self, progress: bool) -> Planned {
        let of = if progress { status::rollout } else { status::calculate };
        let status = of(self.deployment, &self.all, self.new.as_ref(), self.now);
        let wake = status::times_out_at(self.deployment, &status).filter(|_| progress);
        // A second more, as the times in conditions are whole seconds and the deadline must have passed.
        let wake =
            wake.and_then(|at| at.checked_add(std::time::Duration::from_secs(1)).ok()).map(|at| at.max(self.now));
        Plan { writes: Vec::new(), status: Some(status), wake: wake.filter(|at| *at > self.now) }
    }

    /// Pausing stops the progress deadline, resuming starts it anew.
    fn pause_changed(&self, paused: bool) -> Option<DeploymentStatus> {
        status::deadline(self.deployment)?;
        let mut next = self.deployment.status.clone().unwrap_or_default();
        let reason = status::progress(&next).and_then(|stands| stands.reason.clone());
        let (reason, text) = match reason.as_deref() {
            Some(status::TIMED_OUT) => return None,
            Some(status::PAUSED) if !paused => ("DeploymentResumed", "Deployment is resumed"),
            Some(status::PAUSED) => return None,
            _ if paused => (status::PAUSED, "Deployment is paused"),
            _ => return None,
        };
        status::set(&mut next, progressing("Unknown", reason, text.to_owned(), self.now));
        Some(next)
    }

    fn newest_revision(&self) -> i64 {
        self.old.iter().map(|set| sets::revision(set)).max().unwrap_or_default() + 1
    }

    /// Brings annotations, revision and `minReadySeconds` of the new set up to date, and the deployment's own revision.
    fn refresh_new(&self) -> Option<Planned> {
        let new = self.new.as_ref()?;
        let next = sets::refreshed(self.deployment, new, self.newest_revision());
        if next != **new {
            return Some(Plan::stage(vec![Write::Update(Box::new(next))]));
        }
        let revision = meta::annotation(&new.metadata, sets::REVISION).unwrap_or_default();
        if meta::annotation(&self.deployment.metadata, sets::REVISION) != Some(revision) && !revision.is_empty() {
            return Some(Plan::stage(vec![Write::Annotate(revision.to_owned())]));
        }
        let status = self.deployment.status.clone().unwrap_or_default();
        if status::deadline(self.deployment).is_some() && status::progress(&status).is_none() {
            let text = format!("Found new replica set {:?}", meta::name(&new.metadata));
            let mut next = status;
            status::set(&mut next, progressing("True", "FoundNewReplicaSet", text, self.now));
            return Some(Plan { status: Some(next), ..Plan::default() });
        }
        None
    }

    fn create_new(&self) -> Planned {
        let size = scale::new_size(self.deployment, &self.all, 0);
        let mut status = self.deployment.status.clone().unwrap_or_default();
        let collisions = status.collision_count.unwrap_or_default();
        let set = sets::make(self.deployment, collisions, self.newest_revision(), size);
        if status::deadline(self.deployment).is_some() {
            let text = format!("Created new replica set {:?}", meta::name(&set.metadata));
            status::set(&mut status, progressing("True", "NewReplicaSetCreated", text, self.now));
        }
        Plan { writes: vec![Write::Create(Box::new(set))], status: Some(status), wake: None }
    }

    fn resize(&self, paused: bool) -> Planned {
        let writes = self.writes(scale::scaled(self.deployment, self.new.as_ref(), &self.old));
        if !writes.is_empty() {
            return Plan::stage(writes);
        }
        let mut plan = self.settled(false);
        if paused {
            plan.writes = scale::beyond_history(self.deployment, &self.old).into_iter().map(Write::Delete).collect();
        }
        plan
    }

    fn roll(&self) -> Planned {
        let Some(new) = &self.new else { return self.create_new() };
        let sizes = scale::rolling(self.deployment, new, &self.old);
        self.rolled(sizes)
    }

    fn recreate(&self) -> Planned {
        let down: Sizes = self.old.iter().filter(|set| sets::replicas(set) > 0).map(|set| (set.clone(), 0)).collect();
        if !down.is_empty() || self.old.iter().any(|set| has_pods(set)) {
            return self.rolled(down);
        }
        let Some(new) = &self.new else { return self.create_new() };
        self.rolled(vec![(new.clone(), sets::wanted(self.deployment))])
    }

    fn rolled(&self, sizes: Sizes) -> Planned {
        let mut plan = self.settled(true);
        plan.writes = self.writes(sizes.into_iter().filter(|(set, size)| sets::replicas(set) != *size).collect());
        let complete = plan.status.as_ref().is_some_and(|status| status::is_complete(self.deployment, status));
        if plan.writes.is_empty() && complete {
            plan.writes = scale::beyond_history(self.deployment, &self.old).into_iter().map(Write::Delete).collect();
        }
        plan
    }

    /// The writes that give sets their sizes; a set that has its size may still need to know the deployment's.
    fn writes(&self, sizes: Sizes) -> Vec<Write> {
        let write = |(set, size): (Arc<ReplicaSet>, i32)| {
            let mut next = ReplicaSet::clone(&set);
            next.spec.get_or_insert_default().replicas = Some(size);
            sets::note_size(&mut next, self.deployment);
            (next != *set).then(|| Write::Scale { from: sets::replicas(&set), next: Box::new(next) })
        };
        sizes.into_iter().filter_map(write).collect()
    }
}

/// Whether a set has pods, or may have some that its status does not tell yet.
fn has_pods(set: &ReplicaSet) -> bool {
    let status = set.status.clone().unwrap_or_default();
    status.replicas > 0
        || status.terminating_replicas.unwrap_or_default() > 0
        || status.observed_generation < set.metadata.generation
}

/// What a size change is told as.
pub(crate) fn told(name: &str, from: i32, to: i32) -> Option<String> {
    let direction = match from.cmp(&to) {
        std::cmp::Ordering::Less => "up",
        std::cmp::Ordering::Greater => "down",
        std::cmp::Ordering::Equal => return None,
    };
    Some(format!("Scaled {direction} replica set {name} from {from} to {to}"))
}

/// Whether a set found under the new set's name is the new set, made by an earlier pass.
pub(crate) fn is_same(found: &ReplicaSet, wanted: &ReplicaSet) -> bool {
    let owner = |set: &ReplicaSet| meta::controller(&set.metadata).map(|owner| owner.uid.clone());
    let labels = |set: &ReplicaSet| -> BTreeMap<String, String> { set.metadata.labels.clone().unwrap_or_default() };
    owner(found) == owner(wanted)
        && labels(found).get(super::template::HASH) == labels(wanted).get(super::template::HASH)
}
