//! Our own: FGD at full resolution, with what the others know.

use std::sync::Arc;

use super::gpu::{Ask, GpuNode, Typical};
use super::rule::Rule;
use crate::pod::PodInfo;

/// What is weighed beside the gain in fragmentation.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Temper {
    /// How much a left-over CPU share of the largest node counts.
    pub cpu: f64,
    /// How much a left-over GPU share of the largest node counts.
    pub gpu: f64,
    /// How much CPU left over per free GPU below what the mean pod needs counts.
    pub stranded: f64,
    /// How much memory counts.
    pub memory: f64,
}

/// See `docs/design/fgd.md`.
#[derive(Clone, Debug)]
pub struct Tempered {
    typical: Arc<Typical>,
    temper: Temper,
}

impl Tempered {
    /// With the weights that were found in the laboratory.
    pub fn new(typical: Arc<Typical>) -> Self {
        Self::with(typical, Temper { cpu: 0.1, gpu: 0.1, stranded: 0.0, memory: 0.0 })
    }

    /// With other weights.
    pub fn with(typical: Arc<Typical>, temper: Temper) -> Self {
        Self { typical, temper }
    }

    fn best(&self, ask: &Ask, node: &GpuNode<'_>) -> Option<(f64, usize)> {
        let before = self.typical.fragmentation(node);
        node.best_after(ask, |after| {
            let gain = (before - self.typical.fragmentation(after)) / 1000.0;
            let Temper { cpu, gpu, .. } = self.temper;
            gain - cpu * after.cpu as f64 / 128_000.0 - gpu * after.gpu() as f64 / 8_000.0
        })
    }
}

impl Rule for Tempered {
    fn name(&self) -> &'static str {
        "Tempered"
    }

    fn score(&self, ask: &Ask, node: &GpuNode<'_>) -> i64 {
        self.best(ask, node).map_or(0, |(score, _)| (score * 1000.0).round() as i64)
    }

    fn device(&self, _: &PodInfo, ask: &Ask, node: &GpuNode<'_>) -> Option<usize> {
        self.best(ask, node).map(|(_, index)| index)
    }
}
