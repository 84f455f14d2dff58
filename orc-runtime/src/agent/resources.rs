//! From the requests and limits of a spec to those that a runtime enforces.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};
use orc_core::quantity::Quantity;

use super::config::AgentConfig;
use super::node;
use crate::runtime::{ContainerResources, PodLimits};

/// Pods of this class are kept as those with guarantees are.
const NODE_CRITICAL: &str = "system-node-critical";
/// The kubelet's scores; it and the runtime are between this and the least, -1000.
const GUARANTEED: i32 = -997;
const BEST_EFFORT: i32 = 1000;

/// Of one container of a pod with this quality of service.
pub(super) fn of_container(config: &AgentConfig, pod: &Pod, container: &Container, qos: &str) -> ContainerResources {
    let spec = container.resources.as_ref();
    let room = node::capacity(config).get("memory").and_then(|text| Quantity::parse(text).ok());
    let room = room.and_then(|room| u64::try_from(room.value()).ok()).unwrap_or_default();
    let critical = pod.spec.as_ref().and_then(|spec| spec.priority_class_name.as_deref()) == Some(NODE_CRITICAL);
    let request = amount(spec, Kind::Request, "memory").or_else(|| amount(spec, Kind::Limit, "memory"));
    ContainerResources {
        cpu_request_millis: amount(spec, Kind::Request, "cpu"),
        cpu_limit_millis: amount(spec, Kind::Limit, "cpu"),
        memory_limit_bytes: amount(spec, Kind::Limit, "memory"),
        oom_score_adj: Some(oom_score_adj(if critical { "Guaranteed" } else { qos }, request.unwrap_or(0), room)),
    }
}

/// Whom the kernel ends first when the machine runs out of memory: pods without requests, then those that use more than
/// they asked for, those with guarantees last (the kubelet's `GetContainerOOMScoreAdjust`). `room` is the node's memory.
fn oom_score_adj(qos: &str, request: u64, room: u64) -> i32 {
    match qos {
        "Guaranteed" => GUARANTEED,
        "BestEffort" => BEST_EFFORT,
        _ => {
            let share = i128::from(request) * 1000 / i128::from(room.max(1));
            // Between the other two, whatever is asked for.
            i32::try_from(1000 - share).unwrap_or(0).clamp(1000 + GUARANTEED, BEST_EFFORT - 1)
        }
    }
}

/// Of a pod as a whole: what it says itself (KEP-2837), else what its containers can need at a time. A pod has a limit
/// only when each of its containers has one, as in the kubelet's `ResourceConfigForPod`.
pub(super) fn of_pod(spec: &PodSpec, pids: Option<u64>) -> PodLimits {
    let own = spec.resources.as_ref();
    let limit = |name: &str| amount(own, Kind::Limit, name).or_else(|| most(spec, Kind::Limit, name));
    PodLimits {
        cpu_millis: limit("cpu"),
        memory_bytes: limit("memory"),
        cpu_request_millis: amount(own, Kind::Request, "cpu").or_else(|| most(spec, Kind::Request, "cpu")),
        pids,
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Request,
    Limit,
}

/// Thousandths of a CPU, or bytes.
fn amount(resources: Option<&ResourceRequirements>, kind: Kind, name: &str) -> Option<u64> {
    let resources = resources?;
    let map = if kind == Kind::Limit { &resources.limits } else { &resources.requests };
    let quantity = Quantity::parse(&map.as_ref()?.get(name)?.0).ok()?;
    u64::try_from(if name == "cpu" { quantity.milli_value() } else { quantity.value() }).ok()
}

/// The most that containers which run at a time ask for: all regular ones and sidecars, or one init container and the
/// sidecars before it. `None` when a limit is missing somewhere.
fn most(spec: &PodSpec, kind: Kind, name: &str) -> Option<u64> {
    let of = |container: &Container| match amount(container.resources.as_ref(), kind, name) {
        None if kind == Kind::Request => Some(0),
        other => other,
    };
    let (mut sidecars, mut most) = (0u64, 0u64);
    for init in spec.init_containers.iter().flatten() {
        let own = of(init)?;
        most = most.max(sidecars.saturating_add(own));
        if init.restart_policy.as_deref() == Some("Always") {
            sidecars = sidecars.saturating_add(own);
        }
    }
    let running =
        spec.containers.iter().try_fold(sidecars, |sum, container| Some(sum.saturating_add(of(container)?)))?;
    Some(most.max(running))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: Value) -> PodLimits {
        of_pod(&serde_json::from_value(spec).unwrap(), None)
    }

    #[test]
    fn a_pod_has_what_its_containers_can_need_at_a_time() {
        let some = |name: &str, cpu: &str, memory: &str| json!({"name": name, "resources": {"limits": {"cpu": cpu, "memory": memory}, "requests": {"cpu": cpu}}});
        let mut sidecar = some("s", "1", "1Ki");
        sidecar["restartPolicy"] = json!("Always");
        let limits = pod(json!({"initContainers": [sidecar, some("i", "3", "1Ki")],
                                "containers": [some("a", "500m", "2Ki"), some("b", "500m", "2Ki")]}));
        assert_eq!(
            (limits.cpu_millis, limits.memory_bytes, limits.cpu_request_millis),
            (Some(4000), Some(5 << 10), Some(4000))
        );
        let limits = pod(json!({"containers": [some("a", "500m", "2Ki"), {"name": "b"}]}));
        assert_eq!((limits.cpu_millis, limits.memory_bytes, limits.cpu_request_millis), (None, None, Some(500)));
        let own = json!({"limits": {"memory": "1Mi"}});
        assert_eq!(pod(json!({"resources": own, "containers": [{"name": "b"}]})).memory_bytes, Some(1 << 20));
    }

    #[test]
    fn the_kernel_ends_the_unpromised_first() {
        let room = 4 << 30;
        for (qos, request, want) in [
            ("Guaranteed", 1 << 30, -997),
            ("BestEffort", 0, 1000),
            ("Burstable", 0, 999),
            ("Burstable", 1 << 30, 750),
            ("Burstable", 8 << 30, 3),
        ] {
            assert_eq!(oom_score_adj(qos, request, room), want, "{qos} {request}");
        }
    }
}
