//! When a pod must leave a node with `NoExecute` taints. Follows `pkg/controller/tainteviction` of upstream.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Taint, Toleration};
use orc_core::ObjectKey;
use parking_lot::Mutex;

use crate::controllers::support::meta;

/// When taints were first seen, by node: `kubectl taint` gives them no time. Bounded by the nodes and their taints.
#[derive(Default)]
pub(crate) struct Seen(Mutex<BTreeMap<ObjectKey, Vec<Taint>>>);

impl Seen {
    /// The taints, each with a time: its own, or the one at which it was first asked about.
    pub(crate) fn dated(&self, node: &ObjectKey, taints: Vec<Taint>, now: Timestamp) -> Vec<Taint> {
        let mut seen = self.0.lock();
        let before = seen.remove(node).unwrap_or_default();
        let dated: Vec<Taint> = taints.into_iter().map(|taint| with_time(taint, &before, now)).collect();
        if !dated.is_empty() {
            seen.insert(node.clone(), dated.clone());
        }
        dated
    }

    /// Forgets a node that is gone.
    pub(crate) fn forget(&self, node: &ObjectKey) {
        self.0.lock().remove(node);
    }
}

fn with_time(taint: Taint, before: &[Taint], now: Timestamp) -> Taint {
    let same = |old: &&Taint| (&old.key, &old.value, &old.effect) == (&taint.key, &taint.value, &taint.effect);
    let first = || before.iter().find(same).and_then(|old| old.time_added.clone());
    let time_added = taint.time_added.clone().or_else(first).or_else(|| Some(meta::time(now)));
    Taint { time_added, ..taint }
}

/// When a pod came to its node. Nothing is counted against it before.
fn arrived(pod: &Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    let bound = status.conditions.iter().flatten().find(|one| one.type_ == "PodScheduled" && one.status == "True");
    let bound = bound.and_then(|one| one.last_transition_time.as_ref());
    bound.or(status.start_time.as_ref()).map(|time| time.0)
}

/// When the pod is to be deleted; `None` when it may stay for ever. Seconds of patience count from when the taint was added or
/// the pod came, whichever was later: a pod that comes to a node tainted long ago has all of its time.
pub(crate) fn due(pod: &Pod, taints: &[Taint], now: Timestamp) -> Option<Timestamp> {
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.clone()).unwrap_or_default();
    let mut due: Option<Timestamp> = None;
    for taint in taints.iter().filter(|taint| taint.effect == "NoExecute") {
        let matching: Vec<_> = tolerations.iter().filter(|toleration| tolerates(toleration, taint)).collect();
        if matching.is_empty() {
            return Some(now);
        }
        let added = taint.time_added.as_ref().map_or(now, |time| time.0);
        let from = arrived(pod).map_or(added, |arrived| arrived.max(added));
        // The shortest of the matching ones counts; one without a limit limits nothing.
        let seconds = matching.iter().filter_map(|toleration| toleration.toleration_seconds).min();
        let at = seconds
            .and_then(|seconds| from.checked_add(Duration::from_secs(u64::try_from(seconds).unwrap_or_default())).ok());
        due = match (due, at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    due
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let is = |own: &Option<String>, of: &str| own.as_deref().is_none_or(|own| own.is_empty() || own == of);
    let key = toleration.key.as_deref().unwrap_or_default();
    let exists = toleration.operator.as_deref() == Some("Exists");
    let value = toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default();
    is(&toleration.effect, &taint.effect) && (key == taint.key || (key.is_empty() && exists)) && (exists || value)
}
