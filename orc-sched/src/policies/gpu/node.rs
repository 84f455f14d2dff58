//! A node as policies read it.

use std::collections::BTreeSet;

use super::{Ask, MODEL, MOST, WHOLE, device};
use crate::view::{CPU, MEMORY, View};

/// The columns of devices, looked up once for many nodes.
#[derive(Debug)]
pub struct Devices<'a> {
    view: &'a View,
    columns: [Option<(&'a [i64], &'a [i64])>; MOST],
}

impl<'a> Devices<'a> {
    /// Looks the columns up.
    pub fn of(view: &'a View) -> Self {
        let columns = view.columns();
        let of = |index: usize| {
            let column = columns.column(device(index))?;
            Some((columns.allocatable(column), columns.requested(column)))
        };
        Self { view, columns: std::array::from_fn(of) }
    }

    /// A node as it stands.
    pub fn node(&self, slot: usize) -> GpuNode<'a> {
        let columns = self.view.columns();
        let left = |column: usize| columns.allocatable(column)[slot] - columns.requested(column)[slot];
        let mut node =
            GpuNode { view: self.view, slot, cpu: left(CPU), memory: left(MEMORY), free: [0; MOST], devices: 0 };
        for (has, used) in self.columns.iter().map_while(Option::as_ref) {
            if has[slot] == 0 {
                break;
            }
            node.free[node.devices] = has[slot] - used[slot];
            node.devices += 1;
        }
        node
    }
}

/// What is free on a node. A copy: rules change it to ask what would be.
#[derive(Clone, Copy, Debug)]
pub struct GpuNode<'a> {
    view: &'a View,
    slot: usize,
    /// Free CPU in thousandths.
    pub cpu: i64,
    /// Free memory in bytes.
    pub memory: i64,
    free: [i64; MOST],
    devices: usize,
}

impl<'a> GpuNode<'a> {
    /// What is free of each device, in thousandths.
    pub fn free(&self) -> &[i64] {
        &self.free[..self.devices]
    }

    /// What is free of all devices together.
    pub fn gpu(&self) -> i64 {
        self.free().iter().sum()
    }

    /// The type of the devices; empty when the node does not say.
    pub fn model(&self) -> &'a str {
        self.view.node(self.slot).and_then(|node| node.labels.get(MODEL)).map_or("", String::as_str)
    }

    /// What the node has of CPU in thousandths and of memory in bytes.
    pub fn capacity(&self) -> (i64, i64) {
        let columns = self.view.columns();
        (columns.allocatable(CPU)[self.slot], columns.allocatable(MEMORY)[self.slot])
    }

    /// The devices that nobody uses.
    pub fn whole(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.devices).filter(|index| self.free[*index] == WHOLE)
    }

    /// The device with the least left that still has so many thousandths.
    pub fn tightest(&self, each: i64) -> Option<usize> {
        (0..self.devices).filter(|index| self.free[*index] >= each).min_by_key(|index| self.free[*index])
    }

    /// Whether devices suffice.
    pub fn has_devices(&self, ask: &Ask) -> bool {
        ask.count == 0 || self.free().iter().filter(|free| **free >= ask.each).take(ask.count).count() == ask.count
    }

    /// The node once a pod is there; a share is taken from `index`.
    #[must_use]
    pub fn after(mut self, ask: &Ask, index: usize) -> Self {
        self.cpu -= ask.cpu;
        self.memory -= ask.memory;
        if ask.count == 1 && ask.each < WHOLE {
            self.free[index] -= ask.each;
            return self;
        }
        let mut left = ask.count;
        for free in &mut self.free[..self.devices] {
            if left > 0 && *free == WHOLE {
                *free = 0;
                left -= 1;
            }
        }
        self
    }

    /// The best of what `score` says of the node afterwards, with the device that a share comes from; among equals the first.
    pub fn best_after<T: PartialOrd>(&self, ask: &Ask, mut score: impl FnMut(&Self) -> T) -> Option<(T, usize)> {
        if ask.count != 1 || ask.each == WHOLE {
            return Some((score(&self.after(ask, 0)), 0));
        }
        let mut best: Option<(T, usize)> = None;
        for index in (0..self.devices).filter(|index| self.free[*index] >= ask.each) {
            if self.free[..index].contains(&self.free[index]) {
                continue;
            }
            let score = score(&self.after(ask, index));
            if best.as_ref().is_none_or(|(best, _)| score > *best) {
                best = Some((score, index));
            }
        }
        best
    }

    /// The sorts of GPU pods on the node: how many devices each asks for, and whether whole.
    pub fn sorts(&self) -> BTreeSet<(usize, bool)> {
        let asks = self.view.pods_on(self.slot).map(|pod| Ask::of(pod));
        asks.filter(|ask| ask.count > 0).map(|ask| (ask.count, ask.each == WHOLE)).collect()
    }
}
