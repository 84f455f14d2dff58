//! What leaves an object because its manager no longer speaks of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::extract::fields;
use super::managers::{Managed, Managers, Reach};
use super::merge::{remove, with_named};
use super::set::FieldSet;
use super::shape::Place;
use super::versions::Needed;

impl Managers {
    /// Takes out of the merged object what the last configuration held, the new one does not, and nobody else manages. It is
    /// taken out in the version of that last configuration; where that is no longer known, nothing is.
    pub(super) fn prune(&self, merged: Value, last: &Managed, reach: &Reach<'_>) -> Result<Value, Needed> {
        let version = last.api_version.as_str();
        let Some(place) = reach.place_in(version) else { return Ok(merged) };
        let Some(whole) = reach.in_version(&merged, version)? else { return Ok(merged) };
        let held = with_named(&last.set, place);
        let pruned = without(&whole, &held, place);
        let Some(pruned) = self.give_back(&whole, pruned, version, reach)? else { return Ok(merged) };
        // What the last configuration never held was not its to take.
        let kept = with_named(&fields(&pruned, place), place);
        let gone = with_named(&fields(&whole, place), place).difference(&kept).intersection(&held);
        let left = without(&whole, &gone, place);
        Ok(reach.in_version(&left, reach.api_version)?.unwrap_or(merged))
    }

    /// Puts back what somebody manages, version by version, that of the object first. `None` when it cannot be brought back
    /// to its version.
    fn give_back(
        &self,
        whole: &Value,
        mut pruned: Value,
        version: &str,
        reach: &Reach<'_>,
    ) -> Result<Option<Value>, Needed> {
        let mut managed: BTreeMap<&str, FieldSet> = BTreeMap::new();
        for one in self.0.values() {
            let all = managed.entry(&one.api_version).or_default();
            *all = std::mem::take(all).union(one.set.clone());
        }
        let own = managed.remove_entry(version);
        for (version, set) in own.into_iter().chain(managed) {
            let Some(place) = reach.place_in(version) else { continue };
            let there = (reach.in_version(whole, version)?, reach.in_version(&pruned, version)?);
            let (Some(whole), Some(left)) = there else { continue };
            let kept = with_named(&fields(&left, place), place).union(with_named(&set, place));
            let gone = with_named(&fields(&whole, place), place).difference(&kept);
            pruned = without(&whole, &gone, place);
        }
        reach.in_version(&pruned, version)
    }
}

fn without(value: &Value, gone: &FieldSet, place: Place<'_>) -> Value {
    remove(value, gone, place).unwrap_or_else(|| json!({}))
}
