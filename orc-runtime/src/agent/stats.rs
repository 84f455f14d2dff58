//! `/stats/summary` and `/metrics/resource`: what the node, its pods and their containers use, in the kubelet's forms.
//!
//! The runtime measures its containers; the machine is read from `/proc`. Nodes that share a machine each report all of it.
//! A simulated node has no usage of its own, and says none.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use orc_core::ApiError;
use orc_store::dialer::Body;
use serde_json::{Value, json};

use super::context::{Context, View, name_of, namespace_of, uid_of};
use super::http::respond;
use super::system;
use crate::runtime::{ContainerStats, SandboxStats};

/// The kernel's unit of time in `/proc/stat` (USER_HZ): 100 a second on every architecture that Rust's std runs on.
const NANOS_PER_TICK: u64 = 10_000_000;

/// What the machine uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Machine {
    /// CPU time since the start, nanoseconds.
    cpu_nanos: u64,
    /// Memory that cannot be taken back, bytes.
    working_set_bytes: u64,
    /// Memory that is left, bytes.
    available_bytes: u64,
}

impl Machine {
    fn read() -> Option<Self> {
        let available_bytes = available(&fs::read_to_string("/proc/meminfo").ok()?)?;
        let working_set_bytes = system::memory_bytes()?.saturating_sub(available_bytes);
        Some(Self { cpu_nanos: busy(&fs::read_to_string("/proc/stat").ok()?)?, working_set_bytes, available_bytes })
    }
}

/// The time that the CPUs were busy: all but idle and waiting for disks (proc_stat(5)). Guests' time is part of users'.
fn busy(text: &str) -> Option<u64> {
    let fields = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = fields.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let spent = ticks.iter().take(8).enumerate().filter(|(i, _)| !matches!(i, 3 | 4)).map(|(_, ticks)| ticks);
    Some(spent.sum::<u64>() * NANOS_PER_TICK)
}

fn available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// What a pod uses, with the pod.
pub(super) struct Used {
    pub(super) view: View,
    pub(super) stats: SandboxStats,
}

impl Used {
    fn sum(&self, of: impl Fn(&ContainerStats) -> u64) -> u64 {
        self.stats.containers.iter().map(of).sum()
    }

    /// When a container started, RFC 3339.
    fn started(&self, container: &str) -> Option<Timestamp> {
        let status = &self.view.status;
        let all = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
        let running = all.into_iter().find(|one| one.name == container)?.state.as_ref()?.running.as_ref()?;
        running.started_at.as_ref().map(|time| time.0)
    }
}

/// All pods of the node that run.
pub(super) async fn used(context: &Arc<Context>) -> Result<Vec<Used>, ApiError> {
    let stats = context.runtime.stats().await.map_err(|error| ApiError::internal(error.full_message()))?;
    let mut by_uid: BTreeMap<String, SandboxStats> = stats.into_iter().map(|one| (one.pod_uid.clone(), one)).collect();
    let views: Vec<View> = context.views.lock().values().cloned().collect();
    let with_stats = |view: View| by_uid.remove(uid_of(&view.pod)).map(|stats| Used { view, stats });
    Ok(views.into_iter().filter_map(with_stats).collect())
}

fn machine(context: &Context) -> Option<Machine> {
    if context.config.is_simulated() { None } else { Machine::read() }
}

/// `/stats/summary` (`k8s.io/kubelet/pkg/apis/stats/v1alpha1`).
pub(super) async fn summary(context: &Arc<Context>) -> Result<Response<Body>, ApiError> {
    let (pods, at) = (used(context).await?, context.now());
    let mut node = json!({"nodeName": context.config.node_name});
    if let Some(machine) = machine(context) {
        node["cpu"] = cpu(at, machine.cpu_nanos);
        node["memory"] = memory(at, machine.working_set_bytes);
        node["memory"]["availableBytes"] = machine.available_bytes.into();
    }
    let pods: Vec<Value> = pods.iter().map(pod).collect();
    let body = json!({"node": node, "pods": pods}).to_string();
    Ok(respond(StatusCode::OK, "application/json", body.into()))
}

fn cpu(at: Timestamp, nanos: u64) -> Value {
    json!({"time": at.to_string(), "usageCoreNanoSeconds": nanos})
}

fn memory(at: Timestamp, bytes: u64) -> Value {
    json!({"time": at.to_string(), "workingSetBytes": bytes})
}

fn pod(used: &Used) -> Value {
    let (pod, stats) = (&used.view.pod, &used.stats);
    let container = |one: &ContainerStats| {
        json!({"name": one.name, "startTime": used.started(&one.name).map(|at| at.to_string()), "cpu": cpu(one.at, one.cpu_nanos),
            "memory": memory(one.at, one.working_set_bytes)})
    };
    let mut out = json!({
        "podRef": {"name": name_of(pod), "namespace": namespace_of(pod), "uid": uid_of(pod)},
        "startTime": used.view.status.start_time.as_ref().map(|time| time.0.to_string()),
        "containers": stats.containers.iter().map(container).collect::<Vec<_>>(),
        "cpu": cpu(stats.at, used.sum(|one| one.cpu_nanos)),
        "memory": memory(stats.at, used.sum(|one| one.working_set_bytes)),
        "process_stats": {"process_count": used.sum(|one| one.processes)},
    });
    if let Some(network) = stats.network {
        out["network"] = json!({"time": stats.at.to_string(), "name": "eth0", "rxBytes": network.rx_bytes, "txBytes": network.tx_bytes});
    }
    out
}

/// `/metrics/resource`: the same in the text form of Prometheus, under the kubelet's names.
pub(super) async fn metrics(context: &Arc<Context>) -> Result<Response<Body>, ApiError> {
    let (pods, at) = (used(context).await?, context.now());
    let text = exposition(&pods, machine(context), at);
    Ok(respond(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", Bytes::from(text)))
}

/// Samples of one metric: labels, value, time.
type Samples = Vec<(String, f64, Timestamp)>;

fn exposition(pods: &[Used], machine: Option<Machine>, at: Timestamp) -> String {
    let seconds = |nanos: u64| nanos as f64 / 1e9;
    let of_pods = |value: &dyn Fn(&Used) -> f64| -> Samples {
        pods.iter().map(|used| (labels(used, None), value(used), used.stats.at)).collect()
    };
    let of_containers = |value: &dyn Fn(&Used, &ContainerStats) -> Option<f64>| -> Samples {
        let each = pods.iter().flat_map(|used| used.stats.containers.iter().map(move |one| (used, one)));
        each.filter_map(|(used, one)| Some((labels(used, Some(&one.name)), value(used, one)?, one.at))).collect()
    };
    let of_machine = |value: &dyn Fn(Machine) -> f64| -> Samples {
        machine.into_iter().map(|machine| (String::new(), value(machine), at)).collect()
    };
    let started = |used: &Used, one: &ContainerStats| Some(used.started(&one.name)?.as_millisecond() as f64 / 1e3);
    let counter = "counter";
    let all: [(&str, &str, &str, Samples); 7] = [
        (
            "container_cpu_usage_seconds_total",
            counter,
            "Cumulative cpu time consumed by the container in core-seconds",
            of_containers(&|_, one| Some(seconds(one.cpu_nanos))),
        ),
        (
            "container_memory_working_set_bytes",
            "gauge",
            "Current working set of the container in bytes",
            of_containers(&|_, one| Some(one.working_set_bytes as f64)),
        ),
        (
            "container_start_time_seconds",
            "gauge",
            "Start time of the container since unix epoch in seconds",
            of_containers(&started),
        ),
        (
            "node_cpu_usage_seconds_total",
            counter,
            "Cumulative cpu time consumed by the node in core-seconds",
            of_machine(&|machine| seconds(machine.cpu_nanos)),
        ),
        (
            "node_memory_working_set_bytes",
            "gauge",
            "Current working set of the node in bytes",
            of_machine(&|machine| machine.working_set_bytes as f64),
        ),
        (
            "pod_cpu_usage_seconds_total",
            counter,
            "Cumulative cpu time consumed by the pod in core-seconds",
            of_pods(&|used| seconds(used.sum(|one| one.cpu_nanos))),
        ),
        (
            "pod_memory_working_set_bytes",
            "gauge",
            "Current working set of the pod in bytes",
            of_pods(&|used| used.sum(|one| one.working_set_bytes) as f64),
        ),
    ];
    let mut out = String::new();
    for (name, kind, help, samples) in all.iter().filter(|(.., samples)| !samples.is_empty()) {
        // Writing into a string cannot fail.
        let _ = writeln!(out, "# HELP {name} [STABLE] {help}\n# TYPE {name} {kind}");
        for (labels, value, at) in samples {
            let _ = writeln!(out, "{name}{labels} {value} {}", at.as_millisecond());
        }
    }
    let name = "resource_scrape_error";
    let _ =
        writeln!(out, "# HELP {name} [STABLE] 1 if there was an error while getting container metrics, 0 otherwise");
    let _ = writeln!(out, "# TYPE {name} gauge\n{name} 0");
    out
}

/// Names of pods and containers need no escaping.
fn labels(used: &Used, container: Option<&str>) -> String {
    let (pod, namespace) = (name_of(&used.view.pod), namespace_of(&used.view.pod));
    let container = container.map(|name| format!("container=\"{name}\",")).unwrap_or_default();
    format!("{{{container}namespace=\"{namespace}\",pod=\"{pod}\"}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{ContainerId, SandboxId};

    fn one() -> Used {
        let at: Timestamp = "2026-01-01T00:00:10Z".parse().unwrap();
        let status = json!({"containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]});
        let pod = json!({"metadata": {"name": "p", "namespace": "d", "uid": "u"}});
        let view = View { pod: serde_json::from_value(pod).unwrap(), status: serde_json::from_value(status).unwrap() };
        let container = ContainerStats {
            id: ContainerId::new("i"),
            name: "c".to_owned(),
            at,
            cpu_nanos: 1_500_000_000,
            working_set_bytes: 4096,
            processes: 2,
        };
        let id = SandboxId::new("s");
        Used {
            view,
            stats: SandboxStats { id, pod_uid: "u".to_owned(), at, containers: vec![container], network: None },
        }
    }

    #[test]
    fn the_machines_tables_are_read() {
        assert_eq!(busy("cpu  1 2 3 100 50 4 5 6 7 8\ncpu0 1\n"), Some(21 * NANOS_PER_TICK));
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:   3 kB\n"), Some(3072));
        assert!(Machine::read().is_some_and(|machine| machine.cpu_nanos > 0 && machine.working_set_bytes > 0));
    }

    #[test]
    fn a_pod_is_the_sum_of_its_containers() {
        let shown = pod(&one());
        assert_eq!(shown["podRef"], json!({"name": "p", "namespace": "d", "uid": "u"}));
        assert_eq!(
            (&shown["cpu"]["usageCoreNanoSeconds"], &shown["memory"]["workingSetBytes"]),
            (&json!(1_500_000_000), &json!(4096))
        );
        assert_eq!(shown["containers"][0]["startTime"], "2026-01-01T00:00:00Z");
    }

    #[test]
    fn prometheus_reads_the_kubelets_names() {
        let text = exposition(&[one()], None, Timestamp::UNIX_EPOCH);
        for line in [
            "container_cpu_usage_seconds_total{container=\"c\",namespace=\"d\",pod=\"p\"} 1.5 1767225610000",
            "container_start_time_seconds{container=\"c\",namespace=\"d\",pod=\"p\"} 1767225600 1767225610000",
            "pod_memory_working_set_bytes{namespace=\"d\",pod=\"p\"} 4096 1767225610000",
            "resource_scrape_error 0",
        ] {
            assert!(text.lines().any(|own| own == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("node_cpu"), "a machine that is not known says nothing");
    }
}
