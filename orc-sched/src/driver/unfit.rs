//! Pods that fit nowhere: preemption, and telling why.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use orc_core::{ApiError, Name};

use super::evict::evict;
use super::metrics::Ended;
use super::report::Report;
use super::run::Scheduler;
use crate::engine::Preemption;
use crate::plugin::Hint;
use crate::pod::PodInfo;
use crate::reasons::FitError;

/// Evictions under way at a time; a pod for which there is no room is tried again later.
const EVICTIONS: usize = 256;

/// The outcome of an eviction: for whom, of whom.
pub(super) type Evicted = (Name, Name, Result<(), ApiError>);

impl Scheduler {
    /// Parks a pod, and takes others away for it where that helps.
    pub(super) fn unfit(&mut self, profile: usize, pod: Arc<PodInfo>, error: &FitError, now: Timestamp) {
        self.status.0.lock().unschedulable += 1;
        self.ended(Ended::Unschedulable, &pod, now);
        // Without nodes there is nobody to take away.
        let (nominated, more) = if error.nodes == 0 { (None, None) } else { self.rescue(profile, &pod) };
        self.queue.park(&pod.uid, error.plugins(), now);
        let message = match more {
            Some(more) => format!("{error} {more}"),
            None => error.to_string(),
        };
        self.reporter.tell(Report::unschedulable(pod, message, nominated));
    }

    /// Finds room by preemption. Returns the node that is nominated, or what is said of the attempt.
    fn rescue(&mut self, profile: usize, pod: &Arc<PodInfo>) -> (Option<Name>, Option<String>) {
        if self.leaving.contains_key(&pod.uid) || self.evictions.len() >= EVICTIONS {
            // What leaves for the pod is on its way; the engine will hear of it.
            return (None, None);
        }
        let filters = self.engine.profiles()[profile].points.post_filter.clone();
        let mut said = None;
        for filter in filters {
            let seed = self.rng.next();
            match filter.rescue(&mut self.engine, profile, pod, seed) {
                Ok(found) => {
                    tracing::debug!(pod = %pod.key, node = %found.node, victims = found.plan.victims.len(), "preempts");
                    let node = found.node.clone();
                    self.preempt(pod, &found);
                    return (Some(node), None);
                }
                Err(why) => said = Some(why),
            }
        }
        (None, said)
    }

    /// Finds room for a group by preemption, for all of it or for nobody. Returns the nodes that are nominated, or what is said
    /// of the attempt.
    pub(super) fn rescue_group(
        &mut self,
        profile: usize,
        pods: &[Arc<PodInfo>],
        least: usize,
    ) -> (BTreeMap<Name, Name>, Option<String>) {
        let none = BTreeMap::new();
        if pods.iter().any(|pod| self.leaving.contains_key(&pod.uid)) || self.evictions.len() >= EVICTIONS {
            return (none, None);
        }
        let filters = self.engine.profiles()[profile].points.post_filter.clone();
        let mut said = None;
        for filter in filters {
            let seed = self.rng.next();
            match filter.rescue_group(&mut self.engine, profile, pods, least, seed) {
                Ok(found) => {
                    found.members.iter().for_each(|(pod, found)| self.preempt(pod, found));
                    let nodes = found.members.into_iter().map(|(pod, found)| (pod.uid.clone(), found.node));
                    return (nodes.collect(), None);
                }
                Err(why) => said = Some(why),
            }
        }
        (none, said)
    }

    fn preempt(&mut self, pod: &Arc<PodInfo>, found: &Preemption) {
        for displaced in &found.displaced {
            if self.engine.clear(&displaced.uid) {
                self.hints.insert(Hint::PodLeft);
            }
            self.reporter.tell(Report::displaced(displaced.clone()));
        }
        if self.engine.nominate(pod, &found.node) {
            self.hints.insert(Hint::PodLeft);
        }
        if found.plan.victims.is_empty() {
            return;
        }
        self.status.0.lock().preemptions += 1;
        self.status.metrics().preempted(found.plan.victims.len());
        let mut waits = BTreeSet::new();
        for victim in found.plan.victims.iter().filter(|victim| !victim.deleting) {
            waits.insert(victim.uid.clone());
            let (client, clock) = (self.env.client.clone(), self.env.clock.clone());
            let (whom, of, scheduler) = (pod.uid.clone(), victim.uid.clone(), pod.scheduler.to_string());
            let victim = victim.clone();
            self.evictions.push(Box::pin(async move { (whom, of, evict(client, clock, victim, scheduler).await) }));
        }
        // Where all victims are leaving already, the last of them wakes the pod.
        if !waits.is_empty() {
            self.leaving.insert(pod.uid.clone(), waits);
        }
    }

    /// Takes the outcome of an eviction in. After a failure the pod looks again; after a success it waits until the engine has
    /// heard of the victim's end, or it would take away more than it needs.
    pub(super) fn evicted(&mut self, (whom, of, outcome): Evicted) {
        match outcome {
            Ok(()) => self.status.0.lock().victims += 1,
            Err(error) => {
                tracing::debug!(uid = %of, %error, "a pod was not evicted");
                self.status.0.lock().last_error = Some(format!("eviction: {error}"));
                self.leaving.remove(&whom);
                self.hints.insert(Hint::PodLeft);
                self.wake();
            }
        }
    }

    /// The engine hears of a pod that is leaving, or has left: nobody waits for its eviction any more.
    pub(super) fn has_left(&mut self, uid: &Name) {
        self.leaving.retain(|_, waits| {
            waits.remove(uid);
            !waits.is_empty()
        });
    }
}
