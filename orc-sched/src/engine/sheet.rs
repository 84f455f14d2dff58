//! What plugins say of the nodes for pods that are alike, kept up to date.

use super::ranks::{Ranks, Spread, normalized};
use crate::plugin::{Normal, Prepared, Touched};
use crate::pod::PodInfo;
use crate::profile::Profile;
use crate::reasons::{FitError, Reasons};
use crate::set::NodeSet;
use crate::view::{Change, ChangeKind, View};

/// The feasible nodes with their scores, and why the others are not, for one signature.
pub(super) struct Sheet {
    prepared: Vec<Prepared>,
    /// The number of the first change that is not in here.
    seen: u64,
    feasible: NodeSet,
    why: Reasons,
    scorers: Vec<Scorer>,
    totals: Vec<i64>,
    ranks: Ranks,
}

/// One plugin's scores.
struct Scorer {
    plugin: usize,
    weight: i64,
    normal: Normal,
    raw: Vec<i64>,
    spread: Spread,
    /// The bounds with which the totals were made.
    bounds: (i64, i64),
}

impl Scorer {
    fn bounded(&self) -> bool {
        matches!(self.normal, Normal::Max { .. } | Normal::MinMax)
    }
}

impl Sheet {
    /// Asks the plugins about every node.
    pub(super) fn new(profile: &Profile, view: &View, pod: &PodInfo) -> Self {
        Self::among(profile, view, pod, view.present())
    }

    /// Asks the plugins about some nodes, as if there were no others.
    pub(super) fn among(profile: &Profile, view: &View, pod: &PodInfo, nodes: &NodeSet) -> Self {
        let mut sheet = Self {
            prepared: Vec::new(),
            seen: 0,
            feasible: NodeSet::new(),
            why: Reasons::new(),
            scorers: Vec::new(),
            totals: Vec::new(),
            ranks: Ranks::default(),
        };
        sheet.start_over(profile, view, pod, nodes);
        sheet
    }

    /// Takes in what has changed since it was last asked.
    pub(super) fn catch_up(&mut self, profile: &Profile, view: &View, pod: &PodInfo) {
        if self.seen == view.now() {
            return;
        }
        let Some(changes) = view.changes_since(self.seen) else {
            return self.start_over(profile, view, pod, view.present());
        };
        let mut touched = NodeSet::new();
        for change in changes {
            if !self.follow(profile, view, change, &mut touched) {
                return self.start_over(profile, view, pod, view.present());
            }
        }
        self.seen = view.now();
        self.evaluate(profile, view, &touched);
    }

    /// The best feasible nodes outside `barred`, with their score.
    pub(super) fn best(&self, barred: &NodeSet) -> Option<(i64, std::borrow::Cow<'_, NodeSet>)> {
        self.ranks.best(barred)
    }

    pub(super) fn feasible(&self) -> &NodeSet {
        &self.feasible
    }

    /// Whether the scores of the other nodes would be the same without these feasible ones.
    pub(super) fn scores_hold_without(&mut self, barred: &NodeSet) -> bool {
        let feasible = &self.feasible;
        let lost = || barred.iter().filter(|slot| feasible.contains(*slot));
        self.scorers.iter_mut().all(|scorer| match scorer.normal {
            Normal::None => true,
            Normal::Whole => lost().next().is_none(),
            Normal::Max { .. } | Normal::MinMax => {
                lost().for_each(|slot| scorer.spread.remove(scorer.raw[slot]));
                let bounds = scorer.spread.bounds();
                lost().for_each(|slot| scorer.spread.add(scorer.raw[slot]));
                bounds == scorer.bounds
            }
        })
    }

    pub(super) fn why(&self) -> &Reasons {
        &self.why
    }

    pub(super) fn error(&self, view: &View) -> FitError {
        FitError { nodes: view.present().len(), reasons: self.why.counted() }
    }

    fn start_over(&mut self, profile: &Profile, view: &View, pod: &PodInfo, nodes: &NodeSet) {
        self.prepared = profile.plugins.iter().map(|(plugin, _)| plugin.prepare(view, pod)).collect();
        let scoring = profile.plugins.iter().enumerate().filter(|(_, (_, weight))| *weight != 0);
        self.scorers = scoring
            .filter_map(|(plugin, (asked, weight))| {
                let normal = asked.normal(&self.prepared[plugin])?;
                Some(Scorer {
                    plugin,
                    weight: *weight,
                    normal,
                    raw: Vec::new(),
                    spread: Spread::default(),
                    bounds: (0, 0),
                })
            })
            .collect();
        self.feasible.clear();
        self.why = Reasons::new();
        self.ranks.clear();
        self.seen = view.now();
        self.evaluate(profile, view, nodes);
    }

    /// Tells the plugins of a change and collects the nodes that they name. False when one names all.
    fn follow(&mut self, profile: &Profile, view: &View, change: &Change, touched: &mut NodeSet) -> bool {
        if matches!(change.kind, ChangeKind::Node { .. }) {
            touched.insert(change.slot);
        }
        for ((plugin, _), prepared) in profile.plugins.iter().zip(&mut self.prepared) {
            match plugin.touched(prepared, change) {
                Touched::None => {}
                Touched::Node => touched.extend([change.slot]),
                Touched::Nodes(nodes) => touched.extend(nodes.iter()),
                Touched::Domain { key, value } => {
                    let inside = view.nodes().filter(|(_, node)| node.labels.get(&key) == Some(&value));
                    touched.extend(inside.map(|(slot, _)| slot));
                }
                Touched::All => return false,
            }
        }
        true
    }

    /// Asks the plugins about some nodes again.
    fn evaluate(&mut self, profile: &Profile, view: &View, touched: &NodeSet) {
        for slot in touched.iter() {
            self.retract(slot);
        }
        let mut fitting: NodeSet = touched.iter().filter(|slot| view.present().contains(*slot)).collect();
        for ((plugin, _), prepared) in profile.plugins.iter().zip(&self.prepared) {
            if fitting.is_empty() {
                break;
            }
            plugin.filter(prepared, view, &mut fitting, &mut self.why);
        }
        for slot in fitting.iter() {
            self.feasible.insert(slot);
        }
        let all = self.score(profile, view, &fitting);
        self.rank(view, all, &fitting);
    }

    fn retract(&mut self, slot: usize) {
        self.why.clear(slot);
        if self.feasible.remove(slot) {
            self.ranks.remove(slot, self.totals[slot]);
            for scorer in self.scorers.iter_mut().filter(|scorer| scorer.bounded()) {
                scorer.spread.remove(scorer.raw[slot]);
            }
        }
    }

    /// Scores the nodes that came to fit. Says whether the scores of all feasible nodes have changed with them.
    fn score(&mut self, profile: &Profile, view: &View, fitting: &NodeSet) -> bool {
        let mut all = false;
        for scorer in &mut self.scorers {
            scorer.raw.resize(view.slot_count(), 0);
            let (plugin, _) = &profile.plugins[scorer.plugin];
            let whole = scorer.normal == Normal::Whole;
            let nodes = if whole { &self.feasible } else { fitting };
            plugin.score(&self.prepared[scorer.plugin], view, nodes, &mut scorer.raw);
            if scorer.bounded() {
                fitting.iter().for_each(|slot| scorer.spread.add(scorer.raw[slot]));
                let bounds = scorer.spread.bounds();
                all |= bounds != scorer.bounds;
                scorer.bounds = bounds;
            }
            all |= whole;
        }
        all
    }

    fn rank(&mut self, view: &View, all: bool, fitting: &NodeSet) {
        self.totals.resize(view.slot_count(), 0);
        if all {
            self.ranks.clear();
        }
        let nodes = if all { &self.feasible } else { fitting };
        for slot in nodes.iter() {
            let scores =
                self.scorers.iter().map(|s| s.weight.saturating_mul(normalized(s.normal, s.raw[slot], s.bounds)));
            self.totals[slot] = scores.sum();
            self.ranks.insert(slot, self.totals[slot]);
        }
    }
}
