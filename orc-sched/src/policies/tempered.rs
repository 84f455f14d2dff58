//! Our own: FGD that also sees CPU running short beside free GPUs.

use std::sync::Arc;

use super::gpu::{Ask, GpuNode, Typical};
use super::rule::Rule;
use crate::pod::PodInfo;

/// How CPU that runs short is weighed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Temper {
    /// How many CPUs a free GPU should have beside it.
    pub beside: f64,
    /// What a missing CPU counts, in GPUs of fragmentation.
    pub weight: f64,
}

/// Fragmentation sees a node that has lost its CPU only once no typical pod fits any more. This policy counts, beside what FGD
/// counts, the CPUs that a node is short of for its free GPUs, so that pods with much CPU go where GPUs are gone already. The
/// weights were found with seeds that are not in the published table; `docs/design/fgd.md` says how, and what failed.
#[derive(Clone, Debug)]
pub struct Tempered {
    typical: Arc<Typical>,
    temper: Temper,
}

impl Tempered {
    /// With the weights that were found in the laboratory.
    pub fn new(typical: Arc<Typical>) -> Self {
        Self::with(typical, Temper { beside: 12.0, weight: 0.01 })
    }

    /// With other weights.
    pub fn with(typical: Arc<Typical>, temper: Temper) -> Self {
        Self { typical, temper }
    }

    /// What is lost of a node, in GPUs: a thousandth of a CPU that is short counts in thousandths of a GPU.
    fn lost(&self, node: &GpuNode<'_>) -> f64 {
        let short = (self.temper.beside * node.gpu() as f64 - node.cpu as f64).max(0.0);
        (self.typical.fragmentation(node) + self.temper.weight * short) / 1000.0
    }

    fn best(&self, ask: &Ask, node: &GpuNode<'_>) -> Option<(f64, usize)> {
        let before = self.lost(node);
        node.best_after(ask, |after| before - self.lost(after))
    }
}

impl Rule for Tempered {
    fn name(&self) -> &'static str {
        "Tempered"
    }

    fn score(&self, ask: &Ask, node: &GpuNode<'_>) -> i64 {
        // As coarse as FGD's: a finer score leaves no ties, and the fixed order among equals packs better than noise.
        self.best(ask, node).map_or(0, |(gain, _)| (100.0 / (1.0 + (-gain).exp())) as i64)
    }

    fn device(&self, _: &PodInfo, ask: &Ask, node: &GpuNode<'_>) -> Option<usize> {
        self.best(ask, node).map(|(_, index)| index)
    }
}
