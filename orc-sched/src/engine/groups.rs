//! Feasible nodes in groups that are scored as one.
//!
//! A total is made of a *plain* part, which is a node's own, and of parts that depend on other nodes: classes of plugins such
//! as spreading, and scores relative to the highest. Nodes of equal classes and equal relative raw scores are one group.
//! However many nodes a placed pod may concern, such as all of a zone, only the groups are gone through.

use super::ranks::Ranks;
use crate::view::ByName;

/// Nodes with one key.
#[derive(Debug)]
pub(super) struct Group {
    /// The class or raw score of each part, in the order of the sheet's parts.
    pub(super) key: Box<[i64]>,
    /// The slots by their plain score.
    pub(super) ranks: Ranks,
    /// How many there are.
    pub(super) len: usize,
}

/// All groups of a sheet.
#[derive(Debug, Default)]
pub(super) struct Groups {
    by_key: ByName<Box<[i64]>, u32>,
    list: Vec<Group>,
    free: Vec<u32>,
}

impl Groups {
    /// Adds a slot; returns the number of its group.
    pub(super) fn insert(&mut self, slot: usize, key: &[i64], plain: i64) -> u32 {
        let id = self.by_key.get(key).copied().unwrap_or_else(|| self.found(key));
        let group = &mut self.list[id as usize];
        group.ranks.insert(slot, plain);
        group.len += 1;
        id
    }

    fn found(&mut self, key: &[i64]) -> u32 {
        let group = Group { key: key.into(), ranks: Ranks::default(), len: 0 };
        let id = match self.free.pop() {
            Some(id) => {
                self.list[id as usize] = group;
                id
            }
            None => {
                self.list.push(group);
                // There are no more groups than nodes.
                u32::try_from(self.list.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.by_key.insert(key.into(), id);
        id
    }

    /// Takes a slot out of its group; an empty group is dissolved.
    pub(super) fn remove(&mut self, id: u32, slot: usize, plain: i64) {
        let group = &mut self.list[id as usize];
        group.ranks.remove(slot, plain);
        group.len -= 1;
        if group.len == 0 {
            self.by_key.remove(&group.key);
            self.free.push(id);
        }
    }

    /// The groups that have nodes, with their numbers.
    pub(super) fn live(&self) -> impl Iterator<Item = (u32, &Group)> {
        (0..).zip(&self.list).filter(|(_, group)| group.len > 0)
    }

    /// A group.
    pub(super) fn get(&self, id: u32) -> &Group {
        &self.list[id as usize]
    }
}
