//! Into the lists of the queue and out of them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use orc_core::Name;

use super::{NO_NODES, Place, PodQueue, after};
use crate::plugin::Hint;
use crate::pod::PodInfo;

/// A change as upstream's metrics name it, by its resource and what happened to it.
pub(super) fn event(hint: Hint) -> &'static str {
    match hint {
        Hint::NodeAdded => "NodeAdd",
        Hint::NodeGone => "NodeDelete",
        Hint::NodeLabels => "NodeUpdateLabel",
        Hint::NodeTaints | Hint::NodeSchedulable => "NodeUpdateTaint",
        Hint::NodeAllocatable => "NodeUpdateAllocatable",
        Hint::PodLeft => "AssignedPodDelete",
        Hint::PodCame => "AssignedPodAdd",
        Hint::GroupGrew => "PodGroupAdd",
        Hint::Fact(_) => "OtherUpdate",
    }
}

impl PodQueue {
    /// Wakes the parked pods that these changes could help, in the eyes of a plugin that refused them.
    pub fn wake(&mut self, hints: &BTreeSet<Hint>, now: Timestamp, helps: impl Fn(&str, Hint) -> bool) {
        let helped = |plugin: &str| match plugin {
            NO_NODES => hints.get(&Hint::NodeAdded).copied(),
            plugin => hints.iter().copied().find(|hint| helps(plugin, *hint)),
        };
        let plugins: Vec<_> =
            self.refused_by.keys().copied().filter_map(|plugin| Some((plugin, helped(plugin)?))).collect();
        for (plugin, hint) in plugins {
            for uid in self.refused_by.get(plugin).cloned().unwrap_or_default() {
                self.unlist(&uid);
                // A pod that met no node at all was not tried: there is nothing to back off from.
                if plugin == NO_NODES
                    && let Some(entry) = self.entries.get_mut(&uid)
                {
                    (entry.blocked, entry.attempts) = (now, 0);
                }
                self.ready(&uid, event(hint), now);
            }
        }
    }

    /// Wakes the parked pods that a pod which came to a node could help, in the eyes of a plugin that refused them: first
    /// whether the plugin is helped by pods that come, then by this one.
    pub fn came(&mut self, now: Timestamp, follows: impl Fn(&str) -> bool, helps: impl Fn(&str, &PodInfo) -> bool) {
        if self.refused_by.is_empty() {
            return;
        }
        let mut helped = Vec::new();
        for (plugin, uids) in self.refused_by.iter().filter(|(plugin, _)| follows(plugin)) {
            let waiting = uids.iter().filter_map(|uid| Some((uid, &self.entries.get(uid)?.pod)));
            helped.extend(waiting.filter(|(_, pod)| helps(plugin, pod)).map(|(uid, _)| uid.clone()));
        }
        for uid in helped {
            // It may have been refused by several.
            if matches!(self.entries.get(&uid).map(|entry| &entry.place), Some(Place::Parked(..))) {
                self.unlist(&uid);
                self.ready(&uid, event(Hint::PodCame), now);
            }
        }
    }

    /// Lists a pod that is in no list, because of an event: active, or backing off while it is blocked.
    pub(super) fn ready(&mut self, uid: &Name, event: &'static str, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        entry.since.get_or_insert(now);
        let blocked = entry.blocked > now;
        self.metrics.incoming(if blocked { "backoff" } else { "active" }, event);
        if blocked {
            entry.place = Place::Backoff(entry.blocked);
            self.backoff.insert((entry.blocked, uid.clone()));
            self.helped.insert((entry.blocked, uid.clone()));
            return;
        }
        self.arrivals += 1;
        let rank = (self.points.sort.key(&entry.pod, now), self.arrivals);
        entry.place = Place::Active(rank);
        self.active.insert(rank, uid.clone());
    }

    /// Takes a pod out of its list; it counts as flying.
    pub(super) fn unlist(&mut self, uid: &Name) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        match std::mem::replace(&mut entry.place, Place::Flying) {
            Place::Active(rank) => drop(self.active.remove(&rank)),
            Place::Backoff(due) => {
                let place = (due, uid.clone());
                self.backoff.remove(&place);
                self.helped.remove(&place);
            }
            Place::Parked(since, plugins) => {
                self.parked.remove(&(since, uid.clone()));
                for plugin in plugins {
                    let left = self.refused_by.get_mut(plugin);
                    if left.is_some_and(|pods| pods.remove(uid) && pods.is_empty()) {
                        self.refused_by.remove(plugin);
                    }
                }
            }
            Place::Gated => self.gated -= 1,
            Place::Flying => {}
        }
    }

    /// Sets until when a failed pod may not be tried again.
    pub(super) fn block(&mut self, uid: &Name, now: Timestamp) -> Option<Timestamp> {
        let entry = self.entries.get_mut(uid)?;
        let doublings = entry.attempts.saturating_sub(1).min(16);
        let wait = self.timing.first.saturating_mul(1 << doublings).min(self.timing.most);
        entry.blocked = after(now, wait);
        Some(entry.blocked)
    }
}
