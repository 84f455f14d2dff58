//! What would have to leave a node for the pods of a sheet, remembered until the node changes.

use std::collections::HashMap;
use std::sync::Arc;

use super::preempt::Plan;
use crate::facts::FactKind;
use crate::set::NodeSet;
use crate::view::{Change, ChangeKind};

/// Plans by slot; `None` where nothing would help.
#[derive(Debug, Default)]
pub(super) struct Plans(HashMap<usize, Option<Arc<Plan>>>);

impl Plans {
    pub(super) fn get(&self, slot: usize) -> Option<&Option<Arc<Plan>>> {
        self.0.get(&slot)
    }

    pub(super) fn put(&mut self, slot: usize, plan: Option<Arc<Plan>>) {
        self.0.insert(slot, plan);
    }

    /// Forgets the plans of nodes that have changed, and all when a budget has.
    pub(super) fn forget(&mut self, touched: &NodeSet, changes: &[&Change]) {
        if self.0.is_empty() {
            return;
        }
        if changes.iter().any(|change| matches!(&change.kind, ChangeKind::Fact(key, _) if key.kind == FactKind::Budget))
        {
            self.0.clear();
        }
        for slot in touched.iter().chain(changes.iter().map(|change| change.slot)) {
            self.0.remove(&slot);
        }
    }
}
