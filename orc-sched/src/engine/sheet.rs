//! What plugins say of the nodes for pods that are alike, kept up to date.

use super::groups::Groups;
use super::plans::Plans;
use crate::plugin::{Normal, Prepared, Touched};
use crate::pod::PodInfo;
use crate::profile::Profile;
use crate::reasons::Reasons;
use crate::set::NodeSet;
use crate::view::{Change, ChangeKind, TermId, View};

/// The feasible nodes with their scores, and why the others are not, for one signature.
#[derive(Default)]
pub(super) struct Sheet {
    pub(super) prepared: Vec<Prepared>,
    /// The plugins that have something to say.
    pub(super) active: Vec<usize>,
    /// The number of the first change that is not in here.
    seen: u64,
    epoch: u64,
    /// Nodes that pass all filters by node; a class may still refuse them.
    pub(super) feasible: NodeSet,
    /// Nodes that filters refuse for reasons that pods on them may be the cause of.
    pub(super) helpable: NodeSet,
    pub(super) why: Reasons,
    /// Plugins whose scores are a node's own, with their weights.
    plain_scorers: Vec<(usize, i64)>,
    /// What makes groups.
    pub(super) parts: Vec<Part>,
    /// Plugins that score all nodes together.
    pub(super) wholes: Vec<(usize, i64)>,
    plain: Vec<i64>,
    group_of: Vec<u32>,
    pub(super) groups: Groups,
    /// What would have to leave a node for the pod.
    pub(super) plans: Plans,
    /// The terms of placed pods that keep the pod away; pods that are alike have the same.
    apart: Vec<TermId>,
}

/// One part of what makes a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) plugin: usize,
    /// Whether the numbers are classes; else they are raw scores.
    pub(super) classes: bool,
    /// How it is scored and with what weight.
    pub(super) scored: Option<(Normal, i64)>,
}

/// Columns that plugins write into, shared by all sheets.
#[derive(Default)]
pub(super) struct Scratch {
    plain: Vec<i64>,
    parts: Vec<Vec<i64>>,
    key: Vec<i64>,
}

impl Scratch {
    fn fit(&mut self, slots: usize, parts: usize) {
        if self.parts.len() < parts {
            self.parts.resize_with(parts, Vec::new);
        }
        for column in self.parts.iter_mut().take(parts).chain([&mut self.plain]) {
            if column.len() < slots {
                column.resize(slots, 0);
            }
        }
    }
}

impl Sheet {
    /// Asks the plugins about every node.
    pub(super) fn new(profile: &Profile, view: &View, pod: &PodInfo, scratch: &mut Scratch) -> Self {
        let mut sheet = Self::default();
        sheet.start_over(profile, view, pod, scratch);
        sheet
    }

    /// Takes in what has changed since it was last asked.
    pub(super) fn catch_up(&mut self, profile: &Profile, view: &View, pod: &PodInfo, scratch: &mut Scratch) {
        if self.seen == view.now() && self.epoch == view.epoch() {
            return;
        }
        let changes = view.changes_since(self.seen).filter(|_| self.epoch == view.epoch());
        let Some(changes) = changes.map(Iterator::collect::<Vec<_>>) else {
            return self.start_over(profile, view, pod, scratch);
        };
        let mut touched: NodeSet =
            changes.iter().filter(|c| matches!(c.kind, ChangeKind::Node { .. })).map(|c| c.slot).collect();
        for plugin in &self.active {
            let asked = &profile.plugins[*plugin].0;
            for change in &changes {
                let answer = asked.touched(&mut self.prepared[*plugin], view, change);
                if !spread_out(answer, change, view, &mut touched) {
                    return self.start_over(profile, view, pod, scratch);
                }
            }
        }
        self.seen = view.now();
        self.plans.forget(&touched, &changes);
        self.evaluate(profile, view, &touched, scratch);
    }

    /// Whether a node would do in the view as it is now, which may be a "what if". The caller takes the "what if" back, calls
    /// [`Sheet::back`], and rewinds the log.
    pub(super) fn probe(
        &mut self,
        profile: &Profile,
        view: &View,
        pod: &PodInfo,
        slot: usize,
        why: &mut Reasons,
        scratch: &mut Scratch,
    ) -> bool {
        self.back(profile, view, pod);
        scratch.fit(view.slot_count(), 1);
        let mut nodes = NodeSet::from_iter([slot]);
        for plugin in &self.active {
            profile.plugins[*plugin].0.filter(&self.prepared[*plugin], view, &mut nodes, why);
            if nodes.is_empty() {
                return false;
            }
        }
        if !self.fits_anew(profile, view, pod, &mut nodes, why) {
            return false;
        }
        for part in self.parts.iter().filter(|part| part.classes) {
            let (plugin, prepared) = (&profile.plugins[part.plugin].0, &mut self.prepared[part.plugin]);
            let Some(classes) = plugin.classes(prepared) else { continue };
            classes.classify(prepared, view, &nodes, &mut scratch.parts[0]);
            if let Some(refusal) = classes.judge(prepared, scratch.parts[0][slot]) {
                why.refuse(slot, plugin.name(), refusal.text, refusal.resolvable);
                return false;
            }
        }
        true
    }

    /// Asks all plugins anew where a pod counted in carries a term that means the pod and that nobody carried before: what they have
    /// prepared does not know of it.
    fn fits_anew(&self, profile: &Profile, view: &View, pod: &PodInfo, nodes: &mut NodeSet, why: &mut Reasons) -> bool {
        if apart(view, pod).all(|id| self.apart.contains(&id)) {
            return true;
        }
        for (plugin, _) in &profile.plugins {
            let prepared = plugin.prepare(view, pod);
            if plugin.concerned(&prepared) {
                plugin.filter(&prepared, view, nodes, why);
            }
        }
        !nodes.is_empty()
    }

    /// Lets the plugins follow the changes of a "what if", or of the way back from one, without evaluating nodes again.
    pub(super) fn back(&mut self, profile: &Profile, view: &View, pod: &PodInfo) {
        let Some(changes) = view.changes_since(self.seen) else { return };
        let changes: Vec<&Change> = changes.collect();
        for plugin in &self.active {
            let asked = &profile.plugins[*plugin].0;
            for change in &changes {
                if asked.touched(&mut self.prepared[*plugin], view, change) == Touched::All {
                    // What it prepares now has everything in it.
                    self.prepared[*plugin] = asked.prepare(view, pod);
                    break;
                }
            }
        }
        self.seen = view.now();
    }

    /// Says that the state is that of an earlier change again.
    pub(super) fn rewind(&mut self, to: u64) {
        self.seen = to;
    }

    fn start_over(&mut self, profile: &Profile, view: &View, pod: &PodInfo, scratch: &mut Scratch) {
        *self = Self::default();
        let plugins = &profile.plugins;
        self.prepared = plugins.iter().map(|(plugin, _)| plugin.prepare(view, pod)).collect();
        self.active = (0..plugins.len()).filter(|at| plugins[*at].0.concerned(&self.prepared[*at])).collect();
        for at in self.active.clone() {
            self.sort_scorer(profile, at);
        }
        self.apart = apart(view, pod).collect();
        (self.seen, self.epoch) = (view.now(), view.epoch());
        self.evaluate(profile, view, view.present(), scratch);
    }

    fn sort_scorer(&mut self, profile: &Profile, at: usize) {
        let (plugin, weight) = &profile.plugins[at];
        let normal = plugin.normal(&self.prepared[at]).filter(|_| *weight != 0);
        let classes = plugin.classes(&self.prepared[at]).is_some();
        match normal {
            Some(Normal::None) if !classes => self.plain_scorers.push((at, *weight)),
            Some(Normal::Whole) => self.wholes.push((at, *weight)),
            None if !classes => {}
            _ => self.parts.push(Part { plugin: at, classes, scored: normal.map(|normal| (normal, *weight)) }),
        }
    }

    /// Asks the plugins about some nodes again.
    fn evaluate(&mut self, profile: &Profile, view: &View, touched: &NodeSet, scratch: &mut Scratch) {
        touched.iter().for_each(|slot| self.retract(slot));
        let mut fitting: NodeSet = touched.iter().filter(|slot| view.present().contains(*slot)).collect();
        for plugin in &self.active {
            if fitting.is_empty() {
                break;
            }
            profile.plugins[*plugin].0.filter(&self.prepared[*plugin], view, &mut fitting, &mut self.why);
        }
        for slot in touched.iter().filter(|slot| !fitting.contains(*slot)) {
            if view.present().contains(slot) && self.why.of(slot).all(|reason| reason.resolvable) {
                self.helpable.insert(slot);
            }
        }
        self.score(profile, view, &fitting, scratch);
    }

    fn retract(&mut self, slot: usize) {
        self.why.clear(slot);
        self.helpable.remove(slot);
        if self.feasible.remove(slot) {
            self.groups.remove(self.group_of[slot], slot, self.plain[slot]);
        }
    }

    /// Scores the nodes that came to fit, and puts them into groups.
    fn score(&mut self, profile: &Profile, view: &View, fitting: &NodeSet, scratch: &mut Scratch) {
        let slots = view.slot_count();
        scratch.fit(slots, self.parts.len());
        self.plain.resize(slots.max(self.plain.len()), 0);
        self.group_of.resize(slots.max(self.group_of.len()), 0);
        fitting.iter().for_each(|slot| self.plain[slot] = 0);
        for (at, weight) in &self.plain_scorers {
            profile.plugins[*at].0.score(&self.prepared[*at], view, fitting, &mut scratch.plain);
            for slot in fitting.iter() {
                self.plain[slot] = self.plain[slot].saturating_add(weight.saturating_mul(scratch.plain[slot]));
            }
        }
        for (part, out) in self.parts.iter().zip(&mut scratch.parts) {
            let (plugin, prepared) = (&profile.plugins[part.plugin].0, &mut self.prepared[part.plugin]);
            match plugin.classes(prepared) {
                Some(classes) => classes.classify(prepared, view, fitting, out),
                None => plugin.score(prepared, view, fitting, out),
            }
        }
        for slot in fitting.iter() {
            scratch.key.clear();
            scratch.key.extend(scratch.parts.iter().take(self.parts.len()).map(|part| part[slot]));
            self.group_of[slot] = self.groups.insert(slot, &scratch.key, self.plain[slot]);
            self.feasible.insert(slot);
        }
    }

    pub(super) fn group_of(&self, slot: usize) -> u32 {
        self.group_of[slot]
    }

    pub(super) fn plain(&self, slot: usize) -> i64 {
        self.plain[slot]
    }
}

/// The terms of placed pods that mean a pod and want it apart.
fn apart<'a>(view: &'a View, pod: &'a PodInfo) -> impl Iterator<Item = TermId> + 'a {
    view.terms_meaning(pod).into_iter().filter(|(_, _, roles)| roles.apart > 0).map(|(id, ..)| id)
}

/// Adds the nodes that a plugin named. False when it named all.
fn spread_out(answer: Touched, change: &Change, view: &View, touched: &mut NodeSet) -> bool {
    match answer {
        Touched::None => {}
        Touched::Node if change.slot < view.slot_count() => touched.extend([change.slot]),
        Touched::Node => {}
        Touched::Nodes(nodes) => touched.extend(nodes.iter()),
        Touched::Domain { key, value } => match view.domains(&key) {
            Some(domains) => {
                touched.extend(domains.members(domains.id(Some(&value))).into_iter().flat_map(NodeSet::iter))
            }
            None => {
                let inside = view.nodes().filter(|(_, node)| node.labels.get(&key) == Some(&value));
                touched.extend(inside.map(|(slot, _)| slot));
            }
        },
        Touched::All => return false,
    }
    true
}
