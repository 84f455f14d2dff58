//! `/metrics`, `/metrics/cadvisor` and `/metrics/probes`: how the agent does, and what containers use, in the text form of Prometheus.
//!
//! Names and labels are the kubelet's and cAdvisor's, as far as the values are known here; dashboards ask for those.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use http::{Response, StatusCode};
use orc_core::ApiError;
use orc_core::quantity::Quantity;
use orc_store::dialer::Body;

use super::context::{Context, View, name_of, namespace_of, uid_of};
use super::http::respond;
use super::{node, stats};
use crate::runtime::ContainerState;

/// The text, as it grows.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    /// A family with its samples.
    pub(super) fn family(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, f64)>,
    ) {
        self.head(name, kind, help);
        samples.into_iter().for_each(|(labels, value)| self.sample(name, &labels, value));
    }

    /// What a family is about.
    pub(super) fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One sample of the family before.
    pub(super) fn sample(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    /// As an answer.
    pub(super) fn answer(self) -> Response<Body> {
        respond(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.0.into())
    }
}

/// `{a="b",..}`; names and images need no escaping but for quotes and backslashes.
pub(super) fn labels(pairs: &[(&str, &str)]) -> String {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let all: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
}

/// `/metrics`.
///
/// # Errors
/// When the runtime cannot be asked.
pub(super) async fn own(context: &Arc<Context>) -> Result<Response<Body>, ApiError> {
    let failed = |error: crate::runtime::RuntimeError| ApiError::internal(error.full_message());
    let containers = context.runtime.list_containers(None).await.map_err(failed)?;
    let mut states: BTreeMap<&str, f64> = [("created", 0.0), ("exited", 0.0), ("running", 0.0)].into();
    for container in &containers {
        let state = match container.state {
            ContainerState::Created => "created",
            ContainerState::Running => "running",
            ContainerState::Exited => "exited",
            ContainerState::Unknown => "unknown",
        };
        *states.entry(state).or_default() += 1.0;
    }
    let views: Vec<View> = context.views.lock().values().cloned().collect();
    let running = views.iter().filter(|view| view.status.phase.as_deref() == Some("Running")).count();
    let restarts = views.iter().flat_map(|view| view.status.container_statuses.iter().flatten());
    let restarts: i64 = restarts.map(|status| i64::from(status.restart_count)).sum();
    let mut text = Text::default();
    let help = "[ALPHA] The node's name. The count is always 1.";
    text.family("kubelet_node_name", "gauge", help, [(labels(&[("node", &context.config.node_name)]), 1.0)]);
    let help = "[ALPHA] Number of pods that have a running pod sandbox";
    text.family("kubelet_running_pods", "gauge", help, [(String::new(), running as f64)]);
    let help = "[ALPHA] Number of containers currently running";
    let states = states.into_iter().map(|(state, count)| (labels(&[("container_state", state)]), count));
    text.family("kubelet_running_containers", "gauge", help, states);
    let help = "[ALPHA] The number of pods the kubelet is being instructed to run.";
    let statics = context.statics.keys().len();
    let desired = [("", views.len().saturating_sub(statics)), ("true", statics)];
    let desired = desired.map(|(is_static, count)| (labels(&[("static", is_static)]), count as f64));
    text.family("kubelet_desired_pods", "gauge", help, desired);
    let help = "Restarts of the containers that run here, over their pods' lives";
    text.family("orc_node_container_restarts", "gauge", help, [(String::new(), restarts as f64)]);
    Ok(text.answer())
}

/// `/metrics/cadvisor`.
///
/// # Errors
/// When the runtime cannot be asked.
pub(super) async fn cadvisor(context: &Arc<Context>) -> Result<Response<Body>, ApiError> {
    let all = stats::used(context).await?;
    let mut text = Text::default();
    let capacity = node::capacity(&context.config);
    let amount = |name: &str| capacity.get(name).and_then(|text| Quantity::parse(text).ok());
    let cores = amount("cpu").map(|cpu| cpu.milli_value() as f64 / 1e3);
    text.family("machine_cpu_cores", "gauge", "Number of logical CPU cores.", cores.map(|n| (String::new(), n)));
    let memory = amount("memory").map(|memory| memory.value() as f64);
    text.family(
        "machine_memory_bytes",
        "gauge",
        "Amount of memory installed on the machine.",
        memory.map(|n| (String::new(), n)),
    );
    let of = |value: &dyn Fn(&crate::runtime::ContainerStats) -> f64| -> Vec<(String, f64)> {
        let each = all.iter().flat_map(|used| used.stats.containers.iter().map(move |one| (used, one)));
        each.map(|(used, one)| {
            let pod = &used.view.pod;
            let path = format!("/kubepods/pod{}/{}", uid_of(pod), one.id);
            let pairs = [
                ("container", one.name.as_str()),
                ("id", &path),
                ("name", one.id.as_str()),
                ("namespace", namespace_of(pod)),
                ("pod", name_of(pod)),
            ];
            (labels(&pairs), value(one))
        })
        .collect()
    };
    let help = "Cumulative cpu time consumed in seconds.";
    text.family("container_cpu_usage_seconds_total", "counter", help, of(&|one| one.cpu_nanos as f64 / 1e9));
    let help = "Current working set in bytes.";
    text.family("container_memory_working_set_bytes", "gauge", help, of(&|one| one.working_set_bytes as f64));
    let help = "Number of processes running inside the container.";
    text.family("container_processes", "gauge", help, of(&|one| one.processes as f64));
    let network = |value: fn(crate::runtime::NetworkStats) -> u64| {
        all.iter().filter_map(move |used| {
            let pod = &used.view.pod;
            let pairs = [("interface", "eth0"), ("namespace", namespace_of(pod)), ("pod", name_of(pod))];
            Some((labels(&pairs), value(used.stats.network?) as f64))
        })
    };
    let help = "Cumulative count of bytes received";
    text.family("container_network_receive_bytes_total", "counter", help, network(|bytes| bytes.rx_bytes));
    let help = "Cumulative count of bytes transmitted";
    text.family("container_network_transmit_bytes_total", "counter", help, network(|bytes| bytes.tx_bytes));
    Ok(text.answer())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_labels_are_escaped() {
        assert_eq!(labels(&[("a", "b\"c\\d")]), "{a=\"b\\\"c\\\\d\"}");
        assert_eq!(labels(&[]), "");
    }
}
