//! What a deletion does to an object: goes at once, or is marked and waits for finalizers or a grace period.
//!
//! Follows `rest.BeforeDelete` and `deletionFinalizersForGarbageCollection` of `k8s.io/apiserver`.

use std::time::Duration;

use jiff::Timestamp;
use orc_core::{ApiError, Doc};
use serde_json::Value;

use super::rules::{finalizers, raise_generation, set_finalizers, timestamp};
use crate::client::{DeleteOptions, Propagation};

/// The finalizer that asks the garbage collector to let dependents go.
pub const ORPHAN: &str = "orphan";
/// The finalizer that asks the garbage collector to delete dependents first.
pub const FOREGROUND: &str = "foregroundDeletion";

/// What a kind says of its deletion.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DeletionRules {
    /// Seconds the object is given to end by itself: `Some` for kinds that are deleted gracefully, as the kind resolved them
    /// from options and object. `Some(0)` goes at once.
    pub grace: Option<i64>,
    /// What becomes of dependents when neither the options nor the object say.
    pub propagation: Propagation,
}

/// What is to be done.
#[derive(Clone, PartialEq, Debug)]
pub enum DeletionStep {
    /// Remove the object.
    Now,
    /// Store this in its place.
    Mark(Doc),
    /// Nothing: the deletion is on its way.
    Nothing,
}

/// The next step of a deletion. Preconditions are checked before (see [`super::rules::check_preconditions`]).
///
/// # Errors
/// `InternalError` when the object's own timestamps do not read.
pub fn deletion_step(
    current: &Doc,
    options: &DeleteOptions,
    rules: &DeletionRules,
    now: Timestamp,
) -> Result<DeletionStep, ApiError> {
    let mut next = current.clone();
    let graceful = match rules.grace {
        None => Graceful::No,
        Some(grace) => begin_grace(&mut next, grace, options.grace_seconds, now)?,
    };
    if graceful == Graceful::Pending {
        return Ok(DeletionStep::Nothing);
    }
    let names = dependents_finalizers(&finalizers(&next), options, rules.propagation);
    set_finalizers(&mut next, &names);
    if graceful == Graceful::No {
        if names.is_empty() {
            return Ok(DeletionStep::Now);
        }
        mark(&mut next, now)?;
    }
    Ok(if next == *current { DeletionStep::Nothing } else { DeletionStep::Mark(next) })
}

#[derive(PartialEq, Eq)]
enum Graceful {
    No,
    Begun,
    Pending,
}

fn begin_grace(doc: &mut Doc, grace: i64, asked: Option<i64>, now: Timestamp) -> Result<Graceful, ApiError> {
    if let Some(at) = deletion_time(doc)? {
        let Some(running) = grace_of(doc) else { return Ok(Graceful::No) };
        return Ok(match asked {
            Some(shorter) if shorter < running => {
                let begun = at.checked_sub(seconds(running)).unwrap_or(at);
                set_deletion(doc, begun.checked_add(seconds(shorter)).unwrap_or(begun), shorter);
                if shorter == 0 && finalizers(doc).is_empty() { Graceful::No } else { Graceful::Begun }
            }
            _ if running == 0 && finalizers(doc).is_empty() => Graceful::No,
            _ => Graceful::Pending,
        });
    }
    if grace <= 0 {
        return Ok(Graceful::No);
    }
    set_deletion(doc, now.checked_add(seconds(grace)).unwrap_or(now), grace);
    if doc.at(&["metadata", "generation"]).is_some() {
        raise_generation(doc);
    }
    Ok(Graceful::Begun)
}

/// Marks an object that waits for finalizers only.
fn mark(doc: &mut Doc, now: Timestamp) -> Result<(), ApiError> {
    if grace_of(doc).is_none() && doc.at(&["metadata", "generation"]).is_some() {
        raise_generation(doc);
    }
    let at = deletion_time(doc)?.filter(|at| *at <= now).unwrap_or(now);
    set_deletion(doc, at, 0);
    Ok(())
}

fn set_deletion(doc: &mut Doc, at: Timestamp, grace: i64) {
    doc.set(&["metadata", "deletionTimestamp"], timestamp(at));
    doc.set(&["metadata", "deletionGracePeriodSeconds"], grace);
}

fn deletion_time(doc: &Doc) -> Result<Option<Timestamp>, ApiError> {
    let text = doc.str_at(&["metadata", "deletionTimestamp"]);
    text.map(|text| text.parse().map_err(|e| ApiError::internal(format!("metadata.deletionTimestamp: {e}"))))
        .transpose()
}

fn grace_of(doc: &Doc) -> Option<i64> {
    doc.at(&["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64)
}

fn seconds(n: i64) -> Duration {
    Duration::from_secs(n.max(0).unsigned_abs())
}

/// The finalizers after the wish for dependents has been written into them.
fn dependents_finalizers(names: &[String], options: &DeleteOptions, default: Propagation) -> Vec<String> {
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    let wish = options.propagation.unwrap_or(match () {
        () if has(ORPHAN) => Propagation::Orphan,
        () if has(FOREGROUND) => Propagation::Foreground,
        () => default,
    });
    let wanted = match wish {
        Propagation::Background => None,
        Propagation::Foreground => Some(FOREGROUND),
        Propagation::Orphan => Some(ORPHAN),
    };
    // The order stays when the set does: a second deletion changes nothing.
    let mut kept: Vec<String> = names
        .iter()
        .filter(|name| !matches!(name.as_str(), ORPHAN | FOREGROUND) || Some(name.as_str()) == wanted)
        .cloned()
        .collect();
    if let Some(wanted) = wanted.filter(|wanted| !has(wanted)) {
        kept.push(wanted.to_owned());
    }
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: &str = "2026-01-01T00:01:00Z";

    fn doc(metadata: serde_json::Value) -> Doc {
        Doc::from_value(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata})).unwrap()
    }

    fn step(current: &Doc, grace: Option<i64>, asked: Option<i64>) -> DeletionStep {
        let options = DeleteOptions { grace_seconds: asked, ..DeleteOptions::default() };
        let rules = DeletionRules { grace: grace.map(|own| asked.unwrap_or(own)), ..DeletionRules::default() };
        deletion_step(current, &options, &rules, NOW.parse().unwrap()).unwrap()
    }

    fn marked(step: DeletionStep) -> Doc {
        match step {
            DeletionStep::Mark(doc) => doc,
            other => panic!("not marked but {other:?}"),
        }
    }

    #[test]
    fn a_grace_period_runs_and_can_only_be_shortened() {
        let running = marked(step(&doc(json!({"name": "a", "generation": 1})), Some(30), None));
        let metadata = |doc: &Doc| doc.at(&["metadata"]).cloned().unwrap();
        let expected = json!({"name": "a", "generation": 2, "deletionTimestamp": "2026-01-01T00:01:30Z",
            "deletionGracePeriodSeconds": 30});
        assert_eq!(metadata(&running), expected);
        assert_eq!(step(&running, Some(30), None), DeletionStep::Nothing);
        assert_eq!(step(&running, Some(30), Some(60)), DeletionStep::Nothing);
        let shorter = marked(step(&running, Some(30), Some(5)));
        let expected = json!({"name": "a", "generation": 2, "deletionTimestamp": "2026-01-01T00:01:05Z",
            "deletionGracePeriodSeconds": 5});
        assert_eq!(metadata(&shorter), expected);
        assert_eq!(step(&running, Some(30), Some(0)), DeletionStep::Now);
    }

    #[test]
    fn finalizers_outlast_the_grace_period() {
        let held = doc(json!({"name": "a", "finalizers": ["x/y"]}));
        let running = marked(step(&held, Some(30), None));
        let ended = marked(step(&running, Some(30), Some(0)));
        assert_eq!(ended.at(&["metadata", "deletionGracePeriodSeconds"]), Some(&json!(0)));
        assert!(!super::super::rules::is_ready_to_go(&ended));
        let at_once = marked(step(&held, Some(30), Some(0)));
        assert_eq!(at_once.str_at(&["metadata", "deletionTimestamp"]), Some(NOW));
    }

    #[test]
    fn a_wish_for_dependents_replaces_the_earlier_one() {
        let current = doc(json!({"name": "a", "finalizers": ["x/y", "orphan"]}));
        let wish = |propagation| {
            let options = DeleteOptions { propagation, ..DeleteOptions::default() };
            let step = deletion_step(&current, &options, &DeletionRules::default(), NOW.parse().unwrap()).unwrap();
            finalizers(&marked(step))
        };
        assert_eq!(wish(None), ["x/y", "orphan"], "the object's own finalizer is its wish");
        assert_eq!(wish(Some(Propagation::Background)), ["x/y"]);
        assert_eq!(wish(Some(Propagation::Foreground)), ["x/y", "foregroundDeletion"]);
    }

    #[test]
    fn a_kind_may_orphan_by_default() {
        let rules = DeletionRules { propagation: Propagation::Orphan, ..DeletionRules::default() };
        let options = DeleteOptions::default();
        let step = deletion_step(&doc(json!({"name": "a"})), &options, &rules, NOW.parse().unwrap()).unwrap();
        assert_eq!(finalizers(&marked(step)), ["orphan"]);
    }
}
