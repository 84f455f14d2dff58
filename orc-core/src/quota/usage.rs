//! The usage of one object.

use serde_json::Value;

use super::pod::{self, Side};
use super::{Usage, quantity};
use crate::key::ResourceId;
use crate::quantity::{Format, Quantity};

/// Core resources whose plural name is a quota of its own, besides `count/...`.
const BY_NAME: [&str; 7] =
    ["configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas", "secrets", "services"];

fn number(n: usize) -> Quantity {
    Quantity::from_integer(i64::try_from(n).unwrap_or(i64::MAX), Format::DecimalSi)
}

/// What one object uses. The resource's version does not matter.
pub fn usage(resource: &ResourceId, object: &Value) -> Usage {
    let mut out = Usage::from([(format!("count/{resource}"), number(1))]);
    match resource.as_str() {
        "pods" => pod_usage(object, &mut out),
        "services" => service_usage(object, &mut out),
        "persistentvolumeclaims" => claim_usage(object, &mut out),
        plain if BY_NAME.contains(&plain) => _ = out.insert(plain.to_owned(), number(1)),
        _ => {}
    }
    out
}

fn pod_usage(pod: &Value, out: &mut Usage) {
    if pod::has_ended(pod) {
        return;
    }
    out.insert("pods".to_owned(), number(1));
    if let Some(spec) = pod.get("spec") {
        let total = |side| pod::total_with_overhead(spec, side);
        out.extend(pod::charge(&total(Side::Requests), &total(Side::Limits)));
    }
}

fn service_usage(service: &Value, out: &mut Usage) {
    let ports = service.pointer("/spec/ports").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let given = ports.iter().filter(|port| port.get("nodePort").and_then(Value::as_i64).unwrap_or(0) != 0).count();
    let kind = service.pointer("/spec/type").and_then(Value::as_str).unwrap_or_default();
    let allocates = service.pointer("/spec/allocateLoadBalancerNodePorts").and_then(Value::as_bool) != Some(false);
    let (node_ports, balancers) = match kind {
        "NodePort" => (ports.len(), 0),
        "LoadBalancer" if allocates => (ports.len(), 1),
        "LoadBalancer" => (given, 1),
        _ => (0, 0),
    };
    out.insert("services".to_owned(), number(1));
    out.insert("services.nodeports".to_owned(), number(node_ports));
    out.insert("services.loadbalancers".to_owned(), number(balancers));
}

fn claim_usage(claim: &Value, out: &mut Usage) {
    let beta = claim.pointer("/metadata/annotations/volume.beta.kubernetes.io~1storage-class");
    let class = beta.or_else(|| claim.pointer("/spec/storageClassName")).and_then(Value::as_str).unwrap_or_default();
    let asked = claim.pointer("/spec/resources/requests/storage").and_then(quantity);
    // A claim that grew keeps its larger capacity until the volume follows.
    let allocated = claim.pointer("/status/allocatedResources/storage").and_then(quantity);
    let storage = asked.map(|asked| allocated.map_or(asked, |allocated| asked.max(allocated)));
    let prefix = (!class.is_empty()).then(|| format!("{class}.storageclass.storage.k8s.io/"));
    for prefix in [Some(String::new()), prefix].into_iter().flatten() {
        out.insert(format!("{prefix}persistentvolumeclaims"), number(1));
        if let Some(storage) = storage {
            out.insert(format!("{prefix}requests.storage"), storage);
        }
    }
}

/// Whether objects of a resource count towards a hard limit of that name.
pub(super) fn concerns(resource: &ResourceId, name: &str) -> bool {
    if let Some(counted) = name.strip_prefix("count/") {
        return counted == resource.as_str();
    }
    let plain = resource.as_str();
    match plain {
        "pods" => {
            let (side, rest) = match (name.strip_prefix("requests."), name.strip_prefix("limits.")) {
                (Some(rest), _) => (Side::Requests, rest),
                (_, Some(rest)) => (Side::Limits, rest),
                _ => (Side::Requests, name),
            };
            name == "pods" || pod::quota_names(side, rest).iter().any(|known| known == name)
        }
        "services" => matches!(name, "services" | "services.nodeports" | "services.loadbalancers"),
        "persistentvolumeclaims" => {
            let name = name.split_once(".storageclass.storage.k8s.io/").map_or(name, |(_, rest)| rest);
            matches!(name, "persistentvolumeclaims" | "requests.storage")
        }
        _ => BY_NAME.contains(&plain) && name == plain,
    }
}

/// The resource whose objects a hard limit of that name counts; `None` when nothing does.
pub fn usage_names(name: &str) -> Option<ResourceId> {
    if let Some(counted) = name.strip_prefix("count/") {
        return Some(ResourceId::parse(counted));
    }
    // The order makes `requests.storage` one of claims, not of pods.
    let builtin = ["persistentvolumeclaims", "services", "configmaps", "secrets", "resourcequotas", "pods"];
    let builtin = builtin.into_iter().chain(["replicationcontrollers"]);
    builtin.map(|plain| ResourceId::new("", plain)).find(|resource| concerns(resource, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::{amounts, concerned, constraints, show};
    use serde_json::json;

    #[test]
    fn a_pod_counts_its_peak() {
        let pod = json!({"spec": {"overhead": {"cpu": "10m"},
            "initContainers": [{"resources": {"requests": {"cpu": "1"}}}],
            "containers": [{"name": "a", "resources": {"requests": {"cpu": "200m", "example.com/gpu": "2"}, "limits": {"memory": "1Gi"}}},
                {"name": "b", "resources": {"requests": {"cpu": "300m"}}}]}});
        let pods = ResourceId::new("", "pods");
        assert_eq!(
            show(&usage(&pods, &pod)),
            json!({"count/pods": "1", "pods": "1", "cpu": "1010m", "requests.cpu": "1010m", "limits.memory": "1Gi",
                "requests.example.com/gpu": "2"})
        );
        let ended = json!({"spec": pod["spec"], "status": {"phase": "Failed"}});
        assert_eq!(show(&usage(&pods, &ended)), json!({"count/pods": "1"}));
        let hard = amounts(Some(&json!({"limits.memory": "1", "requests.cpu": "1", "requests.storage": "1"})));
        let names = concerned(&hard, &pods);
        assert_eq!(names, ["limits.memory", "requests.cpu"]);
        let pod = json!({"spec": {"containers": pod["spec"]["containers"]}});
        assert_eq!(constraints(&names, &pods, &pod), Err("must specify limits.memory for: b".to_owned()));
    }

    #[test]
    fn services_and_claims_count_by_type() {
        let balanced = json!({"spec": {"type": "LoadBalancer", "ports": [{}, {}]}});
        assert_eq!(
            show(&usage(&ResourceId::new("", "services"), &balanced)),
            json!({"count/services": "1", "services": "1", "services.nodeports": "2", "services.loadbalancers": "1"})
        );
        let claim = json!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}});
        let used = usage(&ResourceId::new("", "persistentvolumeclaims"), &claim);
        assert_eq!(used["fast.storageclass.storage.k8s.io/requests.storage"].to_string(), "1Gi");
        assert_eq!(usage_names("requests.storage").unwrap().as_str(), "persistentvolumeclaims");
        assert_eq!(usage_names("count/deployments.apps").unwrap().as_str(), "deployments.apps");
        assert_eq!(usage_names("limits.cpu").unwrap().as_str(), "pods");
    }
}
