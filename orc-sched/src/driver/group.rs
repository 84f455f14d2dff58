//! Groups of pods that start whole or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use orc_core::Name;

use super::metrics::Ended;
use super::report::Report;
use super::run::Scheduler;
use crate::pod::PodInfo;

/// What a pod of a group that is not complete is parked under: only more pods of the group help.
pub(super) const GROUP: &str = "PodGroup";

impl Scheduler {
    /// Decides about all waiting pods of a pod's group together.
    pub(super) fn place_group(&mut self, profile: usize, pod: Arc<PodInfo>, now: Timestamp) {
        let Some(gang) = pod.gang.clone() else { return };
        let mut pods = self.queue.take_group(&pod);
        pods.insert(0, pod.clone());
        let running = self.engine.placed_of_group(&pod);
        if running + pods.len() < gang.least {
            let missing = gang.least - running - pods.len();
            let text = format!("pod group \"{}\" is not complete: {missing} more pods are needed", gang.name);
            return self.park_group(pods, &[GROUP], &text, now);
        }
        let least = gang.least.saturating_sub(running).max(1);
        match self.engine.decide_group(profile, &pods, least, self.rng.next()) {
            Ok(placed) => {
                let mut left = Vec::new();
                for pod in pods {
                    match placed.iter().find(|(uid, _)| *uid == pod.uid) {
                        Some((_, placement)) => self.bind(profile, pod, &placement.node, now),
                        None => left.push(pod),
                    }
                }
                self.park_group(left, &[], "the pod group has started without this pod: no node has room", now);
            }
            Err(error) => {
                let (nodes, more) =
                    if error.nodes == 0 { Default::default() } else { self.rescue_group(profile, &pods, least) };
                let mut text = format!("pod group \"{}\" does not fit as a whole: {error}", gang.name);
                more.iter().for_each(|more| text.extend([" ", more]));
                self.park_members(pods, &error.plugins(), &text, &nodes, now);
            }
        }
    }

    fn park_group(&mut self, pods: Vec<Arc<PodInfo>>, plugins: &[&'static str], text: &str, now: Timestamp) {
        self.park_members(pods, plugins, text, &BTreeMap::new(), now);
    }

    /// Parks pods of a group; some may have a node that others are leaving for them.
    fn park_members(
        &mut self,
        pods: Vec<Arc<PodInfo>>,
        plugins: &[&'static str],
        text: &str,
        nodes: &BTreeMap<Name, Name>,
        now: Timestamp,
    ) {
        for pod in pods {
            self.status.0.lock().unschedulable += 1;
            self.ended(Ended::Unschedulable, &pod, now);
            self.queue.park(&pod.uid, plugins.to_vec(), now);
            let node = nodes.get(&pod.uid).cloned();
            self.reporter.tell(Report::unschedulable(pod, text.to_owned(), node));
        }
    }
}
