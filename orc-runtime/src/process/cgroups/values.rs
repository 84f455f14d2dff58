//! From requests and limits to what is written into the files of a cgroup (cgroup v2, `cgroup-v2.rst` of the kernel).

use crate::runtime::{ContainerResources, PodLimits};

/// Microseconds in which a CPU limit holds: the kubelet's `cpuCFSQuotaPeriod`.
const PERIOD: u64 = 100_000;
/// The kernel accepts no smaller quota.
const LEAST_QUOTA: u64 = 1_000;

/// Files and their content, in the order in which they are written.
pub(super) type Values = Vec<(&'static str, String)>;

/// The weight of requested thousandths of a CPU: shares (1024 a CPU, at least 2) on a curve through least, default
/// and greatest of both scales, as runc 1.4 and the kubelet map them.
pub(super) fn cpu_weight(millis: Option<u64>) -> String {
    let shares = (millis.unwrap_or(0).saturating_mul(1024) / 1000).clamp(2, 262_144);
    let log = (shares as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    let weight = if shares == 2 { 1.0 } else { 10f64.powf(exponent).ceil() };
    (weight.clamp(1.0, 10_000.0) as u64).to_string()
}

fn cpu_max(millis: Option<u64>) -> String {
    match millis.filter(|millis| *millis > 0) {
        Some(millis) => format!("{} {PERIOD}", (millis.saturating_mul(PERIOD) / 1000).max(LEAST_QUOTA)),
        None => format!("max {PERIOD}"),
    }
}

fn or_max(value: Option<u64>) -> String {
    value.filter(|value| *value > 0).map_or_else(|| "max".to_owned(), |value| value.to_string())
}

/// Of one container. All its processes are killed together when its memory runs out, as with a kubelet.
pub(super) fn of_container(resources: &ContainerResources) -> Values {
    vec![
        ("cpu.weight", cpu_weight(resources.cpu_request_millis)),
        ("cpu.max", cpu_max(resources.cpu_limit_millis)),
        ("memory.max", or_max(resources.memory_limit_bytes)),
        ("memory.oom.group", "1".to_owned()),
    ]
}

/// Of a pod as a whole.
pub(super) fn of_pod(limits: &PodLimits) -> Values {
    let mut values = vec![
        ("cpu.weight", cpu_weight(limits.cpu_request_millis)),
        ("cpu.max", cpu_max(limits.cpu_millis)),
        ("memory.max", or_max(limits.memory_bytes)),
    ];
    if let Some(pids) = limits.pids {
        values.push(("pids.max", pids.to_string()));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_become_weights() {
        // Least, 100 m, one CPU (the kernel's default of 100), the greatest.
        let all = [None, Some(100), Some(1000), Some(10_000_000)].map(cpu_weight);
        assert_eq!(all, ["1", "17", "100", "10000"]);
    }

    #[test]
    fn limits_become_quotas() {
        assert_eq!(
            [None, Some(1), Some(250), Some(2000)].map(cpu_max),
            ["max 100000", "1000 100000", "25000 100000", "200000 100000"]
        );
        let pod = of_pod(&PodLimits { memory_bytes: Some(64 << 20), pids: Some(100), ..PodLimits::default() });
        assert_eq!(pod[2], ("memory.max", "67108864".to_owned()));
        assert_eq!(pod[3], ("pids.max", "100".to_owned()));
    }
}
