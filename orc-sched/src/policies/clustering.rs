//! Pods that want GPUs alike go together.

use super::gpu::{Ask, GpuNode, WHOLE};
use super::rule::Rule;

/// A node with pods of the same number of devices alone is best, then one that has some of them, then an idle one (W. Xiao et
/// al., *Gandiva: introspective cluster scheduling for deep learning*, OSDI 2018); among those the fullest.
#[derive(Clone, Copy, Debug, Default)]
pub struct GpuClustering;

impl Rule for GpuClustering {
    fn name(&self) -> &'static str {
        "GpuClustering"
    }

    fn score(&self, ask: &Ask, node: &GpuNode<'_>) -> i64 {
        if ask.count == 0 {
            return 0;
        }
        let sorts = node.sorts();
        let base = match (sorts.contains(&(ask.count, ask.each == WHOLE)), sorts.len()) {
            (true, 1) => 75,
            (true, _) => 50,
            (false, 0) => 25,
            (false, _) => 0,
        };
        base + 25 * (8 * WHOLE - node.gpu()) / (8 * WHOLE)
    }
}
