//! `/metrics/probes`: how probes ended and how long good ones took, with the kubelet's names and labels (`pkg/kubelet/prober`).
//!
//! Bounded by what runs here: a pod's numbers go with the pod.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use orc_core::ObjectKey;
use parking_lot::Mutex;

use super::super::context::{Context, name_of, namespace_of, uid_of};
use super::super::metrics::{Text, labels};
use crate::machine::ProbeKind;

/// Upper bounds of the histogram's buckets, in seconds: those that Prometheus' clients have without others.
const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// The label by which a Deployment tells its ReplicaSets apart.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// The numbers of all probes of the node.
#[derive(Default)]
pub(in super::super) struct Counts(Mutex<BTreeMap<Series, Count>>);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    uid: String,
    container: String,
    kind: ProbeKind,
}

#[derive(Clone, Default)]
struct Count {
    namespace: String,
    pod: String,
    /// The pod's name without what is random in it: a workload's pods are one series of durations.
    workload: String,
    failed: u64,
    durations: Durations,
}

/// Of successful probes alone, as the kubelet does.
#[derive(Clone, Default)]
struct Durations {
    /// How many took no longer than each bound.
    within: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

impl Durations {
    fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        for (within, bound) in self.within.iter_mut().zip(BOUNDS) {
            *within += u64::from(seconds <= bound);
        }
        self.count += 1;
        self.sum += seconds;
    }

    fn add(&mut self, other: &Self) {
        self.within.iter_mut().zip(other.within).for_each(|(own, more)| *own += more);
        self.count += other.count;
        self.sum += other.sum;
    }
}

impl Counts {
    /// Counts a probe of a pod that is here; the last one of a pod that went meanwhile is not kept.
    pub(super) fn record(
        &self,
        context: &Context,
        pod: &Pod,
        container: &str,
        kind: ProbeKind,
        good: Option<Duration>,
    ) {
        let key = ObjectKey::of(pod);
        // Held while the pod is looked up: `forget` comes after the pod has gone from there.
        let mut all = self.0.lock();
        if context.views.lock().get(&key).is_none_or(|view| uid_of(&view.pod) != uid_of(pod)) {
            return;
        }
        let series = Series { uid: uid_of(pod).to_owned(), container: container.to_owned(), kind };
        let count = all.entry(series).or_insert_with(|| Count {
            namespace: namespace_of(pod).to_owned(),
            pod: name_of(pod).to_owned(),
            workload: workload_of(pod),
            ..Count::default()
        });
        match good {
            Some(took) => count.durations.observe(took),
            None => count.failed += 1,
        }
    }

    /// Drops the numbers of a pod.
    pub(in super::super) fn forget(&self, uid: &str) {
        self.0.lock().retain(|series, _| series.uid != uid);
    }

    /// The text of `/metrics/probes`.
    pub(in super::super) fn text(&self) -> Text {
        let all = self.0.lock().clone();
        let mut text = Text::default();
        let help = "[ALPHA] Cumulative number of a liveness, readiness or startup probe for a container by result.";
        text.family(
            "prober_probe_total",
            "counter",
            help,
            all.iter().flat_map(|(series, count)| results(series, count)),
        );
        let mut durations: BTreeMap<(ProbeKind, String, String, String), Durations> = BTreeMap::new();
        for (series, count) in all.iter().filter(|(_, count)| count.durations.count > 0) {
            let of = (series.kind, series.container.clone(), count.workload.clone(), count.namespace.clone());
            durations.entry(of).or_default().add(&count.durations);
        }
        let name = "prober_probe_duration_seconds";
        text.head(name, "histogram", "[ALPHA] Duration in seconds for a probe response.");
        for ((kind, container, pod, namespace), durations) in &durations {
            let pairs = [("container", container), ("namespace", namespace), ("pod", pod)];
            let mut pairs: Vec<(&str, &str)> = pairs.map(|(name, value)| (name, value.as_str())).to_vec();
            pairs.push(("probe_type", kind.as_str()));
            let bounds = BOUNDS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
            for (bound, within) in bounds.zip(durations.within.iter().chain([&durations.count])) {
                let pairs: Vec<_> = pairs.iter().copied().chain([("le", bound.as_str())]).collect();
                text.sample(&format!("{name}_bucket"), &labels(&pairs), *within as f64);
            }
            text.sample(&format!("{name}_sum"), &labels(&pairs), durations.sum);
            text.sample(&format!("{name}_count"), &labels(&pairs), durations.count as f64);
        }
        text
    }
}

/// The results that there were.
fn results(series: &Series, count: &Count) -> Vec<(String, f64)> {
    let all = [("failed", count.failed), ("successful", count.durations.count)];
    let seen = all.into_iter().filter(|(_, number)| *number > 0);
    let with_labels = |(result, number): (&str, u64)| {
        let pairs = [
            ("container", series.container.as_str()),
            ("namespace", &count.namespace),
            ("pod", &count.pod),
            ("pod_uid", &series.uid),
            ("probe_type", series.kind.as_str()),
            ("result", result),
        ];
        (labels(&pairs), number as f64)
    };
    seen.map(with_labels).collect()
}

/// A generated name without its random end, and without the hash of a Deployment's template.
fn workload_of(pod: &Pod) -> String {
    let name = name_of(pod);
    if pod.metadata.generate_name.as_deref().is_none_or(str::is_empty) {
        return name.to_owned();
    }
    let stem = name.rsplit_once('-').map_or(name, |(stem, _)| stem);
    match pod.metadata.labels.as_ref().and_then(|labels| labels.get(TEMPLATE_HASH)) {
        Some(hash) => stem.replace(&format!("-{hash}"), ""),
        None => stem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, generated: Option<&str>, hash: Option<&str>) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.to_owned());
        pod.metadata.generate_name = generated.map(str::to_owned);
        pod.metadata.labels = hash.map(|hash| [(TEMPLATE_HASH.to_owned(), hash.to_owned())].into());
        pod
    }

    #[test]
    fn pods_of_one_workload_share_a_name() {
        assert_eq!(workload_of(&pod("web-7d9-x2x4z", Some("web-7d9-"), Some("7d9"))), "web");
        assert_eq!(workload_of(&pod("agent-x2x4z", Some("agent-"), None)), "agent");
        assert_eq!(workload_of(&pod("db-0", None, Some("7d9"))), "db-0");
    }

    #[test]
    fn a_duration_is_in_each_bucket_that_is_wide_enough() {
        let mut durations = Durations::default();
        durations.observe(Duration::from_millis(50));
        durations.observe(Duration::from_secs(20));
        assert_eq!(durations.within, [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!((durations.count, durations.sum), (2, 20.05));
    }
}
