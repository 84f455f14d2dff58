//! When a pod must leave a node with `NoExecute` taints. Follows `pkg/controller/tainteviction` of upstream.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Taint, Toleration};

/// When the pod is to be deleted; `None` when it may stay for ever.
pub(crate) fn due(pod: &Pod, taints: &[Taint], now: Timestamp) -> Option<Timestamp> {
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.clone()).unwrap_or_default();
    let mut due: Option<Timestamp> = None;
    for taint in taints.iter().filter(|taint| taint.effect == "NoExecute") {
        let matching: Vec<_> = tolerations.iter().filter(|toleration| tolerates(toleration, taint)).collect();
        if matching.is_empty() {
            return Some(now);
        }
        let from = taint.time_added.as_ref().map_or(now, |time| time.0);
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
