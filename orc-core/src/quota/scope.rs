//! The scopes of a quota.

use serde_json::Value;

use super::pod;
use crate::key::ResourceId;

/// Whether a quota's `scopes` and `scopeSelector` select an object. A quota with scopes selects pods and claims only.
pub fn selects(quota_spec: &Value, resource: &ResourceId, object: &Value) -> bool {
    let named = quota_spec.get("scopes").and_then(Value::as_array).into_iter().flatten();
    let chosen = quota_spec.pointer("/scopeSelector/matchExpressions").and_then(Value::as_array).into_iter().flatten();
    named.filter_map(Value::as_str).all(|scope| matches(scope, "Exists", &[], resource, object))
        && chosen.into_iter().all(|rule| {
            let text = |name: &str| rule.get(name).and_then(Value::as_str).unwrap_or_default();
            let values: Vec<&str> =
                rule.get("values").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
            matches(text("scopeName"), text("operator"), &values, resource, object)
        })
}

fn matches(scope: &str, operator: &str, values: &[&str], resource: &ResourceId, object: &Value) -> bool {
    match (resource.as_str(), scope) {
        ("pods", "Terminating") => terminating(object),
        ("pods", "NotTerminating") => !terminating(object),
        ("pods", "BestEffort") => pod::is_best_effort(object),
        ("pods", "NotBestEffort") => !pod::is_best_effort(object),
        ("pods", "PriorityClass") => {
            let class = object.pointer("/spec/priorityClassName").and_then(Value::as_str).unwrap_or_default();
            holds(operator, values, [class])
        }
        ("pods", "CrossNamespacePodAffinity") => crosses_namespaces(object),
        ("persistentvolumeclaims", "VolumeAttributesClass") => {
            let places = [
                "/spec/volumeAttributesClassName",
                "/status/currentVolumeAttributesClassName",
                "/status/modifyVolumeStatus/targetVolumeAttributesClassName",
            ];
            holds(operator, values, places.map(|place| object.pointer(place).and_then(Value::as_str).unwrap_or("")))
        }
        _ => false,
    }
}

/// Whether the operator holds for one of the names that are not empty; `NotIn` and `DoesNotExist` for all of them.
fn holds<const N: usize>(operator: &str, values: &[&str], names: [&str; N]) -> bool {
    let mut given = names.iter().filter(|name| !name.is_empty());
    match operator {
        "Exists" => given.next().is_some(),
        "DoesNotExist" => given.next().is_none(),
        "In" => given.any(|name| values.contains(name)),
        "NotIn" => given.all(|name| !values.contains(name)),
        _ => false,
    }
}

fn terminating(pod: &Value) -> bool {
    pod.pointer("/spec/activeDeadlineSeconds").and_then(Value::as_i64).is_some_and(|seconds| seconds >= 0)
}

fn crosses_namespaces(pod: &Value) -> bool {
    let crosses = |term: &Value| {
        let named = term.get("namespaces").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        named || term.get("namespaceSelector").is_some_and(|selector| !selector.is_null())
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let affinity = pod.pointer(&format!("/spec/affinity/{kind}"));
        let list = |name: &str| affinity.and_then(|a| a.get(name)).and_then(Value::as_array).into_iter().flatten();
        list("requiredDuringSchedulingIgnoredDuringExecution").any(crosses)
            || list("preferredDuringSchedulingIgnoredDuringExecution")
                .any(|weighted| weighted.get("podAffinityTerm").is_some_and(crosses))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn scopes_select_pods() {
        let pods = ResourceId::new("", "pods");
        let pod = json!({"spec": {"activeDeadlineSeconds": 3, "priorityClassName": "high",
            "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["x"]}]}}}});
        for (spec, selected) in [
            (json!({}), true),
            (json!({"scopes": ["Terminating", "BestEffort"]}), true),
            (json!({"scopes": ["NotBestEffort"]}), false),
            (json!({"scopes": ["CrossNamespacePodAffinity"]}), true),
            (
                json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}}),
                true,
            ),
            (
                json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "NotIn", "values": ["high"]}]}}),
                false,
            ),
        ] {
            assert_eq!(selects(&spec, &pods, &pod), selected, "{spec}");
        }
        assert!(!selects(&json!({"scopes": ["Terminating"]}), &ResourceId::new("", "services"), &pod));
    }
}
