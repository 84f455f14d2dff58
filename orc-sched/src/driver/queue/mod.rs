//! Pods that wait for a node: a pure state machine.
//!
//! A pod is *active* (next by priority, then by time), *backing off* after a failure, *parked* because it fits nowhere,
//! *gated*, or *flying* (popped and not settled). Parked pods are indexed by the plugins that refused them, so that an event
//! wakes only those it could help. The number of pods is bounded by the API, not here.

mod group;
mod lists;
mod points;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use orc_core::Name;

use self::group::group;
pub use self::points::QueuePoints;
use super::metrics::Shared;
use crate::pod::PodInfo;
use crate::points::SortKey;

/// The index entry of pods that were refused by no plugin, as there was no node.
const NO_NODES: &str = "";

/// Waits of the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// The wait after the first failure; doubles with each.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
    /// How long a pod stays parked at most.
    pub flush: Duration,
}

impl Default for Timing {
    /// Kubernetes' defaults: one second to ten, and five minutes.
    fn default() -> Self {
        Self { first: Duration::from_secs(1), most: Duration::from_secs(10), flush: Duration::from_secs(300) }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Place {
    Active(Rank),
    Backoff(Timestamp),
    Parked(Timestamp, Vec<&'static str>),
    Gated,
    Flying,
}

/// The order of active pods: as the queue sorts, then by arrival.
type Rank = (SortKey, u64);

#[derive(Debug)]
struct Entry {
    pod: Arc<PodInfo>,
    attempts: u32,
    /// When it could first be tried.
    since: Option<Timestamp>,
    /// Until when it may not be tried again.
    blocked: Timestamp,
    place: Place,
}

/// Pods that wait for a node.
pub struct PodQueue {
    timing: Timing,
    points: QueuePoints,
    /// Pods by namespace and group.
    groups: BTreeMap<(Name, Name), BTreeSet<Name>>,
    entries: BTreeMap<Name, Entry>,
    active: BTreeMap<Rank, Name>,
    backoff: BTreeSet<(Timestamp, Name)>,
    /// Those of `backoff` that something may have helped since they were refused.
    helped: BTreeSet<(Timestamp, Name)>,
    parked: BTreeSet<(Timestamp, Name)>,
    refused_by: BTreeMap<&'static str, BTreeSet<Name>>,
    gated: usize,
    arrivals: u64,
    metrics: Shared,
}

/// How many pods are where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Depths {
    /// Ready to be tried.
    pub active: usize,
    /// Waiting after a failure.
    pub backoff: usize,
    /// Fitting nowhere.
    pub parked: usize,
    /// Behind scheduling gates.
    pub gated: usize,
}

impl PodQueue {
    /// An empty queue with Kubernetes' order and gates.
    pub fn new(timing: Timing) -> Self {
        Self::with_points(timing, QueuePoints::default())
    }

    /// An empty queue.
    pub fn with_points(timing: Timing, points: QueuePoints) -> Self {
        Self {
            timing,
            points,
            groups: BTreeMap::new(),
            entries: BTreeMap::new(),
            active: BTreeMap::new(),
            backoff: BTreeSet::new(),
            helped: BTreeSet::new(),
            parked: BTreeSet::new(),
            refused_by: BTreeMap::new(),
            gated: 0,
            arrivals: 0,
            metrics: Shared::default(),
        }
    }

    /// The same, with the pods that come into its lists counted there.
    pub(super) fn counted(self, metrics: Shared) -> Self {
        Self { metrics, ..self }
    }

    /// Why a pod is held back.
    pub fn held(&self, pod: &PodInfo) -> Option<String> {
        self.points.held(pod)
    }

    /// Adds a pod, or takes in its new state. A parked pod is tried again when something that scheduling reads has changed.
    pub fn put(&mut self, pod: Arc<PodInfo>, now: Timestamp) {
        let uid = pod.uid.clone();
        let held = self.points.held(&pod).is_some();
        let Some(entry) = self.entries.get_mut(&uid) else {
            if let Some(group) = group(&pod) {
                self.groups.entry(group).or_default().insert(uid.clone());
            }
            let place = if held { Place::Gated } else { Place::Flying };
            self.gated += usize::from(place == Place::Gated);
            let ready = place != Place::Gated;
            self.entries.insert(uid.clone(), Entry { pod, attempts: 0, since: None, blocked: now, place });
            if ready {
                self.ready(&uid, "PodAdd", now);
            } else {
                self.metrics.incoming("gated", "PodAdd");
            }
            return;
        };
        let same = entry.pod.same_wish(&pod);
        entry.pod = pod;
        if same || entry.place == Place::Flying {
            return;
        }
        self.unlist(&uid);
        let Some(entry) = self.entries.get_mut(&uid) else { return };
        if !held {
            self.ready(&uid, "PodUpdate", now);
        } else {
            entry.place = Place::Gated;
            self.gated += 1;
        }
    }

    /// Forgets a pod.
    pub fn remove(&mut self, uid: &Name) {
        self.unlist(uid);
        let group = self.entries.remove(uid).and_then(|entry| group(&entry.pod));
        if let Some(group) = group {
            let left = self.groups.get_mut(&group);
            if left.is_some_and(|pods| pods.remove(uid) && pods.is_empty()) {
                self.groups.remove(&group);
            }
        }
    }

    /// The next pod to try; it is flying until it is removed, parked or backed off.
    pub fn pop(&mut self, now: Timestamp) -> Option<Arc<PodInfo>> {
        while let Some((due, _)) = self.backoff.first() {
            if *due > now {
                break;
            }
            let Some(place) = self.backoff.pop_first() else { break };
            self.helped.remove(&place);
            self.ready(&place.1, "BackoffComplete", now);
        }
        // With nothing else to do, a pod that something may have helped is tried before its time (KEP-5142).
        let uid = match self.active.pop_first() {
            Some((_, uid)) => uid,
            None => self.helped.pop_first().map(|place| self.early(place))?,
        };
        let entry = self.entries.get_mut(&uid)?;
        entry.place = Place::Flying;
        entry.attempts = entry.attempts.saturating_add(1);
        Some(entry.pod.clone())
    }

    fn early(&mut self, place: (Timestamp, Name)) -> Name {
        self.backoff.remove(&place);
        place.1
    }

    /// Parks a flying pod that fits nowhere, with the plugins that refused nodes.
    pub fn park(&mut self, uid: &Name, mut plugins: Vec<&'static str>, now: Timestamp) {
        if plugins.is_empty() {
            plugins.push(NO_NODES);
        }
        let wait = self.block(uid, now);
        let Some(entry) = self.entries.get_mut(uid).filter(|entry| entry.place == Place::Flying && wait.is_some())
        else {
            return;
        };
        for plugin in &plugins {
            self.refused_by.entry(plugin).or_default().insert(uid.clone());
        }
        entry.place = Place::Parked(now, plugins);
        self.parked.insert((now, uid.clone()));
        self.metrics.incoming("unschedulable", "ScheduleAttemptFailure");
    }

    /// Backs off a flying pod that failed for a reason of its own.
    pub fn back_off(&mut self, uid: &Name, now: Timestamp) {
        let Some(due) = self.block(uid, now) else { return };
        let Some(entry) = self.entries.get_mut(uid).filter(|entry| entry.place == Place::Flying) else { return };
        entry.place = Place::Backoff(due);
        self.backoff.insert((due, uid.clone()));
        self.metrics.incoming("backoff", "ScheduleAttemptFailure");
    }

    /// Wakes pods that have been parked for long.
    pub fn flush(&mut self, now: Timestamp) {
        while let Some((since, uid)) = self.parked.first().cloned() {
            if after(since, self.timing.flush) > now {
                break;
            }
            self.unlist(&uid);
            self.ready(&uid, "UnschedulableTimeout", now);
        }
    }

    /// When [`PodQueue::pop`] or [`PodQueue::flush`] will next have something to do; `None` when only an event can tell.
    pub fn next_due(&self) -> Option<Timestamp> {
        let flush = self.parked.first().map(|(since, _)| after(*since, self.timing.flush));
        let backoff = self.backoff.first().map(|(due, _)| *due);
        let active = (!self.active.is_empty() || !self.helped.is_empty()).then_some(Timestamp::MIN);
        [flush, backoff, active].into_iter().flatten().min()
    }

    /// Whether a pod is ready to be tried.
    pub fn has_active(&self) -> bool {
        !self.active.is_empty()
    }

    /// Since when a pod could be tried, and how often it was.
    pub fn tried(&self, uid: &str) -> Option<(Timestamp, u32)> {
        let entry = self.entries.get(uid)?;
        Some((entry.since?, entry.attempts))
    }

    /// Whether the queue knows a pod.
    pub fn contains(&self, uid: &str) -> bool {
        self.entries.contains_key(uid)
    }

    /// How many pods are where.
    pub fn depths(&self) -> Depths {
        let (active, backoff, parked) = (self.active.len(), self.backoff.len(), self.parked.len());
        Depths { active, backoff, parked, gated: self.gated }
    }
}

fn after(at: Timestamp, wait: Duration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
