//! Why a pod goes where it goes: every node's verdict by plugin and its scores, as data.

use serde::Serialize;

use super::Engine;
use super::ranks::{bounds, normalized};
use crate::plugin::{Normal, Plugin, Prepared};
use crate::pod::PodInfo;
use crate::profile::Profile;
use crate::reasons::{Reason, Reasons};
use crate::set::NodeSet;
use crate::view::View;

/// What a profile says of all nodes for a pod.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The pod, as `namespace/name`.
    pub pod: String,
    /// The profile.
    pub profile: String,
    /// What a decision with this seed would be: the node, or the message of the refusal.
    pub decision: Result<String, String>,
    /// The seed.
    pub seed: u64,
    /// The nodes in slot order.
    pub nodes: Vec<NodeExplanation>,
}

/// What is said of one node.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeExplanation {
    /// The node.
    pub node: String,
    /// Why it will not do, by each plugin that says so, not by the first alone; empty for a feasible node. Of a node that would
    /// do but for the pods that it is nominated for, what the first plugin says with them on it.
    pub refused: Vec<Verdict>,
    /// Its scores; empty for a node that is not feasible.
    pub scores: Vec<Score>,
    /// The sum of the weighted scores.
    pub total: Option<i64>,
}

/// A refusal by one plugin.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The plugin.
    pub plugin: &'static str,
    /// Its message.
    pub reason: String,
    /// Whether removing pods could help.
    pub resolvable: bool,
}

/// The score by one plugin.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Score {
    /// The plugin.
    pub plugin: &'static str,
    /// What it said.
    pub raw: i64,
    /// From 0 to 100.
    pub score: i64,
    /// The weight of its score.
    pub weight: i64,
}

impl Engine {
    /// Explains what would be decided for a pod. Costs every plugin for every node; nothing is changed.
    ///
    /// # Panics
    /// When there is no such profile.
    pub fn explain(&mut self, profile: usize, pod: &PodInfo, seed: u64) -> Explanation {
        let outcome = self.decide(profile, pod, seed).outcome;
        let (barred, barred_why) = self.barred(profile, pod);
        let (view, chosen) = (&self.view, &self.profiles[profile]);
        let mut asked: Vec<_> =
            chosen.plugins.iter().map(|(plugin, weight)| (&**plugin, *weight, plugin.prepare(view, pod))).collect();
        asked.retain(|(plugin, _, prepared)| plugin.concerned(prepared));
        let mut refused: Vec<Vec<Verdict>> = vec![Vec::new(); view.slot_count()];
        for (plugin, _, prepared) in &mut asked {
            refuse(*plugin, prepared, view, &mut refused);
        }
        for slot in barred.iter() {
            refused[slot].extend(barred_why.of(slot).map(verdict));
        }
        word(chosen, pod, &mut refused);
        let feasible: NodeSet = view.present().iter().filter(|slot| refused[*slot].is_empty()).collect();
        let mut scores: Vec<Vec<Score>> = vec![Vec::new(); view.slot_count()];
        for (plugin, weight, prepared) in asked.iter_mut().filter(|(_, weight, _)| *weight != 0) {
            if let Some(normal) = plugin.normal(prepared) {
                score(*plugin, prepared, view, &feasible, (normal, *weight), &mut scores);
            }
        }
        let node = |(slot, node): (usize, &std::sync::Arc<crate::NodeInfo>)| {
            let scores = std::mem::take(&mut scores[slot]);
            let total = feasible.contains(slot).then(|| scores.iter().map(|score| score.weight * score.score).sum());
            NodeExplanation { node: node.name.to_string(), refused: std::mem::take(&mut refused[slot]), scores, total }
        };
        Explanation {
            pod: format!("{}/{}", pod.key.namespace_str(), pod.key.name),
            profile: chosen.name.to_string(),
            decision: outcome.map(|placement| placement.node.to_string()).map_err(|error| error.to_string()),
            seed,
            nodes: view.nodes().map(node).collect(),
        }
    }
}

fn verdict(reason: &Reason) -> Verdict {
    Verdict { plugin: reason.plugin, reason: reason.text.to_string(), resolvable: reason.resolvable }
}

/// Puts verdicts in the words for this pod.
fn word(profile: &Profile, pod: &PodInfo, refused: &mut [Vec<Verdict>]) {
    for verdict in refused.iter_mut().flatten() {
        let plugin = profile.plugins.iter().find(|(plugin, _)| plugin.name() == verdict.plugin);
        if let Some(text) = plugin.and_then(|(plugin, _)| plugin.worded(pod, &verdict.reason)) {
            verdict.reason = text;
        }
    }
}

fn refuse(plugin: &dyn Plugin, prepared: &mut Prepared, view: &View, refused: &mut [Vec<Verdict>]) {
    let (mut nodes, mut why) = (view.present().clone(), Reasons::new());
    plugin.filter(prepared, view, &mut nodes, &mut why);
    for slot in view.present().iter() {
        refused[slot].extend(why.of(slot).map(verdict));
    }
    let Some(classes) = plugin.classes(prepared) else { return };
    let mut sorted = vec![0; view.slot_count()];
    classes.classify(prepared, view, view.present(), &mut sorted);
    for slot in view.present().iter() {
        refused[slot].extend(classes.judge(prepared, sorted[slot]).map(|refusal| Verdict {
            plugin: plugin.name(),
            reason: refusal.text.to_owned(),
            resolvable: refusal.resolvable,
        }));
    }
}

fn score(
    plugin: &dyn Plugin,
    prepared: &mut Prepared,
    view: &View,
    feasible: &NodeSet,
    (normal, weight): (Normal, i64),
    scores: &mut [Vec<Score>],
) {
    let mut raw = vec![0; view.slot_count()];
    if let Some(classes) = plugin.classes(prepared) {
        let mut sorted = vec![0; view.slot_count()];
        classes.classify(prepared, view, feasible, &mut sorted);
        let mut members: std::collections::BTreeMap<i64, usize> = std::collections::BTreeMap::new();
        feasible.iter().for_each(|slot| *members.entry(sorted[slot]).or_default() += 1);
        let all: Vec<(i64, usize)> = members.into_iter().collect();
        let mut of_class = vec![0; all.len()];
        classes.weigh(prepared, &all, &mut of_class);
        for slot in feasible.iter() {
            let at = all.binary_search_by_key(&sorted[slot], |(class, _)| *class);
            raw[slot] = at.map_or(0, |at| of_class[at]);
        }
    } else {
        plugin.score(prepared, view, feasible, &mut raw);
    }
    let wide = bounds(feasible.iter().map(|slot| raw[slot]));
    for slot in feasible.iter() {
        let score = normalized(normal, raw[slot], wide);
        scores[slot].push(Score { plugin: plugin.name(), raw: raw[slot], score, weight });
    }
}
