//! Into the lists of the queue and out of them.

use jiff::Timestamp;
use orc_core::Name;

use super::{Place, PodQueue, after};

impl PodQueue {
    /// Lists a pod that is in no list: active, or backing off while it is blocked.
    pub(super) fn ready(&mut self, uid: &Name, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        if entry.blocked > now {
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
