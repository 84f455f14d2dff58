//! Facts that are taken for true together with a decision: a volume that is given to a claim, devices that are allocated.
//!
//! They count from the moment a pod is assumed, so that the next decision does not give the same away again. The driver writes
//! them before it binds. News of such an object are put aside until they carry what was assumed, as they tell of a state before.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use orc_core::Name;

use super::{Engine, Reservation};
use crate::facts::{Fact, FactKey};
use crate::plugin::Hint;
use crate::pod::PodInfo;

/// Facts that are assumed, and as they were at the marks that are open.
#[derive(Debug, Default)]
pub(super) struct Reserved {
    now: Assumed,
    /// One a mark; `None` while nothing has changed since.
    marks: Vec<Option<Assumed>>,
}

impl Reserved {
    pub(super) fn mark(&mut self) {
        self.marks.push(None);
    }

    pub(super) fn undo(&mut self) {
        if let Some(before) = self.marks.pop().flatten() {
            self.now = before;
        }
    }

    pub(super) fn keep(&mut self) {
        let before = self.marks.pop().flatten();
        if let Some(outer @ None) = self.marks.last_mut() {
            *outer = before;
        }
    }

    fn get(&self) -> &Assumed {
        &self.now
    }

    /// What is assumed, to be changed.
    fn change(&mut self) -> &mut Assumed {
        for mark in self.marks.iter_mut().filter(|mark| mark.is_none()) {
            *mark = Some(self.now.clone());
        }
        &mut self.now
    }
}

#[derive(Clone, Debug, Default)]
struct Assumed {
    by_pod: HashMap<Name, Vec<FactKey>>,
    /// The last news of each, put aside.
    news: BTreeMap<FactKey, Option<Arc<Fact>>>,
    /// Those that pods have which are on their nodes, until news carry them: nobody takes these back.
    settled: BTreeSet<FactKey>,
}

impl Engine {
    /// Takes a decision for true: the pod counts on the node from now on, and its nomination has served. What its plugins
    /// assume beside it is in the reservation.
    ///
    /// # Errors
    /// Why a plugin cannot keep what it offered; nothing is assumed then.
    pub fn reserve(&mut self, profile: usize, pod: &Arc<PodInfo>, node: &Name) -> Result<Reservation, String> {
        let (mut facts, mut pod) = (Vec::new(), pod.clone());
        if let Some(slot) = self.view.slot(node) {
            for (plugin, _) in &self.profiles[profile].plugins {
                facts.extend(plugin.reserve(&self.view, &pod, slot)?);
                pod = plugin.settle(&self.view, &pod, slot).map_or(pod, Arc::new);
            }
        }
        for (key, fact) in &facts {
            let before = self.view.swap_fact(key, Some(fact.clone()));
            let assumed = self.reserved.change();
            assumed.news.entry(key.clone()).or_insert(before);
            assumed.by_pod.entry(pod.uid.clone()).or_default().push(key.clone());
        }
        Ok(Reservation { facts, ..self.assume(&pod, node) })
    }

    /// Takes a fact in, or puts it aside while another is assumed.
    pub(super) fn fact(&mut self, key: &FactKey, fact: Option<Arc<Fact>>) -> Vec<Hint> {
        if self.reserved.get().news.contains_key(key) {
            let assumed = self.view.facts().get(key);
            let carried = fact.as_deref().zip(assumed.map(|fact| &**fact)).is_some_and(|(new, old)| carries(new, old));
            let reserved = self.reserved.change();
            if !carried {
                reserved.news.insert(key.clone(), fact);
                return Vec::new();
            }
            reserved.news.remove(key);
            reserved.settled.remove(key);
        }
        let before = self.view.swap_fact(key, fact.clone());
        if before == fact { Vec::new() } else { vec![Hint::Fact(key.kind)] }
    }

    /// Goes back to what was last heard of the facts assumed for a pod. What is assumed for another pod as well stays, without
    /// the one that leaves.
    pub(super) fn release(&mut self, uid: &Name) {
        if !self.reserved.get().by_pod.contains_key(uid) {
            return;
        }
        let reserved = self.reserved.change();
        for key in reserved.by_pod.remove(uid).unwrap_or_default() {
            let held = reserved.by_pod.values().any(|keys| keys.contains(&key));
            if held || reserved.settled.contains(&key) {
                let left = self.view.facts().get(&key).and_then(|fact| without(fact, uid));
                left.map(|fact| self.view.swap_fact(&key, Some(Arc::new(fact))));
            } else if let Some(news) = reserved.news.remove(&key) {
                self.view.swap_fact(&key, news);
            }
        }
    }

    /// The facts of a pod need no longer be taken back: it is on its node.
    pub(super) fn settle_facts(&mut self, uid: &Name) {
        if !self.reserved.get().by_pod.contains_key(uid) {
            return;
        }
        let reserved = self.reserved.change();
        let keys = reserved.by_pod.remove(uid).unwrap_or_default();
        let waiting: Vec<_> = keys.into_iter().filter(|key| reserved.news.contains_key(key)).collect();
        reserved.settled.extend(waiting);
    }
}

/// A device claim without one of its users; `None` for other facts.
fn without(fact: &Fact, uid: &str) -> Option<Fact> {
    let Fact::DeviceClaim(claim) = fact else { return None };
    let mut claim = claim.clone();
    let users = claim.status.as_mut().and_then(|status| status.reserved_for.as_mut());
    users.into_iter().for_each(|users| users.retain(|user| user.uid != *uid));
    Some(Fact::DeviceClaim(claim))
}

/// Whether news of an object have in them what was assumed of it.
fn carries(new: &Fact, assumed: &Fact) -> bool {
    match (new, assumed) {
        (Fact::DeviceClaim(new), Fact::DeviceClaim(assumed)) => {
            // Another claim of the name is news in any case.
            let (now, then) = (new.status.clone().unwrap_or_default(), assumed.status.clone().unwrap_or_default());
            let (now_used, then_used) = (now.reserved_for.unwrap_or_default(), then.reserved_for.unwrap_or_default());
            new.metadata.uid != assumed.metadata.uid
                || (now.allocation == then.allocation && then_used.iter().all(|user| now_used.contains(user)))
        }
        (Fact::Volume(new), Fact::Volume(_)) => new.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_some()),
        (Fact::Claim(new), Fact::Claim(_)) => {
            let bound = new.spec.as_ref().is_some_and(|spec| spec.volume_name.is_some());
            bound || crate::plugins::selected_node(new).is_some()
        }
        _ => true,
    }
}
