//! The least left over.

use super::dot_prod::{LARGEST_CPU, LARGEST_GPU};
use super::gpu::{Ask, GpuNode};
use super::rule::Rule;
use crate::plugin::Normal;

/// `100 (1 - sum of half of what is left over, scaled by the largest node)`, then between the lowest and the highest (R.
/// Panigrahy et al., *Heuristics for vector bin packing*, 2011, as in *Beware of fragmentation*).
#[derive(Clone, Copy, Debug, Default)]
pub struct BestFit;

impl Rule for BestFit {
    fn name(&self) -> &'static str {
        "BestFit"
    }

    fn normal(&self) -> Option<Normal> {
        Some(Normal::MinMax)
    }

    fn score(&self, ask: &Ask, node: &GpuNode<'_>) -> i64 {
        let cpu = (node.cpu - ask.cpu) as f64 / LARGEST_CPU;
        let gpu = (node.gpu() - ask.gpu()) as f64 / LARGEST_GPU;
        (100.0 * (1.0 - (cpu + gpu) / 2.0)) as i64
    }
}
