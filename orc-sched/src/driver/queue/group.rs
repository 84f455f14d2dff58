//! Pods that start together.

use std::sync::Arc;

use jiff::Timestamp;
use orc_core::Name;

use super::{Place, PodQueue};
use crate::pod::PodInfo;

impl PodQueue {
    /// The pods of a pod's group that wait and are not held back, in the queue's order; they and the pod are flying then.
    pub fn take_group(&mut self, pod: &PodInfo) -> Vec<Arc<PodInfo>> {
        let uids = group(pod).and_then(|group| self.groups.get(&group)).cloned().unwrap_or_default();
        let waits = |uid: &&Name| self.entries.get(*uid).is_some_and(|entry| entry.place != Place::Gated);
        let uids: Vec<Name> = uids.iter().filter(|uid| **uid != pod.uid).filter(waits).cloned().collect();
        let mut pods = Vec::new();
        for uid in uids {
            let flying = self.entries.get(&uid).is_some_and(|entry| entry.place == Place::Flying);
            if !flying {
                self.unlist(&uid);
                pods.extend(self.entries.get_mut(&uid).map(|entry| {
                    entry.attempts = entry.attempts.saturating_add(1);
                    entry.pod.clone()
                }));
            }
        }
        let since = |pod: &PodInfo| pod.created.unwrap_or(Timestamp::MIN);
        pods.sort_by_key(|pod| (self.points.sort.key(pod, since(pod)), pod.key.clone()));
        pods
    }
}

/// Namespace and name of a pod's group.
pub(super) fn group(pod: &PodInfo) -> Option<(Name, Name)> {
    Some((pod.key.namespace.clone()?, pod.gang.as_ref()?.name.clone()))
}
