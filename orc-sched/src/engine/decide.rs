//! One decision.

use std::sync::Arc;

use orc_core::Name;
use orc_core::env::Rng;

use super::Engine;
use crate::pod::PodInfo;
use crate::reasons::{FitError, Reasons};
use crate::set::NodeSet;
use crate::view::{Nominated, Placed};

/// Where a pod goes, or why nowhere; with the seed that chose among equals, so that it can be replayed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The seed.
    pub seed: u64,
    /// The node, or why there is none.
    pub outcome: Result<Placement, FitError>,
}

/// Where a pod goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placement {
    /// The node.
    pub node: Name,
    /// Its slot.
    pub slot: usize,
    /// Its score.
    pub score: i64,
    /// How many nodes were feasible; 1 when the pod had a node nominated that will do, since no other was looked at.
    pub feasible: usize,
    /// How many of them had this score.
    pub ties: usize,
}

impl Engine {
    /// Decides where a pod of a profile goes: the node nominated for it if that will do, else the best feasible node; among
    /// equals the k-th in slot order, k from the seed. Nothing is assumed.
    ///
    /// # Panics
    /// When there is no such profile.
    pub fn decide(&mut self, profile: usize, pod: &PodInfo, seed: u64) -> Decision {
        let (barred, why) = self.barred(profile, pod);
        let wanted = self.view.nomination(&pod.uid).and_then(|nominated| self.view.slot(&nominated.node));
        let (plugins, view) = (&self.profiles[profile], &self.view);
        let sheet = self.sheets[profile].last();
        let outcome = wanted
            .and_then(|slot| sheet.only(plugins, view, &barred, slot))
            .or_else(|| sheet.best(plugins, view, &barred, |ties| choice(seed, ties)))
            .ok_or_else(|| self.told(profile, pod, sheet.error(plugins, view, &barred, &why)));
        Decision { seed, outcome }
    }

    /// Reasons in the words for one of the pods that are alike.
    pub(super) fn told(&self, profile: usize, pod: &PodInfo, mut error: FitError) -> FitError {
        let mut changed = false;
        for (reason, _) in &mut error.reasons {
            let plugin = self.profiles[profile].plugins.iter().find(|(plugin, _)| plugin.name() == reason.plugin);
            if let Some(text) = plugin.and_then(|(plugin, _)| plugin.worded(pod, &reason.text)) {
                reason.text = text.into();
                changed = true;
            }
        }
        if changed {
            error.reasons.sort();
        }
        error
    }

    /// Brings the sheet of a pod up to date; it is the profile's last one afterwards.
    pub(super) fn open_sheet(&mut self, profile: usize, pod: &PodInfo) {
        let keys = pod.affinity.terms().map(|term| &term.topology_key);
        self.view.know_keys(keys.chain(pod.spread.iter().map(|constraint| &constraint.topology_key)));
        self.view.tidy();
        self.sheets[profile].open(&self.profiles[profile], &self.view, pod, &mut self.scratch);
    }

    /// The nodes that nominated pods of at least this priority take from the pod, and why: asked of the same plugins, with the
    /// pods nominated for a node counted in there.
    pub(super) fn barred(&mut self, profile: usize, pod: &PodInfo) -> (NodeSet, Reasons) {
        self.open_sheet(profile, pod);
        let (mut barred, mut why) = (NodeSet::new(), Reasons::new());
        let mut ahead: Vec<Nominated> = self.ahead(pod).cloned().collect();
        ahead.sort_by(|a, b| a.node.cmp(&b.node));
        for pods in ahead.chunk_by(|a, b| a.node == b.node) {
            let Some(slot) = self.view.slot(&pods[0].node) else { continue };
            if !self.sheets[profile].last().passes(&self.profiles[profile], slot) {
                continue;
            }
            let fits = self.what_if(profile, pod, |engine| {
                pods.iter().for_each(|nominated| engine.count_in(nominated));
                engine.probe(profile, pod, slot, &mut why)
            });
            if !fits {
                barred.insert(slot);
            }
        }
        (barred, why)
    }

    /// Nominated pods that go before a pod.
    pub(super) fn ahead<'a>(&'a self, pod: &'a PodInfo) -> impl Iterator<Item = &'a Nominated> {
        self.view.nominations().filter(|other| other.pod.uid != pod.uid && other.pod.priority >= pod.priority)
    }

    /// Counts a nominated pod in on its node.
    pub(super) fn count_in(&mut self, nominated: &Nominated) {
        let Nominated { pod, node } = nominated.clone();
        self.view.put_pod(Placed { pod, node, assumed: true });
    }

    /// Runs something whose changes are taken back. Only the last sheet of the profile may be asked meanwhile, by
    /// [`Engine::probe`].
    pub(super) fn what_if<T>(&mut self, profile: usize, pod: &PodInfo, act: impl FnOnce(&mut Self) -> T) -> T {
        let (mark, now) = (self.view.mark(), self.view.now());
        let outcome = act(self);
        self.view.undo(mark);
        let sheet = self.sheets[profile].last_mut();
        sheet.back(&self.profiles[profile], &self.view, pod);
        sheet.rewind(now);
        self.view.rewind(now);
        outcome
    }

    /// Whether a node would do as things stand, within [`Engine::what_if`].
    pub(super) fn probe(&mut self, profile: usize, pod: &PodInfo, slot: usize, why: &mut Reasons) -> bool {
        let sheet = self.sheets[profile].last_mut();
        sheet.probe(&self.profiles[profile], &self.view, pod, slot, why, &mut self.scratch)
    }

    /// Takes a pod off its node, within a "what if".
    pub(super) fn without(&mut self, pod: &Arc<PodInfo>) {
        self.view.take_pod(&pod.uid);
    }
}

/// The place among so many equals that a seed chooses.
fn choice(seed: u64, ties: usize) -> usize {
    let chosen = Rng::seeded(seed).below(ties as u64);
    usize::try_from(chosen).unwrap_or_default()
}
