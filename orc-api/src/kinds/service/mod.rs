//! Services. Addresses and node ports are allocated elsewhere; what a client may say about them is checked here.

mod change;
mod validate;

use super::rules::Kind;
use super::tree::*;
use serde_json::{Value, json};

/// The rules of `services`.
pub(super) static SERVICE: Kind = Kind {
    status: true,
    name: orc_core::validation::names::dns1123_label,
    default,
    prepare_update: change::prepare_update,
    validate: validate::create,
    validate_update: validate::update,
    validate_sub: |new, _, _, e| validate::status(new, e),
    warnings: validate::warnings,
    revalidates_meta: true,
    ..Kind::NAMESPACED
};

/// Whether a client from outside the cluster can reach the service.
fn external(spec: &Value) -> bool {
    match text(spec, "type") {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => !list(spec, "externalIPs").is_empty(),
        _ => false,
    }
}

fn default(service: &mut Value) {
    let spec = ensure(service, "spec");
    put_text(spec, "sessionAffinity", "None");
    match text(spec, "sessionAffinity") {
        "None" => remove(spec, "sessionAffinityConfig"),
        "ClientIP" => {
            let timeout = at(spec, "sessionAffinityConfig.clientIP.timeoutSeconds");
            if timeout.is_null() {
                put(spec, "sessionAffinityConfig", json!({"clientIP": {"timeoutSeconds": 10800}}));
            }
        }
        _ => {}
    }
    put_text(spec, "type", "ClusterIP");
    for port in items(spec, "ports") {
        put_text(port, "protocol", "TCP");
        let target = get(port, "targetPort");
        if target.is_null() || target == 0 || target == "" {
            let number = get(port, "port").clone();
            put(port, "targetPort", number);
        }
    }
    if external(spec) {
        put_text(spec, "externalTrafficPolicy", "Cluster");
    }
    if ["ClusterIP", "NodePort", "LoadBalancer"].contains(&text(spec, "type")) {
        put_default(spec, "internalTrafficPolicy", "Cluster");
    }
    if text(spec, "type") == "LoadBalancer" {
        put_default(spec, "allocateLoadBalancerNodePorts", true);
    }
    cluster_ips(spec);
    if text(spec, "type") == "LoadBalancer"
        && let Some(balancer) = child_at(service, "status.loadBalancer")
    {
        for entry in items(balancer, "ingress").filter(|entry| !text(entry, "ip").is_empty()) {
            put_default(entry, "ipMode", "VIP");
        }
    }
}

/// `clusterIP` is the first of `clusterIPs`; whoever says one says both.
fn cluster_ips(spec: &mut Value) {
    let one = text(spec, "clusterIP").to_owned();
    if !one.is_empty() && list(spec, "clusterIPs").is_empty() {
        put(spec, "clusterIPs", vec![Value::from(one)]);
    }
}
