//! Groups that start whole or not at all.

use std::sync::Arc;

use orc_core::Name;
use orc_core::env::Rng;

use super::Engine;
use super::decide::Placement;
use super::preempt::{Plan, Preemption, PreemptionArgs};
use crate::pod::PodInfo;
use crate::reasons::{FitError, Reason};
use crate::view::Placed;

/// Where the pods of a group can go once others have left, whole or not at all.
#[derive(Clone, PartialEq, Debug)]
pub struct GroupPreemption {
    /// The members that can start then, each with its node and what has to leave it for that member.
    pub members: Vec<(Arc<PodInfo>, Preemption)>,
}

impl Engine {
    /// Decides about pods of a group one after another, each as if those before it were placed. Nothing is assumed: the
    /// caller reserves what it gets, in the same order.
    ///
    /// # Errors
    /// Why the first pod that fits nowhere does not, when fewer than `least` pods do.
    ///
    /// # Panics
    /// When there is no such profile.
    pub fn decide_group(
        &mut self,
        profile: usize,
        pods: &[Arc<PodInfo>],
        least: usize,
        seed: u64,
    ) -> Result<Vec<(Name, Placement)>, FitError> {
        let seeds = Rng::seeded(seed);
        let mark = self.mark();
        let (mut placed, mut refused) = (Vec::new(), None);
        for pod in pods {
            match self.decide(profile, pod, seeds.next()).outcome {
                Ok(placement) => match self.reserve(profile, pod, &placement.node) {
                    Ok(_) => placed.push((pod.uid.clone(), placement)),
                    Err(why) => drop(refused.get_or_insert_with(|| self.cannot_keep(&why))),
                },
                Err(error) => drop(refused.get_or_insert(error)),
            }
        }
        self.undo(mark);
        match refused {
            Some(error) if placed.len() < least => Err(error),
            _ => Ok(placed),
        }
    }

    /// What a plugin offered and could not keep, as a reason of all nodes.
    fn cannot_keep(&self, why: &str) -> FitError {
        let nodes = self.view.present().len();
        let reason = Reason { text: why.into(), plugin: "Reserve", resolvable: false };
        FitError { nodes, reasons: vec![(reason, nodes)] }
    }

    /// Finds the pods that have to leave so that at least `least` pods of a group can start: all of them, or nobody leaves. The
    /// members are placed one after another in a "what if"; one that fits nowhere takes the place of pods of lower priority as
    /// it would alone. Those above `least` take away nobody. Nothing is changed.
    ///
    /// Kubernetes 1.36 has such preemption behind the gate `WorkloadAwarePreemption` (KEP-5710, alpha, off), for its `PodGroup`.
    ///
    /// # Errors
    /// Why taking pods away would not help, in Kubernetes' words.
    ///
    /// # Panics
    /// When there is no such profile.
    pub fn preempt_group(
        &mut self,
        profile: usize,
        pods: &[Arc<PodInfo>],
        least: usize,
        seed: u64,
        args: &PreemptionArgs,
    ) -> Result<GroupPreemption, String> {
        let seeds = Rng::seeded(seed);
        let mark = self.mark();
        let (mut members, mut refused) = (Vec::new(), None);
        for pod in pods {
            let enough = members.len() >= least;
            match self.make_room(profile, pod, &seeds, (!enough).then_some(args)) {
                Ok(found) => members.push((pod.clone(), found)),
                Err(why) => drop(refused.get_or_insert(why)),
            }
        }
        self.undo(mark);
        let takes = members.iter().any(|(_, found): &(_, Preemption)| !found.plan.victims.is_empty());
        match refused {
            Some(why) if members.len() < least => Err(why),
            _ if !takes => Err("preemption: the group needs nobody to leave.".to_owned()),
            _ => Ok(GroupPreemption { members }),
        }
    }

    /// Places a member, where others have to leave for it if need be; all of it is taken for true.
    fn make_room(
        &mut self,
        profile: usize,
        pod: &Arc<PodInfo>,
        seeds: &Rng,
        args: Option<&PreemptionArgs>,
    ) -> Result<Preemption, String> {
        let found = match (self.decide(profile, pod, seeds.next()).outcome, args) {
            (Ok(placement), _) => {
                let plan = Arc::new(Plan { victims: Vec::new(), violations: 0 });
                Preemption { node: placement.node, plan, displaced: Vec::new(), candidates: 1 }
            }
            (Err(error), None) => return Err(error.to_string()),
            (Err(_), Some(args)) => self.preempt(profile, pod, seeds.next(), args)?,
        };
        for displaced in &found.displaced {
            self.clear(&displaced.uid);
        }
        found.plan.victims.iter().for_each(|victim| self.without(victim));
        match self.reserve(profile, pod, &found.node) {
            Ok(_) => Ok(found),
            Err(why) => {
                found.plan.victims.iter().for_each(|victim| {
                    let (pod, node) = (victim.clone(), found.node.clone());
                    self.view.put_pod(Placed { pod, node, assumed: false });
                });
                Err(format!("preemption: {why}"))
            }
        }
    }

    /// How many pods of a pod's group have a node.
    pub fn placed_of_group(&self, pod: &PodInfo) -> usize {
        let Some(gang) = &pod.gang else { return 0 };
        let same = |other: &PodInfo| {
            other.key.namespace == pod.key.namespace && other.gang.as_ref().is_some_and(|own| own.name == gang.name)
        };
        self.view.all_placed().filter(|placed| !placed.pod.deleting && same(&placed.pod)).count()
    }
}
