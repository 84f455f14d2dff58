//! One decision.

use orc_core::Name;
use orc_core::env::Rng;

use super::Engine;
use super::sheet::Sheet;
use crate::pod::PodInfo;
use crate::reasons::{FitError, Reasons};
use crate::set::NodeSet;
use crate::view::{Nominated, Placed, View};

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
    /// How many nodes were feasible.
    pub feasible: usize,
    /// How many of them had this score.
    pub ties: usize,
}

impl Engine {
    /// Decides where a pod of a profile goes: the best feasible node; among equals the k-th in slot order, k from the seed.
    /// Nothing is assumed.
    ///
    /// # Panics
    /// When there is no such profile.
    pub fn decide(&mut self, profile: usize, pod: &PodInfo, seed: u64) -> Decision {
        let barred = self.barred(profile, pod);
        let (plugins, view) = (&self.profiles[profile], &self.view);
        let sheet = self.sheets[profile].sheet(plugins, view, pod);
        let outcome = match &barred {
            None => pick(sheet, view, &NodeSet::new(), seed).ok_or_else(|| sheet.error(view)),
            Some(barred) => {
                // Scores are relative to the best feasible node, and barred ones are not feasible.
                let picked = if sheet.scores_hold_without(&barred.nodes) {
                    pick(sheet, view, &barred.nodes, seed)
                } else {
                    let open = view.present().iter().filter(|slot| !barred.nodes.contains(*slot)).collect();
                    pick(&Sheet::among(plugins, view, pod, &open), view, &NodeSet::new(), seed)
                };
                picked.ok_or_else(|| barred.error(sheet, view.present()))
            }
        };
        Decision { seed, outcome }
    }

    /// The nodes that nominated pods of at least this priority take from the pod: asked of the same plugins, with those pods
    /// counted in.
    fn barred(&mut self, profile: usize, pod: &PodInfo) -> Option<Barred> {
        let ahead = |other: &&Nominated| other.pod.uid != pod.uid && other.pod.priority >= pod.priority;
        let ahead: Vec<Nominated> = self.view.nominations().filter(ahead).cloned().collect();
        if ahead.is_empty() {
            return None;
        }
        let slots: NodeSet = ahead.iter().filter_map(|nominated| self.view.slot(&nominated.node)).collect();
        let mark = self.view.mark();
        for Nominated { pod, node } in ahead {
            self.view.put_pod(Placed { pod, node, assumed: true });
        }
        let plugins = &self.profiles[profile].plugins;
        let (mut fitting, mut why) = (slots.clone(), Reasons::new());
        for (plugin, _) in plugins {
            plugin.filter(&plugin.prepare(&self.view, pod), &self.view, &mut fitting, &mut why);
        }
        self.view.undo(mark);
        let nodes = slots.iter().filter(|slot| !fitting.contains(*slot)).collect();
        Some(Barred { nodes, why })
    }
}

/// The best feasible node outside `barred`.
fn pick(sheet: &Sheet, view: &View, barred: &NodeSet, seed: u64) -> Option<Placement> {
    let (score, ties) = sheet.best(barred)?;
    let slot = ties.nth(choice(seed, ties.len()))?;
    let feasible = sheet.feasible().len() - barred.iter().filter(|slot| sheet.feasible().contains(*slot)).count();
    Some(Placement { node: view.node(slot)?.name.clone(), slot, score, feasible, ties: ties.len() })
}

/// The place among so many equals that a seed chooses.
fn choice(seed: u64, ties: usize) -> usize {
    let chosen = Rng::seeded(seed).below(ties as u64);
    usize::try_from(chosen).unwrap_or_default()
}

/// Nodes that nominations take away, and why.
struct Barred {
    nodes: NodeSet,
    why: Reasons,
}

impl Barred {
    /// The reasons of all nodes, those of barred ones as they stand with the nominated pods.
    fn error(&self, sheet: &Sheet, present: &NodeSet) -> FitError {
        let mut why = Reasons::new();
        for slot in present.iter() {
            let reasons: Vec<_> =
                if self.nodes.contains(slot) { self.why.of(slot) } else { sheet.why().of(slot) }.collect();
            for reason in reasons {
                why.refuse(slot, reason.plugin, &reason.text, reason.resolvable);
            }
        }
        FitError { nodes: present.len(), reasons: why.counted() }
    }
}
