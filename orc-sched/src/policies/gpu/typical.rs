//! The pods that a cluster is expected to see, and how fragmented a node is to them.

use std::collections::BTreeMap;

use super::{Ask, GpuNode, WHOLE};

/// One class of pods.
#[derive(Clone, PartialEq, Debug)]
pub struct Class {
    /// CPU in thousandths.
    pub cpu: i64,
    /// How many devices, and thousandths of each.
    pub gpu: (usize, i64),
    /// The types that will do; any when empty.
    pub models: Vec<String>,
    /// Its share of all pods.
    pub share: f64,
}

/// Classes of pods with their shares, which add up to 1.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Typical {
    classes: Vec<Class>,
    /// The different thousandths of a device that classes ask for, ascending; the last is a whole one.
    needs: Vec<i64>,
    /// The place in `needs` of each class.
    need: Vec<usize>,
}

/// Rare classes are left out once the others are this share of all pods.
const COVERED: f64 = 0.95;

impl Typical {
    /// The most frequent classes of pods that together are 95 % of them: (CPU, GPUs, types).
    pub fn of<'a>(pods: impl Iterator<Item = (&'a Ask, &'a [String])>) -> Self {
        let mut counts: BTreeMap<(i64, usize, i64, &[String]), usize> = BTreeMap::new();
        let mut all = 0;
        for (ask, models) in pods {
            *counts.entry((ask.cpu, ask.count, ask.each, models)).or_default() += 1;
            all += 1;
        }
        let mut sorted: Vec<_> = counts.into_iter().collect();
        sorted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let mut kept = 0;
        sorted.retain(|(_, count)| {
            let keep = (kept as f64) < COVERED * all as f64;
            kept += if keep { *count } else { 0 };
            keep
        });
        let class = |((cpu, count, each, models), pods): ((i64, usize, i64, &[String]), usize)| Class {
            cpu,
            gpu: (count, each),
            models: models.to_vec(),
            share: pods as f64 / kept as f64,
        };
        Self::new(sorted.into_iter().map(class).collect())
    }

    /// Classes as given; their shares should add up to 1.
    pub fn new(classes: Vec<Class>) -> Self {
        let mut needs: Vec<i64> = classes.iter().filter(|class| class.gpu.0 > 0).map(|class| class.gpu.1).collect();
        needs.push(WHOLE);
        needs.sort_unstable();
        needs.dedup();
        let place = |class: &Class| needs.iter().position(|need| *need == class.gpu.1).unwrap_or_default();
        let need = classes.iter().map(place).collect();
        Self { classes, needs, need }
    }

    /// The classes.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// How much free GPU of a node the next pod cannot be expected to use, in thousandths: for a class that fits the devices
    /// with less than it needs of one, for a class that does not fit (or wants no GPU) all that is free.
    pub fn fragmentation(&self, node: &GpuNode<'_>) -> f64 {
        let total = node.gpu();
        if total == 0 {
            return 0.0;
        }
        let free = node.free();
        let most = free.iter().copied().max().unwrap_or_default();
        let unused = free.iter().filter(|free| **free == WHOLE).count();
        let model = node.model();
        // What lies in devices below each need.
        let mut below = [0; 64];
        for (below, need) in below.iter_mut().zip(&self.needs) {
            *below = free.iter().filter(|free| *free < need).sum();
        }
        let lost = |(class, need): (&Class, &usize)| {
            let devices = match class.gpu {
                (0, _) => false,
                (_, WHOLE) => unused >= class.gpu.0,
                (_, each) => most >= each,
            };
            let fits = devices
                && class.cpu <= node.cpu
                && (class.models.is_empty() || class.models.iter().any(|wanted| wanted == model));
            let lost =
                if fits { below.get(*need).copied().unwrap_or_else(|| sum_below(free, class.gpu.1)) } else { total };
            class.share * lost as f64
        };
        self.classes.iter().zip(&self.need).map(lost).sum()
    }
}

fn sum_below(free: &[i64], need: i64) -> i64 {
    free.iter().filter(|free| **free < need).sum()
}
