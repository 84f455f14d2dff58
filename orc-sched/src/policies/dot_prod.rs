//! Alignment: the less a node's free vector points along the pod's, the better.

use super::gpu::{Ask, GpuNode};
use super::rule::Rule;

/// The largest node of the trace, by which vectors are scaled: CPU in thousandths.
pub(super) const LARGEST_CPU: f64 = 128_000.0;
/// The same of GPU.
pub(super) const LARGEST_GPU: f64 = 8_000.0;

/// `100 (1 - dot / 2)` of the free vector of the node and the vector of the pod, each scaled by the largest node (R. Grandl et
/// al., *Multi-resource packing for cluster schedulers*, SIGCOMM 2014; the sign as in *Beware of fragmentation*).
#[derive(Clone, Copy, Debug, Default)]
pub struct DotProd;

impl Rule for DotProd {
    fn name(&self) -> &'static str {
        "DotProd"
    }

    fn score(&self, ask: &Ask, node: &GpuNode<'_>) -> i64 {
        let cpu = node.cpu as f64 / LARGEST_CPU * (ask.cpu as f64 / LARGEST_CPU);
        let gpu = node.gpu() as f64 / LARGEST_GPU * (ask.gpu() as f64 / LARGEST_GPU);
        (100.0 * (1.0 - (cpu + gpu) / 2.0)) as i64
    }
}
