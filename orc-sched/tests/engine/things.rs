//! The nodes and pods of the property test.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use orc_sched::{NodeInfo, PodInfo};
use serde_json::{Value, json};

use crate::acts::Shape;
use crate::common::{node, node_info, pod, pod_info, with};
use crate::devices::claim;

pub(crate) fn a_node(number: usize, shape: &Shape) -> Arc<NodeInfo> {
    let taints = match shape.taint {
        0 => json!([{"key": "a", "value": "1", "effect": "NoSchedule"}]),
        1 => json!([{"key": "a", "value": "1", "effect": "PreferNoSchedule"}]),
        2 => json!([{"key": "b", "effect": "NoExecute"}, {"key": "c", "effect": "PreferNoSchedule"}]),
        _ => json!([]),
    };
    let name = format!("n{number}");
    // Some nodes are in no zone.
    let zone = (shape.zone < 3).then(|| format!("z{}", shape.zone));
    let gpus = (number % 3).to_string();
    let made: Node = with(
        &node(&name, shape.cpu, shape.memory, 6),
        json!({
            "metadata": {"labels": match zone {
                Some(zone) => json!({"zone": zone, "topology.kubernetes.io/zone": zone}),
                None => json!({}),
            }},
            "spec": {"unschedulable": shape.cordoned, "taints": taints},
            "status": {"allocatable": {"example.com/gpu": gpus}},
        }),
    );
    node_info(&made)
}

/// Pods of a few sorts; several of each, so that signatures are shared.
pub(crate) fn a_pod(number: usize) -> Arc<PodInfo> {
    let base: Pod = pod(&format!("p{number}"), 250 * (number as i64 % 2 + 1));
    let term = |zone: &str| json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]});
    let affinity = |what: &str, terms: serde_json::Value| {
        let mut spec = json!({"affinity": {}});
        let (kind, field) = what.split_once('.').unwrap();
        spec["affinity"][kind][format!("{field}DuringSchedulingIgnoredDuringExecution")] = terms;
        spec
    };
    let near = |app: &str, key: &str| json!({"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}});
    let spread = |skew: i64, key: &str, when: &str| json!({"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": when, "labelSelector": {"matchLabels": {"app": "a"}}});
    let (zone, host) = ("zone", "kubernetes.io/hostname");
    let app = |app: &str| json!({"labels": {"app": app}});
    let patch = match number % 24 {
        0 => json!({"spec": {"tolerations": [{"key": "a", "operator": "Exists"}]}}),
        1 => json!({"spec": {"nodeSelector": {"zone": "z1"}}}),
        2 => json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80, "hostPort": 80}]}]}}),
        3 => json!({"spec": {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
            [{"weight": 5, "preference": term("z0")}, {"weight": 2, "preference": term("z2")}]}}}}),
        4 => json!({"spec": {"containers": [{"name": "a", "resources": {"requests": {"example.com/gpu": "1"}}}]}}),
        5 => json!({"spec": {"priority": 10}}),
        6 => json!({"metadata": app("a"), "spec": affinity("podAffinity.required", json!([near("a", zone)]))}),
        7 => json!({"metadata": app("b"), "spec": affinity("podAffinity.required", json!([near("a", host)]))}),
        8 => json!({"metadata": app("b"), "spec": affinity("podAntiAffinity.required", json!([near("b", host)]))}),
        9 => json!({"metadata": app("c"), "spec": affinity("podAntiAffinity.required", json!([near("a", zone)]))}),
        10 => json!({"metadata": app("a"), "spec": affinity("podAffinity.preferred", json!([
            {"weight": 7, "podAffinityTerm": near("b", zone)}, {"weight": 3, "podAffinityTerm": near("c", host)}]))}),
        11 => json!({"metadata": app("c"), "spec": affinity("podAntiAffinity.preferred", json!([
            {"weight": 9, "podAffinityTerm": near("a", host)}]))}),
        12 => json!({"metadata": app("a"), "spec": {"topologySpreadConstraints": [spread(1, zone, "DoNotSchedule")]}}),
        13 => json!({"metadata": app("a"), "spec": {"topologySpreadConstraints": [
            spread(1, host, "DoNotSchedule"), spread(2, zone, "ScheduleAnyway")]}}),
        14 => json!({"metadata": app("b"), "spec": {"topologySpreadConstraints": [
            spread(1, zone, "ScheduleAnyway"), spread(1, host, "ScheduleAnyway")]}}),
        15 => {
            let mut constraint = spread(1, zone, "DoNotSchedule");
            constraint["nodeTaintsPolicy"] = json!("Honor");
            constraint["minDomains"] = json!(3);
            constraint["matchLabelKeys"] = json!(["hash"]);
            json!({"metadata": {"labels": {"app": "a", "hash": "1"}}, "spec": {"topologySpreadConstraints": [constraint]}})
        }
        16 => json!({"metadata": app("web")}),
        17 => json!({"metadata": app("web"), "spec": {"priority": -5, "nodeSelector": {"zone": "z0"}}}),
        18 => {
            json!({"metadata": {"namespace": "other", "labels": {"app": "a"}}, "spec": affinity("podAntiAffinity.required", json!([
            {"topologyKey": zone, "labelSelector": {"matchLabels": {"app": "a"}}, "namespaceSelector": {"matchLabels": {"team": "x"}}}]))})
        }
        19 => json!({"metadata": app("a"), "spec": {"priority": 10}}),
        20 | 21 => using(&[&own_claim(number)]),
        22 => using(&["shared"]),
        23 => using(&[&own_claim(number), "shared"]),
        _ => json!({}),
    };
    pod_info(&with(&base, patch))
}

fn own_claim(number: usize) -> String {
    format!("c{number}")
}

fn using(claims: &[&str]) -> Value {
    let all: Vec<Value> = claims.iter().map(|claim| json!({"name": claim, "resourceClaimName": claim})).collect();
    json!({"spec": {"resourceClaims": all}})
}

/// The claim of a pod, or the one that several share: alike for pods of one sort.
pub(crate) fn a_claim(number: Option<usize>) -> Value {
    let of = |model: &str| json!([{"cel": {"expression": format!("model == {model}")}}]);
    let selectors = match number.map(|number| number % 24) {
        None => of("y"),
        Some(20) => of("x"),
        _ => json!([]),
    };
    let count = if number.is_some_and(|number| number % 24 == 21) { 2 } else { 1 };
    let exactly = json!({"deviceClassName": "gpu", "count": count, "selectors": selectors});
    let name = number.map_or("shared".to_owned(), own_claim);
    claim(&name, json!({"requests": [{"name": "r", "exactly": exactly}]}))
}
