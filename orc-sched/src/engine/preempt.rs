//! Preemption: which pods of lower priority would have to leave which node.
//!
//! As Kubernetes' `DefaultPreemption`: candidates are sampled from a random node on, budgets are violated only where there is
//! no other way, as many pods as possible are spared in the order of their importance, and the cheapest node wins. Everything
//! happens in "what ifs" on the very view that decisions read; nothing remains but the answer.

use std::cmp::Reverse;
use std::sync::Arc;

use jiff::Timestamp;
use orc_core::Name;
use orc_core::env::Rng;

use super::Engine;
use crate::facts::{Budget, Fact, FactKind};
use crate::pod::PodInfo;
use crate::reasons::{FitError, Reasons};
use crate::set::NodeSet;
use crate::view::{Nominated, Placed};

/// How many nodes are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PreemptionArgs {
    /// In hundredths of the nodes where preemption could help.
    pub min_candidate_nodes_percentage: u32,
    /// But at least this many.
    pub min_candidate_nodes_absolute: u32,
}

impl Default for PreemptionArgs {
    /// Kubernetes' defaults.
    fn default() -> Self {
        Self { min_candidate_nodes_percentage: 10, min_candidate_nodes_absolute: 100 }
    }
}

/// What would have to leave a node.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// The pods, the most important first.
    pub victims: Vec<Arc<PodInfo>>,
    /// How many of them are protected by a budget that is used up.
    pub violations: usize,
}

/// Where a pod can go once others have left.
#[derive(Clone, PartialEq, Debug)]
pub struct Preemption {
    /// The node.
    pub node: Name,
    /// What has to leave it.
    pub plan: Arc<Plan>,
    /// Pods of lower priority that the node was nominated for; they have to look elsewhere.
    pub displaced: Vec<Arc<PodInfo>>,
    /// How many nodes would have done.
    pub candidates: usize,
}

const NOT_HELPFUL: &str = "Preemption is not helpful for scheduling";
const NO_VICTIMS: &str = "No preemption victims found for incoming pod";
const PLUGIN: &str = "DefaultPreemption";

impl Engine {
    /// Finds the pods that cost least to take away for a pod that fits nowhere. Nothing is changed.
    ///
    /// # Errors
    /// Why taking pods away would not help, in Kubernetes' words.
    ///
    /// # Panics
    /// When there is no such profile.
    pub fn preempt(
        &mut self,
        profile: usize,
        pod: &PodInfo,
        seed: u64,
        args: &PreemptionArgs,
    ) -> Result<Preemption, String> {
        self.open_sheet(profile, pod);
        if let Some(why) = self.not_eligible(profile, pod) {
            return Err(why.to_owned());
        }
        let (sheet, plugins) = (self.sheets[profile].last(), &self.profiles[profile]);
        // Nodes that only nominated pods bar are feasible by the sheet.
        let nominated = self.ahead(pod).filter_map(|ahead| self.view.slot(&ahead.node));
        let barred = nominated.filter(|slot| sheet.passes(plugins, *slot));
        let hopeful: NodeSet =
            sheet.helpable.iter().chain(sheet.helpable_classes(plugins).iter()).chain(barred).collect();
        let mut why = Reasons::new();
        let found = self.candidates(profile, pod, &hopeful, seed, args, &mut why);
        let candidates = found.len();
        let Some((slot, plan)) = found.into_iter().min_by_key(|(_, plan)| cost(plan)) else {
            let hopeless = self.view.present().iter().filter(|slot| !hopeful.contains(*slot));
            hopeless.for_each(|slot| why.refuse(slot, PLUGIN, NOT_HELPFUL, false));
            let error = FitError { nodes: self.view.present().len(), reasons: why.counted() };
            return Err(format!("preemption: {}", self.told(profile, pod, error)));
        };
        let node = self.view.node(slot).map(|node| node.name.clone()).unwrap_or_default();
        let displaced = self.view.nominations().filter(|other| other.node == node && other.pod.priority < pod.priority);
        let displaced = displaced.map(|other| other.pod.clone()).collect();
        Ok(Preemption { node, plan, displaced, candidates })
    }

    fn not_eligible(&self, profile: usize, pod: &PodInfo) -> Option<&'static str> {
        if !pod.preempts {
            return Some("preemption: not eligible due to preemptionPolicy=Never.");
        }
        let nominated =
            self.view.nomination(&pod.uid).map(|nominated| nominated.node.clone()).or(pod.nominated.clone());
        let slot = nominated.and_then(|node| self.view.slot(&node))?;
        let hopeless = || self.sheets[profile].last().why.of(slot).any(|reason| !reason.resolvable);
        let leaving = |other: &Arc<PodInfo>| other.deleting && other.preempted && other.priority < pod.priority;
        (self.view.pods_on(slot).any(leaving) && !hopeless())
            .then_some("preemption: not eligible due to terminating pod on the nominated node.")
    }

    /// Nodes with what would have to leave them, in slot order from a random one on, as many as are wanted.
    fn candidates(
        &mut self,
        profile: usize,
        pod: &PodInfo,
        hopeful: &NodeSet,
        seed: u64,
        args: &PreemptionArgs,
        why: &mut Reasons,
    ) -> Vec<(usize, Arc<Plan>)> {
        let nodes = hopeful.len();
        let share = nodes * args.min_candidate_nodes_percentage as usize / 100;
        let wanted = share.max(args.min_candidate_nodes_absolute as usize).min(nodes);
        let first = usize::try_from(Rng::seeded(seed).below(nodes as u64)).unwrap_or_default();
        let first = hopeful.nth(first).unwrap_or_default();
        let budgets = self.budgets();
        let (mut found, mut clean) = (Vec::new(), false);
        for slot in hopeful.iter_from(first) {
            if clean && found.len() >= wanted {
                break;
            }
            if let Some(plan) = self.plan(profile, pod, slot, &budgets, why) {
                clean |= plan.violations == 0;
                found.push((slot, plan));
            }
        }
        found
    }

    fn budgets(&self) -> Vec<(Name, Budget)> {
        let all = self.view.facts().all(FactKind::Budget);
        all.filter_map(|(key, fact)| match fact {
            Fact::Budget(budget) if !budget.selector.requirements().is_empty() => {
                Some((key.namespace.clone(), budget.clone()))
            }
            _ => None,
        })
        .collect()
    }

    /// What would have to leave a node; remembered where it depends on that node alone.
    fn plan(
        &mut self,
        profile: usize,
        pod: &PodInfo,
        slot: usize,
        budgets: &[(Name, Budget)],
        why: &mut Reasons,
    ) -> Option<Arc<Plan>> {
        let node = self.view.node(slot)?.name.clone();
        let ahead: Vec<Nominated> = self.ahead(pod).filter(|ahead| ahead.node == node).cloned().collect();
        let sheet = self.sheets[profile].last();
        let plugins = &self.profiles[profile].plugins;
        let local = ahead.is_empty() && sheet.active.iter().all(|at| plugins[*at].0.local());
        // A plan that was found once is remembered; why there is none is not.
        if let Some(Some(plan)) = sheet.plans.get(slot).filter(|_| local)
            && plan.victims.iter().all(|victim| victim.priority < pod.priority)
        {
            return Some(plan.clone());
        }
        let plan = self.what_if(profile, pod, |engine| engine.dry_run(profile, pod, slot, &ahead, budgets, why));
        let plan = plan.map(Arc::new);
        if local {
            self.sheets[profile].last_mut().plans.put(slot, plan.clone());
        }
        plan
    }

    fn dry_run(
        &mut self,
        profile: usize,
        pod: &PodInfo,
        slot: usize,
        ahead: &[Nominated],
        budgets: &[(Name, Budget)],
        why: &mut Reasons,
    ) -> Option<Plan> {
        let lower = self.view.pods_on(slot).filter(|other| other.priority < pod.priority);
        let mut lower: Vec<Placed> = lower.filter_map(|other| self.view.placed(&other.uid)).cloned().collect();
        if lower.is_empty() {
            why.refuse(slot, PLUGIN, NO_VICTIMS, false);
            return None;
        }
        lower.iter().for_each(|placed| self.without(&placed.pod));
        if !self.fits(profile, pod, slot, ahead, why) {
            return None;
        }
        lower.sort_by_key(|placed| importance(&placed.pod));
        let violating = violating(&lower, budgets);
        let (protected, free): (Vec<_>, Vec<_>) = lower.into_iter().zip(violating).partition(|(_, bad)| *bad);
        let mut plan = Plan { victims: Vec::new(), violations: 0 };
        for (placed, bad) in protected.into_iter().chain(free) {
            let victim = placed.pod.clone();
            self.view.put_pod(placed);
            if !self.fits(profile, pod, slot, ahead, &mut Reasons::new()) {
                self.without(&victim);
                plan.violations += usize::from(bad);
                plan.victims.push(victim);
            }
        }
        plan.victims.sort_by_key(|victim| importance(victim));
        Some(plan)
    }

    /// Whether a node would do, alone and with the pods that it is nominated for.
    fn fits(&mut self, profile: usize, pod: &PodInfo, slot: usize, ahead: &[Nominated], why: &mut Reasons) -> bool {
        if !self.probe(profile, pod, slot, why) {
            return false;
        }
        if ahead.is_empty() {
            return true;
        }
        ahead.iter().for_each(|nominated| self.count_in(nominated));
        let fits = self.probe(profile, pod, slot, why);
        ahead.iter().for_each(|nominated| self.without(&nominated.pod));
        fits
    }
}

/// The order of importance: high priority first, then those that run longest.
fn importance(pod: &PodInfo) -> (Reverse<i32>, Timestamp, Name) {
    (Reverse(pod.priority), pod.started.unwrap_or(Timestamp::MAX), pod.uid.clone())
}

/// Which pods, taken away in this order, are more than a budget allows.
fn violating(pods: &[Placed], budgets: &[(Name, Budget)]) -> Vec<bool> {
    let mut left: Vec<i32> = budgets.iter().map(|(_, budget)| budget.allowed).collect();
    let mut taken = |pod: &PodInfo| {
        let mut bad = false;
        for ((namespace, budget), left) in budgets.iter().zip(&mut left) {
            let protects = *namespace == *pod.key.namespace_str() && budget.selector.matches(&pod.labels);
            if protects && !budget.disrupted.contains(&pod.key.name) {
                *left -= 1;
                bad |= *left < 0;
            }
        }
        bad
    };
    pods.iter().map(|placed| taken(&placed.pod)).collect()
}

/// What a plan costs, in Kubernetes' order: violated budgets, the highest priority, the sum of priorities, the number of pods,
/// and how long the most important ones have run, where less is better.
fn cost(plan: &Plan) -> (usize, i32, i64, usize, Reverse<Timestamp>) {
    let highest = plan.victims.first().map_or(i32::MIN, |victim| victim.priority);
    // Negative priorities count as positive numbers, so that few are less than many.
    let sum = plan.victims.iter().map(|victim| i64::from(victim.priority) + i64::from(i32::MAX) + 1).sum();
    let oldest = plan.victims.iter().filter(|victim| victim.priority == highest).map(|victim| victim.started);
    let oldest = oldest.map(|started| started.unwrap_or(Timestamp::MAX)).min().unwrap_or(Timestamp::MAX);
    (plan.violations, highest, sum, plan.victims.len(), Reverse(oldest))
}
