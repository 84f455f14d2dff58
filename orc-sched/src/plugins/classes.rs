//! Helpers of plugins that count pods by place and sort nodes into classes.

use std::collections::HashMap;

use orc_core::Name;

use crate::node::NodeInfo;
use crate::set::NodeSet;
use crate::view::{DomainId, NO_DOMAIN, View};

/// The most places of a topology key for which a node's class names its place. With more, a class holds the place's number
/// instead, and a change of that number is a change of class for the nodes of the place, which are few then.
pub(super) const COARSE: usize = 64;

/// Numbers by topology key and place.
#[derive(Debug, Default)]
pub(super) struct Tally {
    keys: Vec<(Name, HashMap<DomainId, i64>)>,
    /// The sum of all numbers.
    pub(super) total: i64,
}

impl Tally {
    pub(super) fn of(keys: impl Iterator<Item = Name>) -> Self {
        let mut keys: Vec<Name> = keys.collect();
        keys.sort();
        keys.dedup();
        Self { keys: keys.into_iter().map(|key| (key, HashMap::new())).collect(), total: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Name> {
        self.keys.iter().map(|(key, _)| key)
    }

    /// Adds to the place of a node. Returns the place with the number before and after; none when the node has no such label.
    pub(super) fn add(&mut self, view: &View, key: &Name, node: &NodeInfo, n: i64) -> Option<(DomainId, i64, i64)> {
        let (_, counts) = self.keys.iter_mut().find(|(own, _)| own == key)?;
        let id = view.domains(key).map_or(NO_DOMAIN, |domains| domains.id(node.labels.get(&**key)));
        if id == NO_DOMAIN || n == 0 {
            return None;
        }
        let count = counts.entry(id).or_default();
        let before = *count;
        *count += n;
        let after = *count;
        if after == 0 {
            counts.remove(&id);
        }
        self.total += n;
        Some((id, before, after))
    }

    /// The number of a place.
    pub(super) fn get(&self, key: &str, id: DomainId) -> i64 {
        let counts = self.keys.iter().find(|(own, _)| **own == *key);
        counts.and_then(|(_, counts)| counts.get(&id)).copied().unwrap_or_default()
    }

    /// The place of a slot and its number; `None` where the node does not have the label.
    pub(super) fn at(&self, view: &View, key: &str, slot: usize) -> Option<i64> {
        let id = view.domains(key)?.at(slot);
        (id != NO_DOMAIN).then(|| self.get(key, id))
    }
}

/// Adds the nodes of a place.
pub(super) fn add_members(view: &View, key: &str, id: DomainId, nodes: &mut NodeSet) {
    let members = view.domains(key).and_then(|domains| domains.members(id));
    nodes.extend(members.into_iter().flat_map(NodeSet::iter));
}

/// Numbers for tuples, given in the order of asking.
#[derive(Debug, Default)]
pub(super) struct Tuples {
    ids: HashMap<Box<[i64]>, i64>,
    list: Vec<Box<[i64]>>,
}

impl Tuples {
    pub(super) fn id(&mut self, tuple: &[i64]) -> i64 {
        if let Some(id) = self.ids.get(tuple) {
            return *id;
        }
        let id = i64::try_from(self.list.len()).unwrap_or(i64::MAX);
        self.ids.insert(tuple.into(), id);
        self.list.push(tuple.into());
        id
    }

    pub(super) fn get(&self, id: i64) -> &[i64] {
        usize::try_from(id).ok().and_then(|id| self.list.get(id)).map_or(&[], |tuple| tuple)
    }

    /// Whether far more were asked for than there can be at a time: it is time to prepare anew.
    pub(super) fn crowded(&self, view: &View) -> bool {
        self.list.len() > 4 * view.slot_count() + 65_536
    }
}
