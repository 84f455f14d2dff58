//! What an update of a service keeps, and what a change of type lets go.

use super::super::tree::*;
use serde_json::Value;

fn has_cluster_ip(spec: &Value) -> bool {
    ["ClusterIP", "NodePort", "LoadBalancer"].contains(&text(spec, "type"))
}

fn has_node_ports(spec: &Value) -> bool {
    match text(spec, "type") {
        "NodePort" => true,
        "LoadBalancer" => get(spec, "allocateLoadBalancerNodePorts").as_bool().unwrap_or(true),
        _ => false,
    }
}

fn has_health_check(spec: &Value) -> bool {
    text(spec, "type") == "LoadBalancer" && text(spec, "externalTrafficPolicy") == "Local"
}

pub(super) fn prepare_update(new: &mut Value, old: &Value) {
    let was = get(old, "spec");
    let spec = ensure(new, "spec");
    allocated(spec, was);
    normalize(spec, was);
    dropped(spec, was);
    let left = text(was, "type") == "LoadBalancer" && text(get(new, "spec"), "type") != "LoadBalancer";
    if let Some(status) = child(new, "status").filter(|_| left) {
        put(status, "loadBalancer", serde_json::json!({}));
    }
}

/// A client that leaves out what was allocated keeps it.
fn allocated(spec: &mut Value, was: &Value) {
    let silent = text(spec, "clusterIP").is_empty() && list(spec, "clusterIPs").is_empty();
    if has_cluster_ip(was) && has_cluster_ip(spec) && silent {
        for field in ["clusterIP", "clusterIPs"].into_iter().filter(|field| has(was, field)) {
            put(spec, field, get(was, field).clone());
        }
    }
    if has_node_ports(was) && has_node_ports(spec) {
        let key = |p: &Value| (text(p, "protocol").to_owned(), int(p, "port"));
        let mut used: Vec<i64> =
            list(spec, "ports").iter().filter_map(|p| int(p, "nodePort")).filter(|n| *n != 0).collect();
        for port in items(spec, "ports").filter(|p| int(p, "nodePort").unwrap_or(0) == 0) {
            let before = list(was, "ports").iter().find(|p| key(p) == key(port));
            if let Some(number) = before.and_then(|p| int(p, "nodePort")).filter(|n| *n != 0 && !used.contains(n)) {
                put(port, "nodePort", number);
                used.push(number);
            }
        }
    }
    let unchecked = int(spec, "healthCheckNodePort").unwrap_or(0) == 0;
    let number = int(was, "healthCheckNodePort").filter(|_| unchecked && has_health_check(was));
    if let Some(number) = number.filter(|_| has_health_check(spec)) {
        put(spec, "healthCheckNodePort", number);
    }
}

/// Whoever changes `clusterIP` alone means the list as well.
fn normalize(spec: &mut Value, was: &Value) {
    let (now, then) = (text(spec, "clusterIP").to_owned(), text(was, "clusterIP"));
    let list_same = same(get(spec, "clusterIPs"), get(was, "clusterIPs"));
    if now != then && list_same {
        if now.is_empty() {
            remove(spec, "clusterIPs");
        } else {
            put(spec, "clusterIPs", vec![Value::from(now)]);
        }
    }
}

/// A type that has no use for a field lets it go, unless the same update sets it anew.
fn dropped(spec: &mut Value, was: &Value) {
    let unchanged = |spec: &Value, field: &str| same(get(spec, field), get(was, field));
    if has_cluster_ip(was) && !has_cluster_ip(spec) {
        if unchanged(spec, "clusterIPs") {
            remove(spec, "clusterIP");
            remove(spec, "clusterIPs");
        }
        for field in ["ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
            if unchanged(spec, field) {
                remove(spec, field);
            }
        }
    }
    if has_node_ports(was) && !has_node_ports(spec) {
        let numbers = |s: &Value| list(s, "ports").iter().map(|p| int(p, "nodePort").unwrap_or(0)).collect::<Vec<_>>();
        if numbers(spec) == numbers(was) {
            items(spec, "ports").for_each(|port| remove(port, "nodePort"));
        }
    }
    if has_health_check(was) && !has_health_check(spec) && unchanged(spec, "healthCheckNodePort") {
        remove(spec, "healthCheckNodePort");
    }
    let left = |kind: &str| text(was, "type") == kind && text(spec, "type") != kind;
    let left_balancer = left("LoadBalancer");
    if left_balancer {
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if unchanged(spec, field) {
                remove(spec, field);
            }
        }
    }
    if super::external(was) && !super::external(spec) && unchanged(spec, "externalTrafficPolicy") {
        remove(spec, "externalTrafficPolicy");
    }
}
