//! What a node says of its use, and what follows from two such samples.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// The shortest time that a rate is made from for a container that was sampled once, as in metrics-server: counters of a
/// container that just started say little.
const FRESH: SignedDuration = SignedDuration::from_secs(10);

/// Counters of something at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    /// When it started, where that is known.
    pub(super) started: Option<Timestamp>,
    pub(super) at: Timestamp,
    /// CPU time since the start, nanoseconds.
    pub(super) cpu_nanos: u64,
    /// Bytes.
    pub(super) memory: u64,
}

/// What something uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// The end of the window.
    pub(super) at: Timestamp,
    /// The window that the CPU's rate is of.
    pub(super) window: SignedDuration,
    /// Billionths of a core.
    pub(super) nano_cores: u64,
    /// Bytes.
    pub(super) memory: u64,
}

/// All that a node said at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) node: Option<Point>,
    /// By the pod's uid, then by the container's name.
    pub(super) pods: BTreeMap<String, BTreeMap<String, Point>>,
}

/// The last two samples of a node.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    before: Sample,
    last: Sample,
}

impl Sample {
    /// Reads `/stats/summary`. What has no time or no numbers is left out.
    pub(super) fn read(summary: &Value) -> Self {
        let list = |value: &Value, field: &str| value[field].as_array().cloned().unwrap_or_default();
        let containers = |pod: &Value| -> BTreeMap<String, Point> {
            let each = list(pod, "containers");
            each.iter().filter_map(|one| Some((one["name"].as_str()?.to_owned(), point(one)?))).collect()
        };
        let pods = list(summary, "pods");
        let pods = pods.iter().filter_map(|pod| Some((pod["podRef"]["uid"].as_str()?.to_owned(), containers(pod))));
        Self { node: point(&summary["node"]), pods: pods.collect() }
    }
}

fn point(value: &Value) -> Option<Point> {
    let time = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
    Some(Point {
        started: time(&value["startTime"]),
        at: time(&value["cpu"]["time"])?,
        cpu_nanos: value["cpu"]["usageCoreNanoSeconds"].as_u64()?,
        memory: value["memory"]["workingSetBytes"].as_u64()?,
    })
}

impl History {
    /// Takes a newer sample; the oldest is dropped.
    pub(super) fn push(&mut self, sample: Sample) {
        self.before = std::mem::replace(&mut self.last, sample);
    }

    pub(super) fn node(&self) -> Option<Rate> {
        rate(self.before.node, self.last.node?)
    }

    /// The containers of a pod. `None` while one of them is not known well enough.
    pub(super) fn pod(&self, uid: &str) -> Option<BTreeMap<&str, Rate>> {
        let last = self.last.pods.get(uid).filter(|containers| !containers.is_empty())?;
        let before = |name: &str| self.before.pods.get(uid).and_then(|containers| containers.get(name)).copied();
        last.iter().map(|(name, point)| Some((name.as_str(), rate(before(name), *point)?))).collect()
    }
}

/// The rate between two points; from the start, where the thing started since the first one or was not there.
fn rate(before: Option<Point>, last: Point) -> Option<Rate> {
    let same =
        |before: &Point| before.started == last.started && before.cpu_nanos <= last.cpu_nanos && before.at < last.at;
    let (from, spent) = match before.filter(same) {
        Some(before) => (before.at, last.cpu_nanos - before.cpu_nanos),
        None => (last.started.filter(|started| last.at.duration_since(*started) >= FRESH)?, last.cpu_nanos),
    };
    let window = last.at.duration_since(from);
    let nano_cores = u128::from(spent) * 1_000_000_000 / u128::try_from(window.as_nanos()).ok()?.max(1);
    Some(Rate { at: last.at, window, nano_cores: u64::try_from(nano_cores).unwrap_or(u64::MAX), memory: last.memory })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn point(started: i64, second: i64, cpu_nanos: u64) -> Point {
        Point { started: Some(at(started)), at: at(second), cpu_nanos, memory: 7 }
    }

    #[test]
    fn a_rate_is_between_two_points_of_one_life() {
        let found = rate(Some(point(0, 100, 5_000_000_000)), point(0, 110, 10_000_000_000)).unwrap();
        assert_eq!((found.nano_cores, found.window, found.memory), (500_000_000, SignedDuration::from_secs(10), 7));
        // It started again in between: the old counter says nothing.
        let again = rate(Some(point(0, 100, 5_000_000_000)), point(90, 110, 2_000_000_000)).unwrap();
        assert_eq!((again.nano_cores, again.window), (100_000_000, SignedDuration::from_secs(20)));
        assert_eq!(rate(None, point(105, 110, 1)), None, "too fresh");
        assert_eq!(rate(None, Point { started: None, ..point(0, 110, 1) }), None);
        assert_eq!(
            rate(Some(point(0, 110, 1)), point(0, 110, 1)).map(|r| r.window),
            Some(SignedDuration::from_secs(110))
        );
    }

    #[test]
    fn a_pod_is_known_when_all_its_containers_are() {
        let one = |cpu: u64, second: i64, fresh: i64| {
            let container = |name: &str, started: i64| {
                json!({"name": name, "startTime": at(started).to_string(),
                    "cpu": {"time": at(second).to_string(), "usageCoreNanoSeconds": cpu}, "memory": {"workingSetBytes": 1}})
            };
            Sample::read(&json!({"node": {"nodeName": "n"}, "pods": [{"podRef": {"uid": "u"},
                "containers": [container("a", 0), container("b", fresh)]}]}))
        };
        let mut history = History::default();
        history.push(one(0, 100, 0));
        history.push(one(15, 115, 0));
        assert_eq!(history.pod("u").unwrap().keys().copied().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((history.pod("x"), history.node()), (None, None));
        history.push(one(15, 130, 125));
        assert_eq!(history.pod("u"), None, "b began a moment ago");
    }
}
