//! Shared GPUs first, then whole ones of used nodes, then idle nodes.

use super::gpu::{Ask, GpuNode, WHOLE};
use super::rule::Rule;

/// Spares idle nodes, and among used ones unused GPUs (Q. Weng et al., *MLaaS in the wild*, NSDI 2022).
#[derive(Clone, Copy, Debug, Default)]
pub struct GpuPacking;

impl Rule for GpuPacking {
    fn name(&self) -> &'static str {
        "GpuPacking"
    }

    fn score(&self, ask: &Ask, node: &GpuNode<'_>) -> i64 {
        if ask.count == 0 {
            return 0;
        }
        let free = node.free();
        if node.whole().count() == free.len() {
            return 33 - free.len() as i64;
        }
        let mut fitting: Vec<i64> = free.iter().copied().filter(|free| *free >= ask.each).collect();
        fitting.sort_unstable();
        fitting.truncate(ask.count);
        let opened = fitting.iter().filter(|free| **free == WHOLE).count() as i64;
        if opened > 0 {
            return (50 - opened).max(33);
        }
        let percent: i64 = fitting.iter().map(|free| free * 100 / WHOLE).sum();
        (100 - percent / 10).max(50)
    }
}
