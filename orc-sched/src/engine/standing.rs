//! How the groups of a sheet stand at one decision.

use super::decide::Placement;
use super::ranks::{RankSet, bounds, normalized, nth};
use super::sheet::{Part, Sheet};
use crate::plugin::Refusal;
use crate::profile::Profile;
use crate::reasons::{FitError, Reasons};
use crate::set::NodeSet;
use crate::view::View;

/// The groups that will do, with what is added to the plain score of each node.
pub(super) struct Standing {
    groups: Vec<(u32, i64)>,
    /// How many nodes they have, barred ones not counted.
    feasible: usize,
}

impl Standing {
    /// Whether a group will do, and what is added to its nodes.
    fn of(&self, group: u32) -> Option<i64> {
        self.groups.iter().find(|(id, _)| *id == group).map(|(_, offset)| *offset)
    }
}

impl Sheet {
    /// Judges and scores the groups. `barred` nodes count as not feasible.
    pub(super) fn standing(&self, profile: &Profile, barred: &NodeSet) -> Standing {
        let lost = |id: u32| {
            let feasible = barred.iter().filter(|slot| self.feasible.contains(*slot));
            feasible.filter(|slot| self.group_of(*slot) == id).count()
        };
        let mut open: Vec<(u32, usize, i64)> = Vec::new();
        for (id, group) in self.groups.live() {
            let nodes = group.len - if barred.is_empty() { 0 } else { lost(id) };
            if nodes > 0 && self.refusal(profile, &group.key).is_none() {
                open.push((id, nodes, 0));
            }
        }
        for (at, part) in self.parts.iter().enumerate() {
            self.add_part(profile, at, part, &mut open);
        }
        let feasible = open.iter().map(|(_, nodes, _)| nodes).sum();
        Standing { groups: open.into_iter().map(|(id, _, offset)| (id, offset)).collect(), feasible }
    }

    /// Whether a node will do by filters and classes.
    pub(super) fn passes(&self, profile: &Profile, slot: usize) -> bool {
        self.feasible.contains(slot) && self.refusal(profile, &self.groups.get(self.group_of(slot)).key).is_none()
    }

    /// Which plugin refuses the nodes of a group by its classes, and why.
    fn refusal(&self, profile: &Profile, key: &[i64]) -> Option<(&'static str, Refusal)> {
        let sorted = self.parts.iter().zip(key).filter(|(part, _)| part.classes);
        sorted.into_iter().find_map(|(part, class)| {
            let (plugin, prepared) = (&profile.plugins[part.plugin].0, &self.prepared[part.plugin]);
            plugin.classes(prepared)?.judge(prepared, *class).map(|refusal| (plugin.name(), refusal))
        })
    }

    fn add_part(&self, profile: &Profile, at: usize, part: &Part, open: &mut [(u32, usize, i64)]) {
        let Some((normal, weight)) = part.scored else { return };
        let own: Vec<(i64, usize)> = open.iter().map(|(id, nodes, _)| (self.groups.get(*id).key[at], *nodes)).collect();
        let mut raws = vec![0; own.len()];
        let prepared = &self.prepared[part.plugin];
        match profile.plugins[part.plugin].0.classes(prepared) {
            Some(classes) => classes.weigh(prepared, &own, &mut raws),
            None => raws.iter_mut().zip(&own).for_each(|(raw, (own, _))| *raw = *own),
        }
        let wide = bounds(raws.iter().copied());
        for ((_, _, offset), raw) in open.iter_mut().zip(raws) {
            *offset = offset.saturating_add(weight.saturating_mul(normalized(normal, raw, wide)));
        }
    }

    /// The best node: among equals the one that `choice` picks of their number, in slot order.
    pub(super) fn best(
        &self,
        profile: &Profile,
        view: &View,
        barred: &NodeSet,
        choice: impl Fn(usize) -> usize,
    ) -> Option<Placement> {
        let standing = self.standing(profile, barred);
        if !self.wholes.is_empty() {
            return self.best_of_all(profile, view, barred, &standing, choice);
        }
        let mut tied: (i64, usize, Vec<&RankSet>) = (i64::MIN, 0, Vec::new());
        for (id, offset) in &standing.groups {
            let Some((plain, slots, open)) = self.groups.get(*id).ranks.best(barred) else { continue };
            let total = plain.saturating_add(*offset);
            if total > tied.0 || tied.2.is_empty() {
                tied = (total, open, vec![slots]);
            } else if total == tied.0 {
                tied.1 += open;
                tied.2.push(slots);
            }
        }
        let (score, ties, sets) = tied;
        let slot = nth(&sets, barred, choice(ties))?;
        let node = view.node(slot)?.name.clone();
        Some(Placement { node, slot, score, feasible: standing.feasible, ties })
    }

    /// As [`Sheet::best`], where a plugin scores all feasible nodes together.
    fn best_of_all(
        &self,
        profile: &Profile,
        view: &View,
        barred: &NodeSet,
        standing: &Standing,
        choice: impl Fn(usize) -> usize,
    ) -> Option<Placement> {
        let open: NodeSet = self.open(standing, barred).map(|(slot, _)| slot).collect();
        let mut totals: Vec<i64> = vec![0; view.slot_count()];
        self.open(standing, barred).for_each(|(slot, total)| totals[slot] = total);
        let mut out = vec![0; view.slot_count()];
        for (at, weight) in &self.wholes {
            profile.plugins[*at].0.score(&self.prepared[*at], view, &open, &mut out);
            open.iter().for_each(|slot| totals[slot] = totals[slot].saturating_add(weight.saturating_mul(out[slot])));
        }
        let score = open.iter().map(|slot| totals[slot]).max()?;
        let tied: Vec<usize> = open.iter().filter(|slot| totals[*slot] == score).collect();
        let slot = *tied.get(choice(tied.len()))?;
        let node = view.node(slot)?.name.clone();
        Some(Placement { node, slot, score, feasible: open.len(), ties: tied.len() })
    }

    fn open<'a>(&'a self, standing: &'a Standing, barred: &'a NodeSet) -> impl Iterator<Item = (usize, i64)> + 'a {
        let groups = standing.groups.iter();
        let slots = groups.flat_map(|(id, offset)| {
            self.groups.get(*id).ranks.slots().map(move |(plain, slot)| (slot, plain.saturating_add(*offset)))
        });
        slots.filter(|(slot, _)| !barred.contains(*slot))
    }

    /// A certain node, if it will do.
    pub(super) fn only(&self, profile: &Profile, view: &View, barred: &NodeSet, slot: usize) -> Option<Placement> {
        if !self.feasible.contains(slot) || barred.contains(slot) {
            return None;
        }
        let standing = self.standing(profile, barred);
        let score = self.plain(slot).saturating_add(standing.of(self.group_of(slot))?);
        Some(Placement { node: view.node(slot)?.name.clone(), slot, score, feasible: 1, ties: 1 })
    }

    /// The nodes that classes refuse although removing pods could help.
    pub(super) fn helpable_classes(&self, profile: &Profile) -> NodeSet {
        let refused = self
            .groups
            .live()
            .filter(|(_, group)| self.refusal(profile, &group.key).is_some_and(|(_, refusal)| refusal.resolvable));
        refused.flat_map(|(_, group)| group.ranks.slots().map(|(_, slot)| slot)).collect()
    }

    /// The reasons of all nodes, those of barred ones as they stand with the nominated pods.
    pub(super) fn error(&self, profile: &Profile, view: &View, barred: &NodeSet, barred_why: &Reasons) -> FitError {
        let mut counts = self.why.counts();
        for slot in barred.iter() {
            barred_why.of(slot).for_each(|reason| counts.add(reason.clone(), 1));
        }
        for (id, group) in self.groups.live() {
            if let Some((plugin, refusal)) = self.refusal(profile, &group.key) {
                let lost = barred.iter().filter(|slot| self.feasible.contains(*slot) && self.group_of(*slot) == id);
                counts.add_refusal(plugin, refusal, group.len - lost.count());
            }
        }
        FitError { nodes: view.present().len(), reasons: counts.finish() }
    }
}
