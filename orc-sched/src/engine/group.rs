//! Groups that start whole or not at all.

use std::sync::Arc;

use orc_core::Name;
use orc_core::env::Rng;

use super::Engine;
use super::decide::Placement;
use crate::pod::PodInfo;
use crate::reasons::FitError;

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
                Ok(placement) => {
                    self.assume(pod, &placement.node);
                    placed.push((pod.uid.clone(), placement));
                }
                Err(error) => drop(refused.get_or_insert(error)),
            }
        }
        self.undo(mark);
        match refused {
            Some(error) if placed.len() < least => Err(error),
            _ => Ok(placed),
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
