//! Any node that will do, any device that has room.

use orc_core::env::Rng;

use super::gpu::{Ask, GpuNode};
use super::rule::Rule;
use crate::plugin::Normal;
use crate::pod::PodInfo;

/// Has no opinion: the seed of each decision chooses among the nodes that fit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Random {
    /// What devices are drawn from, with the pod's uid.
    pub seed: u64,
}

impl Rule for Random {
    fn name(&self) -> &'static str {
        "Random"
    }

    fn score(&self, _: &Ask, _: &GpuNode<'_>) -> i64 {
        0
    }

    fn normal(&self) -> Option<Normal> {
        None
    }

    fn device(&self, pod: &PodInfo, ask: &Ask, node: &GpuNode<'_>) -> Option<usize> {
        let fitting: Vec<usize> = (0..node.free().len()).filter(|index| node.free()[*index] >= ask.each).collect();
        // FNV-1a: each pod draws anew, and the same pod always the same.
        let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        let drawn = pod.uid.as_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, hash);
        let place = Rng::seeded(self.seed ^ drawn).below(fitting.len() as u64);
        fitting.get(usize::try_from(place).unwrap_or_default()).copied()
    }
}
