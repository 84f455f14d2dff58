//! The downward API: what a pod says of itself (`fieldRef`) and of its resources (`resourceFieldRef`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodStatus, ResourceFieldSelector};
use orc_core::quantity::Quantity;

use super::config::AgentConfig;
use super::node;

/// The value of a field path, or what is wrong with the path.
pub(super) fn field(pod: &Pod, status: &PodStatus, path: &str) -> Result<String, String> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    let text = |text: Option<&String>| Ok(text.cloned().unwrap_or_default());
    if let Some(value) = subscript(path, "metadata.labels", meta.labels.as_ref()) {
        return Ok(value);
    }
    if let Some(value) = subscript(path, "metadata.annotations", meta.annotations.as_ref()) {
        return Ok(value);
    }
    match path {
        "metadata.name" => text(meta.name.as_ref()),
        "metadata.namespace" => text(meta.namespace.as_ref()),
        "metadata.uid" => text(meta.uid.as_ref()),
        "metadata.labels" => Ok(lines(meta.labels.as_ref())),
        "metadata.annotations" => Ok(lines(meta.annotations.as_ref())),
        "spec.nodeName" => text(spec.and_then(|spec| spec.node_name.as_ref())),
        "spec.serviceAccountName" => text(spec.and_then(|spec| spec.service_account_name.as_ref())),
        "status.hostIP" => text(status.host_ip.as_ref()),
        "status.podIP" => text(status.pod_ip.as_ref()),
        "status.hostIPs" => Ok(join(status.host_ips.iter().flatten().map(|ip| ip.ip.as_str()))),
        "status.podIPs" => Ok(join(status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()))),
        _ => Err(format!("unsupported fieldPath: {path}")),
    }
}

fn join<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

fn subscript(path: &str, base: &str, map: Option<&BTreeMap<String, String>>) -> Option<String> {
    let key = path.strip_prefix(base)?.strip_prefix("['")?.strip_suffix("']")?;
    Some(map.and_then(|map| map.get(key)).cloned().unwrap_or_default())
}

fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let all = map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}"));
    all.collect::<Vec<_>>().join("\n")
}

/// The value of a resource of a container; limits that are not set are the node's.
pub(super) fn resource(
    selector: &ResourceFieldSelector,
    container: &Container,
    config: &AgentConfig,
) -> Result<String, String> {
    let (kind, name) = selector.resource.split_once('.').unwrap_or(("", &selector.resource));
    let resources = container.resources.clone().unwrap_or_default();
    let map = match kind {
        "limits" => resources.limits,
        "requests" => resources.requests,
        _ => return Err(format!("unsupported container resource : {}", selector.resource)),
    };
    let given = map.and_then(|map| map.get(name).map(|quantity| quantity.0.clone()));
    let node = || (kind == "limits").then(|| node::capacity(config).get(name).cloned()).flatten();
    let amount = given.or_else(node).unwrap_or_else(|| "0".to_owned());
    let parse = |text: &str| Quantity::parse(text).map_err(|error| format!("{}: {error}", selector.resource));
    let amount = parse(&amount)?;
    let divisor = match &selector.divisor {
        Some(divisor) if !divisor.0.is_empty() && divisor.0 != "0" => parse(&divisor.0)?,
        _ => parse("1")?,
    };
    let (amount, divisor) =
        if name == "cpu" { (amount.milli_value(), divisor.milli_value()) } else { (amount.value(), divisor.value()) };
    let divisor = divisor.max(1);
    Ok(((amount + divisor - 1) / divisor).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_resources() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "labels": {"a": "1", "b": "x y"}}, "spec": {"containers": []}
        }))
        .unwrap();
        let status = PodStatus::default();
        assert_eq!(field(&pod, &status, "metadata.labels['a']").unwrap(), "1");
        assert_eq!(field(&pod, &status, "metadata.labels").unwrap(), "a=\"1\"\nb=\"x y\"");
        assert!(field(&pod, &status, "spec.hostname").is_err());
        let container: Container = serde_json::from_value(serde_json::json!({
            "name": "c", "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}}
        }))
        .unwrap();
        let config = AgentConfig::simulated("n");
        let get = |resource: &str, divisor: &str| {
            let selector =
                serde_json::from_value(serde_json::json!({"resource": resource, "divisor": divisor})).unwrap();
            super::resource(&selector, &container, &config).unwrap()
        };
        assert_eq!(get("limits.cpu", "0"), "2");
        assert_eq!(get("limits.cpu", "1m"), "1500");
        assert_eq!(get("limits.memory", "1Mi"), "64");
        assert_eq!(get("requests.memory", "1"), "0");
    }
}
