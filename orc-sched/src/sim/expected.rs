//! The pods that a cluster is expected to see, and what of it they cannot use.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::workload::Job;
use crate::policies::gpu::{Ask, Devices, Typical, WHOLE};
use crate::view::View;

/// The pods that are expected, by those of the workload.
pub(super) struct Expected {
    typical: Arc<Typical>,
    /// CPU, memory and share of all pods of each class.
    classes: Vec<(i64, i64, f64)>,
}

/// More classes than this say little of what is typical.
const CLASSES: usize = 64;

impl Expected {
    pub(super) fn of<'a>(jobs: impl Iterator<Item = &'a Job>) -> Self {
        let asks: Vec<Ask> = jobs.map(|job| Ask::of(&job.pod)).collect();
        let typical = Typical::of(asks.iter().map(|ask| (ask, &[][..])));
        let mut counts: BTreeMap<(i64, i64), usize> = BTreeMap::new();
        asks.iter().for_each(|ask| *counts.entry((ask.cpu, ask.memory)).or_default() += 1);
        let mut sorted: Vec<_> = counts.into_iter().collect();
        sorted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        sorted.truncate(CLASSES);
        let all: usize = sorted.iter().map(|(_, count)| count).sum();
        let classes =
            sorted.into_iter().map(|((cpu, memory), count)| (cpu, memory, count as f64 / all as f64)).collect();
        Self { typical: Arc::new(typical), classes }
    }

    pub(super) fn typical(&self) -> &Arc<Typical> {
        &self.typical
    }

    /// What is free but of no use to them, in percent of all there is: of GPU, or of CPU where there are no GPUs.
    pub(super) fn fragmented(&self, view: &View) -> f64 {
        let devices = Devices::of(view);
        let (mut gpu, mut gpu_has, mut cpu, mut cpu_has) = (0.0, 0i64, 0.0, 0i64);
        for slot in view.present().iter() {
            let node = devices.node(slot);
            gpu += self.typical.fragmentation(&node);
            gpu_has += node.free().len() as i64 * WHOLE;
            let missing = self.classes.iter().filter(|(cpu, memory, _)| *cpu > node.cpu || *memory > node.memory);
            cpu += node.cpu as f64 * missing.map(|(_, _, share)| share).sum::<f64>();
            cpu_has += node.capacity().0;
        }
        let (lost, has) = if gpu_has > 0 { (gpu, gpu_has) } else { (cpu, cpu_has) };
        100.0 * lost / has.max(1) as f64
    }
}
