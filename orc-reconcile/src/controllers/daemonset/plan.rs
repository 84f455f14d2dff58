//! What a daemon set needs next: revisions, then a pod on each node, then newer pods, then status.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, DaemonSetSpec, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::place::{self, Place, target};
use crate::controllers::deployment::percent::resolve;
use crate::controllers::history::{self, DAEMON_HASH};
use crate::controllers::support::workload::{BURST, NewPod, selector_of};
use crate::controllers::support::{Claim, Plan, meta, pods, some};

/// What a pass looks at.
pub(crate) struct State<'a> {
    pub(crate) set: &'a DaemonSet,
    pub(crate) candidates: Vec<Arc<Pod>>,
    pub(crate) leaving: BTreeSet<String>,
    pub(crate) revisions: Vec<Arc<ControllerRevision>>,
    pub(crate) taken: &'a dyn Fn(&str) -> bool,
    pub(crate) nodes: Vec<Arc<Node>>,
    /// For each node: before when a failed pod is not deleted.
    pub(crate) held: BTreeMap<String, Timestamp>,
}

/// A write of a daemon set.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Write {
    Adopt(Arc<Pod>),
    Release(Arc<Pod>),
    Revision(history::Write),
    Create(Box<NewPod>),
    Delete(Arc<Pod>),
    /// Delete a pod that ended on a node, to make room for another.
    Clear(Arc<Pod>, String),
}

/// One stage.
pub(crate) fn plan(state: State<'_>, now: Timestamp) -> Plan<Write, DaemonSetStatus> {
    let set = state.set;
    let Some(spec) = &set.spec else { return Plan::default() };
    let selector = selector_of(Some(&spec.selector));
    let claim = Claim::sort(&set.metadata, &selector, state.candidates);
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
    let current = match history::wanted(set, &spec.template, &revisions, collisions, DAEMON_HASH, state.taken) {
        Ok(current) => current,
        Err(history::Write::Collide) => {
            let status = DaemonSetStatus { collision_count: Some(collisions + 1), ..before };
            return Plan { status: Some(status), ..Plan::default() };
        }
        Err(write) => return Plan::stage(vec![Write::Revision(write)]),
    };
    let hash = current.metadata.labels.as_ref().and_then(|labels| labels.get(DAEMON_HASH)).cloned().unwrap_or_default();
    let mut work = Work { set, spec, hash, leaving: state.leaving, held: state.held, now, wake: None };
    work.plan(claim.owned, &state.nodes, &revisions, before)
}

/// A node with the set's pods on it, the oldest first.
struct Spot {
    name: String,
    place: Place,
    pods: Vec<Arc<Pod>>,
}

struct Work<'a> {
    set: &'a DaemonSet,
    spec: &'a DaemonSetSpec,
    hash: String,
    leaving: BTreeSet<String>,
    held: BTreeMap<String, Timestamp>,
    now: Timestamp,
    wake: Option<Timestamp>,
}

impl Work<'_> {
    fn plan(
        &mut self,
        owned: Vec<Arc<Pod>>,
        nodes: &[Arc<Node>],
        revisions: &[Arc<ControllerRevision>],
        before: DaemonSetStatus,
    ) -> Plan<Write, DaemonSetStatus> {
        let live: BTreeSet<String> = owned.iter().map(|pod| self.hash_of(pod).to_owned()).collect();
        let available = owned.iter().filter_map(|pod| self.available_at(pod)).filter(|at| *at > self.now).min();
        let (spots, mut writes) = self.spots(owned, nodes);
        for spot in &spots {
            writes.extend(self.tend(spot));
        }
        if writes.is_empty() && !self.is_on_delete() {
            writes = if self.surge(&spots) > 0 { self.surged(&spots) } else { self.rolled(&spots) };
        }
        if writes.is_empty() {
            let keep = self.spec.revision_history_limit.unwrap_or(10);
            let old: Vec<_> =
                revisions.iter().filter(|of| !self.leaving.contains(meta::uid(&of.metadata))).cloned().collect();
            let used = |of: &ControllerRevision| {
                let hash = of.metadata.labels.as_ref().and_then(|labels| labels.get(DAEMON_HASH));
                hash.is_some_and(|hash| live.contains(hash) || *hash == self.hash)
            };
            writes = history::surplus(&old, keep, used).into_iter().map(Write::Revision).collect();
        }
        writes.truncate(BURST);
        let status = self.status(&spots, before);
        let changed = self.set.status.as_ref() != Some(&status);
        let wake = self.wake.into_iter().chain(available).min();
        Plan { writes, status: changed.then_some(status), wake }
    }

    /// Pods by node; pods that wait for a node which is gone are deleted.
    fn spots(&self, owned: Vec<Arc<Pod>>, nodes: &[Arc<Node>]) -> (Vec<Spot>, Vec<Write>) {
        let mut by_node: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
        let mut homeless = Vec::new();
        for pod in owned {
            match target(&pod) {
                Some(node) => by_node.entry(node.to_owned()).or_default().push(pod),
                None => homeless.push(pod),
            }
        }
        let spot = |node: &Arc<Node>| {
            let name = meta::name(&node.metadata).to_owned();
            let mut pods = by_node.remove(&name).unwrap_or_default();
            pods.sort_by_key(|pod| {
                let created = pod.metadata.creation_timestamp.as_ref().map(|at| at.0);
                (pods::node(pod).is_empty(), created, pod.metadata.name.clone())
            });
            Spot { name, place: place::place(self.set, node), pods }
        };
        let spots = nodes.iter().map(spot).collect();
        // What is bound to a node that is gone is the pod garbage collector's.
        homeless.extend(by_node.into_values().flatten().filter(|pod| pods::node(pod).is_empty()));
        let writes = homeless.into_iter().filter(|pod| !self.is_ending(pod)).map(Write::Delete).collect();
        (spots, writes)
    }

    fn hash_of<'p>(&self, pod: &'p Pod) -> &'p str {
        let labels = pod.metadata.labels.as_ref();
        labels.and_then(|labels| labels.get(DAEMON_HASH)).map(String::as_str).unwrap_or_default()
    }

    fn is_new(&self, pod: &Pod) -> bool {
        self.hash_of(pod) == self.hash
    }

    fn is_ending(&self, pod: &Pod) -> bool {
        meta::is_terminating(&pod.metadata) || self.leaving.contains(meta::uid(&pod.metadata))
    }

    fn available_at(&self, pod: &Pod) -> Option<Timestamp> {
        pods::available_at(pod, self.spec.min_ready_seconds.unwrap_or_default())
    }

    fn is_available(&self, pod: &Pod) -> bool {
        self.available_at(pod).is_some_and(|at| at <= self.now)
    }

    fn is_on_delete(&self) -> bool {
        self.spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete")
    }

    fn bounds(&self, spots: &[Spot]) -> (usize, usize) {
        let desired = spots.iter().filter(|spot| spot.place == Place::Wanted).count();
        let desired = i32::try_from(desired).unwrap_or(i32::MAX);
        let rolling = self.spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.clone());
        let rolling = rolling.unwrap_or_default();
        let share = |value: Option<IntOrString>, default: i32| {
            let value = value.unwrap_or(IntOrString::Int(default));
            usize::try_from(resolve(&value, desired, true)).unwrap_or_default()
        };
        let surge = share(rolling.max_surge, 0);
        let unavailable = share(rolling.max_unavailable, 1);
        (surge, if surge == 0 { unavailable.max(1) } else { unavailable })
    }

    fn surge(&self, spots: &[Spot]) -> usize {
        if self.is_on_delete() { 0 } else { self.bounds(spots).0 }
    }

    /// One pod on a node that should have one, none on one that should not; with a surge, an old one beside a new one.
    fn tend(&mut self, spot: &Spot) -> Vec<Write> {
        let mut writes = Vec::new();
        let alive: Vec<&Arc<Pod>> = spot.pods.iter().filter(|pod| !self.is_ending(pod)).collect();
        if spot.place == Place::Unwanted {
            return alive.into_iter().cloned().map(Write::Delete).collect();
        }
        let (ended, running): (Vec<_>, Vec<_>) = alive.into_iter().partition(|pod| pods::is_terminal(pod));
        for pod in ended {
            match self.held.get(&spot.name).filter(|at| **at > self.now) {
                Some(at) if pods::phase(pod) == "Failed" => self.wake = self.wake.into_iter().chain([*at]).min(),
                _ => writes.push(Write::Clear(pod.clone(), spot.name.clone())),
            }
        }
        if spot.pods.is_empty() && spot.place == Place::Wanted {
            writes.push(Write::Create(Box::new(place::pod(self.set, &self.hash, &spot.name))));
        }
        let surges = self.spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        let surges = !self.is_on_delete()
            && surges.and_then(|rolling| rolling.max_surge.as_ref()).is_some_and(|surge| *surge != IntOrString::Int(0));
        let groups: Vec<Vec<&Arc<Pod>>> = if surges {
            let (new, old) = running.into_iter().partition(|pod| self.is_new(pod));
            vec![new, old]
        } else {
            vec![running]
        };
        writes.extend(groups.into_iter().flat_map(|group| group.into_iter().skip(1).cloned().map(Write::Delete)));
        writes
    }

    /// The new and the old pod of a node.
    fn pair<'s>(&self, spot: &'s Spot) -> (Option<&'s Arc<Pod>>, Option<&'s Arc<Pod>>) {
        let find = |new: bool| spot.pods.iter().find(|pod| self.is_new(pod) == new);
        (find(true), find(false))
    }

    /// Deletes old pods, as many as may be unavailable; those that are unavailable already come first.
    fn rolled(&self, spots: &[Spot]) -> Vec<Write> {
        let most = self.bounds(spots).1;
        let mut unavailable = 0;
        let (mut sick, mut well) = (Vec::new(), Vec::new());
        for spot in spots.iter().filter(|spot| spot.place != Place::Unwanted) {
            match self.pair(spot) {
                (None, None) if spot.place == Place::Kept => {}
                (None, None) | (Some(_), Some(_)) => unavailable += 1,
                (Some(new), None) => unavailable += usize::from(self.is_ending(new) || !self.is_available(new)),
                (None, Some(old)) if self.is_ending(old) => unavailable += 1,
                (None, Some(old)) if !self.is_available(old) => sick.push(old),
                (None, Some(old)) => well.push(old),
            }
        }
        let room = most.saturating_sub(unavailable + sick.len());
        sick.into_iter().chain(well.into_iter().take(room)).cloned().map(Write::Delete).collect()
    }

    /// Makes new pods beside old ones, as many as the surge allows, and deletes old ones whose successor is available.
    fn surged(&self, spots: &[Spot]) -> Vec<Write> {
        let (most, _) = self.bounds(spots);
        let mut writes = Vec::new();
        let mut surging = 0;
        let (mut now, mut later) = (Vec::new(), Vec::new());
        for spot in spots.iter().filter(|spot| spot.place != Place::Unwanted) {
            match self.pair(spot) {
                (Some(new), Some(old)) => {
                    if !self.is_ending(old) && (self.is_available(new) || !self.is_available(old)) {
                        writes.push(Write::Delete(old.clone()));
                    } else {
                        surging += 1;
                    }
                }
                (None, Some(old)) if spot.place == Place::Wanted => {
                    if self.is_ending(old) || !self.is_available(old) { &mut now } else { &mut later }.push(&spot.name);
                }
                _ => {}
            }
        }
        let room = most.saturating_sub(surging);
        let nodes = now.into_iter().chain(later.into_iter().take(room));
        writes.extend(nodes.map(|node| Write::Create(Box::new(place::pod(self.set, &self.hash, node)))));
        writes
    }

    fn status(&self, spots: &[Spot], before: DaemonSetStatus) -> DaemonSetStatus {
        let count =
            |holds: &dyn Fn(&&Spot) -> bool| i32::try_from(spots.iter().filter(holds).count()).unwrap_or(i32::MAX);
        let wanted = |spot: &&Spot| spot.place == Place::Wanted;
        let first = |spot: &&Spot, holds: &dyn Fn(&Pod) -> bool| wanted(spot) && spot.pods.iter().any(|pod| holds(pod));
        let desired = count(&wanted);
        let available = count(&|spot| first(spot, &|pod| pods::is_ready(pod) && self.is_available(pod)));
        DaemonSetStatus {
            desired_number_scheduled: desired,
            current_number_scheduled: count(&|spot| first(spot, &|_| true)),
            number_misscheduled: count(&|spot| !wanted(spot) && !spot.pods.is_empty()),
            number_ready: count(&|spot| first(spot, &pods::is_ready)),
            updated_number_scheduled: some(count(&|spot| first(spot, &|pod| self.is_new(pod)))),
            number_available: some(available),
            number_unavailable: some(desired - available),
            observed_generation: self.set.metadata.generation,
            collision_count: before.collision_count,
            conditions: before.conditions,
        }
    }
}
