//! What a stateful set needs next.
//!
//! As `updateStatefulSet` of `stateful_set_control.go`: revisions first; then, in order of ordinals, ended pods make room and
//! missing pods come; then those beyond the replicas go, the last first; then, the last first, old pods make room for new ones.
//! An ordered set does one thing at a time and waits for each pod to be available; a parallel one does all at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetSpec, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};

use super::identity::{self, REVISION, ordinal, range};
use crate::controllers::deployment::percent::resolve;
use crate::controllers::history;
use crate::controllers::support::workload::selector_of;
use crate::controllers::support::{Claim, Plan, meta, pods, some};

/// What a pass looks at.
pub(crate) struct State<'a> {
    pub(crate) set: &'a StatefulSet,
    /// Pods that name it as their owner, and orphans.
    pub(crate) candidates: Vec<Arc<Pod>>,
    /// Uids whose deletion the cache does not show yet.
    pub(crate) leaving: BTreeSet<String>,
    /// Revisions that name it as their owner, and orphans.
    pub(crate) revisions: Vec<Arc<ControllerRevision>>,
    /// Looks a claim up by name.
    pub(crate) claim: &'a dyn Fn(&str) -> Option<Arc<PersistentVolumeClaim>>,
    /// Whether a revision of a name exists.
    pub(crate) taken: &'a dyn Fn(&str) -> bool,
}

/// A write of a stateful set.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Write {
    Adopt(Arc<Pod>),
    Release(Arc<Pod>),
    Revision(history::Write),
    CreateClaim(Box<PersistentVolumeClaim>),
    UpdateClaim(Box<PersistentVolumeClaim>),
    Create(Box<Pod>),
    Update(Box<Pod>),
    Delete(Arc<Pod>),
}

/// One stage.
pub(crate) fn plan(state: State<'_>, now: Timestamp) -> Plan<Write, StatefulSetStatus> {
    let set = state.set;
    let Some(spec) = &set.spec else { return Plan::default() };
    let selector = selector_of(Some(&spec.selector));
    // Pods of another form of name are never taken in: they could not be told apart.
    let named = state
        .candidates
        .into_iter()
        .filter(|pod| meta::controller(&pod.metadata).is_some() || ordinal(set, pod).is_some());
    let claim = Claim::sort(&set.metadata, &selector, named);
    let kept = Claim::sort(&set.metadata, &selector, state.revisions);
    let ownership: Vec<Write> = (claim.release.into_iter().map(Write::Release))
        .chain(claim.adopt.into_iter().map(Write::Adopt))
        .chain(kept.adopt.into_iter().map(|of| Write::Revision(history::Write::Adopt(of))))
        .chain(kept.release.into_iter().map(|of| Write::Revision(history::Write::Release(of))))
        .collect();
    if !ownership.is_empty() {
        return Plan::stage(ownership);
    }
    if meta::is_terminating(&set.metadata) {
        return Plan::default();
    }
    let revisions = history::sorted(kept.owned);
    let before = set.status.clone().unwrap_or_default();
    let collisions = before.collision_count.unwrap_or_default();
    let update = match history::wanted(set, &spec.template, &revisions, collisions, history::HASH, state.taken) {
        Ok(update) => update,
        Err(history::Write::Collide) => {
            let status = StatefulSetStatus { collision_count: Some(collisions + 1), ..before };
            return Plan { status: Some(status), ..Plan::default() };
        }
        Err(write) => return Plan::stage(vec![Write::Revision(write)]),
    };
    let current = revisions.iter().find(|of| of.metadata.name == before.current_revision).unwrap_or(&update).clone();
    let work = Work { set, spec, leaving: &state.leaving, claim: state.claim, current, update, now };
    work.plan(claim.owned, &revisions, before)
}

struct Work<'a> {
    set: &'a StatefulSet,
    spec: &'a StatefulSetSpec,
    leaving: &'a BTreeSet<String>,
    claim: &'a dyn Fn(&str) -> Option<Arc<PersistentVolumeClaim>>,
    current: Arc<ControllerRevision>,
    update: Arc<ControllerRevision>,
    now: Timestamp,
}

impl Work<'_> {
    fn plan(
        &self,
        owned: Vec<Arc<Pod>>,
        revisions: &[Arc<ControllerRevision>],
        before: StatefulSetStatus,
    ) -> Plan<Write, StatefulSetStatus> {
        let mut replicas = BTreeMap::new();
        let mut condemned = BTreeMap::new();
        for pod in owned {
            let Some(ordinal) = ordinal(self.set, &pod) else { continue };
            let place = if range(self.spec).contains(&ordinal) { &mut replicas } else { &mut condemned };
            place.insert(ordinal, pod);
        }
        let all: Vec<&Arc<Pod>> = replicas.values().chain(condemned.values()).collect();
        let status = self.status(&all, before);
        let live = |of: &ControllerRevision| {
            let name = &of.metadata.name;
            *name == status.current_revision
                || *name == status.update_revision
                || all.iter().any(|pod| Some(revision(pod)) == name.as_deref())
        };
        let mut writes = self.pods(&replicas, &condemned);
        if writes.is_empty() {
            let keep = self.spec.revision_history_limit.unwrap_or(10);
            let old: Vec<_> =
                revisions.iter().filter(|of| !self.leaving.contains(meta::uid(&of.metadata))).cloned().collect();
            writes = history::surplus(&old, keep, live).into_iter().map(Write::Revision).collect();
        }
        let wake = all.iter().filter_map(|pod| self.available_at(pod)).filter(|at| *at > self.now).min();
        let changed = self.set.status.as_ref() != Some(&status);
        Plan { writes, status: changed.then_some(status), wake }
    }

    fn available_at(&self, pod: &Pod) -> Option<Timestamp> {
        pods::available_at(pod, self.spec.min_ready_seconds.unwrap_or_default())
    }

    fn is_available(&self, pod: &Pod) -> bool {
        pods::phase(pod) == "Running" && self.available_at(pod).is_some_and(|at| at <= self.now)
    }

    fn is_ending(&self, pod: &Pod) -> bool {
        meta::is_terminating(&pod.metadata) || self.leaving.contains(meta::uid(&pod.metadata))
    }

    fn is_healthy(&self, pod: &Pod) -> bool {
        self.is_available(pod) && !self.is_ending(pod)
    }

    fn is_ordered(&self) -> bool {
        self.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    fn partition(&self) -> i32 {
        let rolling = self.spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        rolling.and_then(|rolling| rolling.partition).unwrap_or_default()
    }

    fn is_on_delete(&self) -> bool {
        self.spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete")
    }

    /// The revision of a new pod: the current one below the partition and, in an ordered update, until the update comes there.
    fn revision_of(&self, ordinal: i32) -> &ControllerRevision {
        let before = self.set.status.clone().unwrap_or_default();
        let start = identity::start(self.spec);
        // Without a partition, as many pods as there are of the current revision keep it.
        let partitioned = !self.is_on_delete() && self.partition() != 0;
        let kept = if partitioned { self.partition() } else { before.current_replicas.unwrap_or_default() };
        let kept = ordinal < start.saturating_add(kept);
        if kept { &self.current } else { &self.update }
    }

    fn new_pod(&self, ordinal: i32) -> Pod {
        let revision = self.revision_of(ordinal);
        let template = history::template(revision).unwrap_or_else(|| self.spec.template.clone());
        identity::pod(self.set, &template, meta::name(&revision.metadata), ordinal)
    }

    fn pods(&self, replicas: &BTreeMap<i32, Arc<Pod>>, condemned: &BTreeMap<i32, Arc<Pod>>) -> Vec<Write> {
        let mut writes = Vec::new();
        let mut waits = false;
        for ordinal in range(self.spec) {
            let step = self.replica(ordinal, replicas.get(&ordinal));
            waits |= step.waits;
            writes.extend(step.writes);
            if self.is_ordered() && waits {
                return writes;
            }
        }
        if waits && self.is_ordered() || !writes.is_empty() {
            return writes;
        }
        let first_sick = replicas.values().chain(condemned.values()).find(|pod| !self.is_healthy(pod));
        for (ordinal, pod) in condemned.iter().rev() {
            if self.is_ending(pod) {
                if self.is_ordered() {
                    return writes;
                }
                continue;
            }
            let sick_before = first_sick.is_some_and(|sick| sick.metadata.uid != pod.metadata.uid);
            if self.is_ordered() && sick_before && !self.is_available(pod) {
                return writes;
            }
            writes.extend(self.hand_over(*ordinal, pod));
            writes.push(Write::Delete(pod.clone()));
            if self.is_ordered() {
                return writes;
            }
        }
        if writes.is_empty() { self.update(replicas) } else { writes }
    }

    /// What one ordinal needs, and whether an ordered set waits for it.
    fn replica(&self, ordinal: i32, pod: Option<&Arc<Pod>>) -> Step {
        let Some(pod) = pod else {
            let mut writes = self.missing_claims(ordinal, None);
            // A claim that is going away is in the way of the pod: a new one has to come first.
            let blocked = writes.is_none();
            let mut writes = writes.take().unwrap_or_default();
            if !blocked {
                writes.push(Write::Create(Box::new(self.new_pod(ordinal))));
            }
            return Step { writes, waits: true };
        };
        if self.is_ending(pod) {
            return Step { writes: Vec::new(), waits: true };
        }
        if pods::is_terminal(pod) {
            return Step { writes: vec![Write::Delete(pod.clone())], waits: true };
        }
        let mut writes = Vec::new();
        if pods::phase(pod) == "Pending" || pods::phase(pod).is_empty() {
            writes.extend(self.missing_claims(ordinal, Some(pod)).unwrap_or_default());
        }
        writes.extend(identity::corrected(self.set, pod, ordinal).map(|pod| Write::Update(Box::new(pod))));
        writes.extend(self.hand_over(ordinal, pod));
        let waits = !self.is_available(pod) || !writes.is_empty();
        Step { writes, waits }
    }

    /// Claims to make, `None` while one of them is going away.
    fn missing_claims(&self, ordinal: i32, pod: Option<&Pod>) -> Option<Vec<Write>> {
        let mut writes = Vec::new();
        for mut claim in identity::claims(self.set, ordinal).into_values() {
            match (self.claim)(meta::name(&claim.metadata)) {
                Some(found) if meta::is_terminating(&found.metadata) => return None,
                Some(_) => {}
                None => {
                    let owner = identity::claim_owner(self.set, pod, ordinal);
                    claim.metadata.owner_references = owner.map(|owner| vec![owner]);
                    writes.push(Write::CreateClaim(Box::new(claim)));
                }
            }
        }
        Some(writes)
    }

    /// Claims whose owner is not the one that the retention policy asks for.
    fn hand_over(&self, ordinal: i32, pod: &Pod) -> Vec<Write> {
        let claims = identity::claims(self.set, ordinal).into_values();
        let found = claims.filter_map(|claim| (self.claim)(meta::name(&claim.metadata)));
        let wrong = found.filter_map(|claim| identity::owned_claim(self.set, Some(pod), ordinal, &claim));
        wrong.map(|claim| Write::UpdateClaim(Box::new(claim))).collect()
    }

    /// Deletes pods of old revisions, the last first, as many as may be unavailable.
    fn update(&self, replicas: &BTreeMap<i32, Arc<Pod>>) -> Vec<Write> {
        if self.is_on_delete() {
            return Vec::new();
        }
        let rolling = self.spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        let most = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
        let most = most.map_or(1, |most| resolve(most, self.spec.replicas.unwrap_or(1), true)).max(1);
        let sick = replicas.values().filter(|pod| !self.is_healthy(pod)).count();
        let mut room = usize::try_from(most).unwrap_or(1).saturating_sub(sick);
        let first = identity::start(self.spec).saturating_add(self.partition());
        let mut writes = Vec::new();
        for (_, pod) in replicas.range(first.min(range(self.spec).end)..).rev() {
            let old = revision(pod) != meta::name(&self.update.metadata);
            if old && !self.is_ending(pod) && !self.is_healthy(pod) {
                // It is unavailable already: replacing it costs nothing.
                writes.push(Write::Delete(pod.clone()));
            } else if old && !self.is_ending(pod) {
                if room == 0 {
                    break;
                }
                room -= 1;
                writes.push(Write::Delete(pod.clone()));
            } else if !self.is_healthy(pod) && most == 1 {
                break;
            }
        }
        writes.truncate(usize::try_from(most).unwrap_or(1));
        writes
    }

    fn status(&self, pods: &[&Arc<Pod>], before: StatefulSetStatus) -> StatefulSetStatus {
        let (current, update) = (meta::name(&self.current.metadata), meta::name(&self.update.metadata));
        let count = |holds: &dyn Fn(&Pod) -> bool| {
            i32::try_from(pods.iter().filter(|pod| holds(pod)).count()).unwrap_or(i32::MAX)
        };
        let of = |name: &str| count(&|pod| !self.is_ending(pod) && revision(pod) == name);
        let running = |pod: &Pod| pods::phase(pod) == "Running" && pods::is_ready(pod);
        let mut status = StatefulSetStatus {
            replicas: count(&|_| true),
            ready_replicas: some(count(&running)),
            available_replicas: Some(count(&|pod| self.is_available(pod))),
            current_replicas: some(of(current)),
            updated_replicas: some(of(update)),
            current_revision: Some(current.to_owned()),
            update_revision: Some(update.to_owned()),
            collision_count: Some(before.collision_count.unwrap_or_default()),
            observed_generation: self.set.metadata.generation,
            conditions: before.conditions,
        };
        let everything = status.updated_replicas.unwrap_or_default() == status.replicas
            && status.ready_replicas.unwrap_or_default() == status.replicas;
        if !self.is_on_delete() && self.partition() == 0 && everything && current != update {
            status.current_replicas = status.updated_replicas;
            status.current_revision = status.update_revision.clone();
        }
        status
    }
}

struct Step {
    writes: Vec<Write>,
    waits: bool,
}

/// The name of a pod's revision.
fn revision(pod: &Pod) -> &str {
    pod.metadata.labels.as_ref().and_then(|labels| labels.get(REVISION)).map(String::as_str).unwrap_or_default()
}
