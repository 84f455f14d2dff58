//! Fragmentation gradient descent.

use std::sync::Arc;

use super::gpu::{Ask, GpuNode, Typical};
use super::rule::Rule;
use crate::pod::PodInfo;

/// The node, and the device of it, that becomes least fragmented (Q. Weng et al., *Beware of fragmentation: scheduling
/// GPU-sharing workloads with fragmentation gradient descent*, USENIX ATC 2023): `100 sigmoid((F - F after) / 1000)`.
#[derive(Clone, Debug)]
pub struct Fgd {
    /// The pods that are expected.
    pub typical: Arc<Typical>,
}

impl Fgd {
    fn best(&self, ask: &Ask, node: &GpuNode<'_>) -> Option<(i64, usize)> {
        let before = self.typical.fragmentation(node);
        node.best_after(ask, |after| {
            let gain = (before - self.typical.fragmentation(after)) / 1000.0;
            (100.0 / (1.0 + (-gain).exp())) as i64
        })
    }
}

impl Rule for Fgd {
    fn name(&self) -> &'static str {
        "FGD"
    }

    fn score(&self, ask: &Ask, node: &GpuNode<'_>) -> i64 {
        self.best(ask, node).map_or(0, |(score, _)| score)
    }

    fn device(&self, _: &PodInfo, ask: &Ask, node: &GpuNode<'_>) -> Option<usize> {
        self.best(ask, node).map(|(_, index)| index)
    }
}
