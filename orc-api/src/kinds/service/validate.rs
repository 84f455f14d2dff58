//! Checks of services.

use super::super::meta;
use super::super::tree::*;
use super::external;
use orc_core::validation::{FieldErrors, FieldPath, Shown, ip, names};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const SPEC: FieldPath<'static> = FieldPath::new("spec");

pub(super) fn create(service: &Value, e: &mut FieldErrors) {
    content(get(service, "spec"), e);
}

pub(super) fn update(new: &Value, old: &Value, e: &mut FieldErrors) {
    let (spec, was) = (get(new, "spec"), get(old, "spec"));
    address_changes(spec, was, e);
    class_change(spec, was, e);
    content(spec, e);
}

pub(super) fn status(service: &Value, e: &mut FieldErrors) {
    let root = FieldPath::new("status");
    let here = root.child("loadBalancer");
    let path = here.child("ingress");
    let balancer = at(service, "status.loadBalancer");
    let entries = list(balancer, "ingress");
    if text(get(service, "spec"), "type") != "LoadBalancer" && !entries.is_empty() {
        e.forbidden(&path, "may only be used when `spec.type` is \"LoadBalancer\"");
        return;
    }
    for (i, entry) in entries.iter().enumerate() {
        let at = path.index(i);
        let (address, host) = (text(entry, "ip"), text(entry, "hostname"));
        if !address.is_empty() {
            e.each(&at.child("ip"), address, ip::ip(address));
        }
        if address.is_empty() && has(entry, "ipMode") {
            e.forbidden(&at.child("ipMode"), "may not be specified when `ip` is not set");
        } else if !address.is_empty() && !has(entry, "ipMode") {
            e.required(&at.child("ipMode"), "must be specified when `ip` is set");
        } else if has(entry, "ipMode") {
            e.supported(&at.child("ipMode"), text(entry, "ipMode"), &["Proxy", "VIP"]);
        }
        if !host.is_empty() {
            e.each(&at.child("hostname"), host, names::dns1123_subdomain(host));
            if host.parse::<std::net::IpAddr>().is_ok() {
                e.invalid(&at.child("hostname"), host, "must be a DNS name, not an IP address");
            }
        }
    }
}

fn headless(spec: &Value) -> bool {
    match list(spec, "clusterIPs") {
        [one] => one == "None",
        _ => text(spec, "clusterIP") == "None",
    }
}

fn content(spec: &Value, e: &mut FieldErrors) {
    let kind = text(spec, "type");
    let ports = list(spec, "ports");
    let no_ports = ports.is_empty() && !headless(spec) && kind != "ExternalName";
    if no_ports {
        e.required(&SPEC.child("ports"), "");
    }
    by_type(spec, kind, e);
    let mut seen = BTreeSet::new();
    let all = SPEC.child("ports");
    for (i, port) in ports.iter().enumerate() {
        service_port(port, ports.len() > 1, &mut seen, &all.index(i), e);
    }
    meta::labels(get(spec, "selector"), &SPEC.child("selector"), e);
    affinity(spec, e);
    addresses(spec, kind, e);
    external_ips(spec, e);
    e.supported(&SPEC.child("type"), kind, &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    port_conflicts(spec, kind, e);
    balancer(spec, kind, e);
    traffic(spec, kind, e);
}

fn by_type(spec: &Value, kind: &str, e: &mut FieldErrors) {
    let ips = SPEC.child("clusterIPs");
    match kind {
        "LoadBalancer" | "NodePort" if headless(spec) => {
            e.invalid(&ips.index(0), "None", format!("may not be set to 'None' for {kind} services"));
        }
        "ExternalName" => {
            for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if !empty(get(spec, field)) {
                    e.forbidden(&SPEC.child(field), "may not be set for ExternalName services");
                }
            }
            let name = text(spec, "externalName");
            let bare = name.strip_suffix('.').unwrap_or(name);
            if bare.is_empty() {
                e.required(&SPEC.child("externalName"), "");
            } else {
                e.each(&SPEC.child("externalName"), bare, names::dns1123_subdomain(bare));
            }
        }
        _ => {}
    }
}

fn service_port<'a>(
    port: &'a Value,
    named: bool,
    seen: &mut BTreeSet<&'a str>,
    path: &FieldPath<'_>,
    e: &mut FieldErrors,
) {
    let name = text(port, "name");
    if name.is_empty() {
        if named {
            e.required(&path.child("name"), "");
        }
    } else {
        e.each(&path.child("name"), name, names::dns1123_label(name));
        if !seen.insert(name) {
            e.duplicate(&path.child("name"), name);
        }
    }
    let number = int(port, "port").unwrap_or(0);
    for rule in names::port_number(number) {
        e.invalid(&path.child("port"), number, rule);
    }
    match text(port, "protocol") {
        "" => e.required(&path.child("protocol"), ""),
        protocol => e.supported(&path.child("protocol"), protocol, &["SCTP", "TCP", "UDP"]),
    }
    super::super::ports::number_or_name(get(port, "targetPort"), &path.child("targetPort"), e);
    let protocol = text(port, "appProtocol");
    if has(port, "appProtocol") {
        e.each(&path.child("appProtocol"), protocol, names::qualified_name(protocol));
    }
}

fn affinity(spec: &Value, e: &mut FieldErrors) {
    let kind = text(spec, "sessionAffinity");
    match kind {
        "" => e.required(&SPEC.child("sessionAffinity"), ""),
        other => e.supported(&SPEC.child("sessionAffinity"), other, &["ClientIP", "None"]),
    }
    let path = SPEC.child("sessionAffinityConfig");
    if kind == "ClientIP" {
        let here = path.child("clientIP");
        match int(at(spec, "sessionAffinityConfig.clientIP"), "timeoutSeconds") {
            None => e.required(&path, "when session affinity type is ClientIP"),
            Some(seconds) if seconds <= 0 || seconds > 86400 => {
                e.invalid(&here.child("timeoutSeconds"), seconds, "must be greater than 0 and less than 86400");
            }
            Some(_) => {}
        }
    } else if kind == "None" && has(spec, "sessionAffinityConfig") {
        e.forbidden(&path, "must not be set when session affinity is None");
    }
}

fn addresses(spec: &Value, kind: &str, e: &mut FieldErrors) {
    if kind == "ExternalName" {
        return;
    }
    let (one, many) = (text(spec, "clusterIP"), texts(spec, "clusterIPs"));
    let path = SPEC.child("clusterIPs");
    if one.is_empty() && !many.is_empty() {
        e.required(&path, "must be empty when `clusterIP` is not specified");
    } else if !many.is_empty() && many[0] != one {
        e.invalid(&path, get(spec, "clusterIPs"), "first value must match `clusterIP`");
    }
    for (i, address) in many.iter().enumerate() {
        if *address == "None" {
            if i > 0 {
                e.invalid(&path.index(i), "None", "must be empty, a valid IP address, or 'None'");
            }
            continue;
        }
        e.each(&path.index(i), address, ip::ip(address));
    }
    if many.len() > 2 {
        e.invalid(&path, get(spec, "clusterIPs"), "may only hold up to 2 values");
    }
    families(spec, e);
}

fn families(spec: &Value, e: &mut FieldErrors) {
    let path = SPEC.child("ipFamilies");
    let mut seen = BTreeSet::new();
    for (i, family) in texts(spec, "ipFamilies").into_iter().enumerate() {
        e.supported(&path.index(i), family, &["IPv4", "IPv6"]);
        if !seen.insert(family) {
            e.duplicate(&path.index(i), family);
        }
    }
    if has(spec, "ipFamilyPolicy") {
        let all = &["PreferDualStack", "RequireDualStack", "SingleStack"];
        e.supported(&SPEC.child("ipFamilyPolicy"), text(spec, "ipFamilyPolicy"), all);
    }
}

fn external_ips(spec: &Value, e: &mut FieldErrors) {
    let path = SPEC.child("externalIPs");
    for (i, address) in texts(spec, "externalIPs").into_iter().enumerate() {
        let broken = ip::ip(address);
        if broken.is_empty() {
            super::super::ports::special_ip(address, &path.index(i), e);
        } else {
            e.each(&path.index(i), address, broken);
        }
    }
}

fn port_conflicts(spec: &Value, kind: &str, e: &mut FieldErrors) {
    let path = SPEC.child("ports");
    let ports = list(spec, "ports");
    for (i, port) in ports.iter().enumerate() {
        if kind == "ClusterIP" && int(port, "nodePort").unwrap_or(0) != 0 {
            e.forbidden(&path.index(i).child("nodePort"), "may not be used when `type` is 'ClusterIP'");
        }
    }
    let mut node = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let number = int(port, "nodePort").unwrap_or(0);
        if number != 0 && !node.insert((text(port, "protocol"), number)) {
            e.duplicate(&path.index(i).child("nodePort"), number);
        }
    }
    let mut plain = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let key = (text(port, "protocol"), int(port, "port").unwrap_or(0));
        if !plain.insert(key) {
            e.duplicate(&path.index(i), Shown::from(json!({"protocol": key.0, "port": key.1})));
        }
    }
}

const ONLY_BALANCER: &str = "may only be used when `type` is 'LoadBalancer'";

fn balancer(spec: &Value, kind: &str, e: &mut FieldErrors) {
    let ranges = texts(spec, "loadBalancerSourceRanges");
    if !ranges.is_empty() {
        let path = SPEC.child("LoadBalancerSourceRanges");
        if kind != "LoadBalancer" {
            e.forbidden(&path, ONLY_BALANCER);
        }
        for (i, range) in ranges.into_iter().enumerate() {
            e.each(&path.index(i), range, ip::cidr(range.trim()));
        }
    }
    let allocate = has(spec, "allocateLoadBalancerNodePorts");
    if allocate && kind != "LoadBalancer" {
        e.forbidden(&SPEC.child("allocateLoadBalancerNodePorts"), ONLY_BALANCER);
    } else if !allocate && kind == "LoadBalancer" {
        e.required(&SPEC.child("allocateLoadBalancerNodePorts"), "");
    }
    if has(spec, "loadBalancerClass") {
        let (path, class) = (SPEC.child("loadBalancerClass"), text(spec, "loadBalancerClass"));
        if kind != "LoadBalancer" {
            e.forbidden(&path, ONLY_BALANCER);
        }
        e.each(&path, class, names::qualified_name(class));
    }
}

fn traffic(spec: &Value, kind: &str, e: &mut FieldErrors) {
    let path = SPEC.child("externalTrafficPolicy");
    let policy = text(spec, "externalTrafficPolicy");
    if external(spec) {
        match policy {
            "" => e.required(&path, ""),
            other => e.supported(&path, other, &["Cluster", "Local"]),
        }
    } else if !policy.is_empty() {
        e.invalid(&path, policy, "may only be set for externally-accessible services");
    }
    let check = int(spec, "healthCheckNodePort").unwrap_or(0);
    let checked = kind == "LoadBalancer" && policy == "Local";
    if checked {
        if !(0..=65535).contains(&check) {
            let rule = names::range_text(0, 65535);
            e.invalid(&SPEC.child("healthCheckNodePort"), check, rule);
        }
    } else if check != 0 {
        let rule = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        e.invalid(&SPEC.child("healthCheckNodePort"), check, rule);
    }
    let path = SPEC.child("internalTrafficPolicy");
    if ["ClusterIP", "NodePort", "LoadBalancer"].contains(&kind) && !has(spec, "internalTrafficPolicy") {
        e.required(&path, "");
    }
    if has(spec, "internalTrafficPolicy") {
        e.supported(&path, text(spec, "internalTrafficPolicy"), &["Cluster", "Local"]);
    }
    if has(spec, "trafficDistribution") {
        let all = &["PreferClose", "PreferSameZone", "PreferSameNode"];
        e.supported(&SPEC.child("trafficDistribution"), text(spec, "trafficDistribution"), all);
    }
}

/// The first address, and a second one of the same kind, stay for the life of the type.
fn address_changes(spec: &Value, was: &Value, e: &mut FieldErrors) {
    let kept = text(was, "type") != "ExternalName" && text(spec, "type") != "ExternalName";
    let (now, then) = (texts(spec, "clusterIPs"), texts(was, "clusterIPs"));
    if !kept || then.is_empty() {
        return;
    }
    let path = SPEC.child("clusterIPs");
    let field = get(spec, "clusterIPs");
    if now.first() != then.first() {
        return e.invalid(&path.index(0), field, "may not change once set");
    }
    if let (Some(after), Some(before)) = (now.get(1), then.get(1))
        && after != before
    {
        e.invalid(&path.index(1), field, "may not change once set");
    }
}

fn class_change(spec: &Value, was: &Value, e: &mut FieldErrors) {
    if text(was, "type") == "LoadBalancer" && text(spec, "type") == "LoadBalancer" {
        let path = SPEC.child("loadBalancerClass");
        if text(was, "loadBalancerClass") != text(spec, "loadBalancerClass") {
            e.invalid(&path, text(spec, "loadBalancerClass"), "may not change once set");
        }
    }
}

pub(super) fn warnings(new: &Value, _old: Option<&Value>) -> Vec<String> {
    let spec = get(new, "spec");
    let mut out = Vec::new();
    if headless(spec) {
        if !text(spec, "loadBalancerIP").is_empty() {
            out.push("spec.loadBalancerIP is ignored when spec.clusterIP is set to \"None\"".to_owned());
        }
        if !list(spec, "externalIPs").is_empty() {
            out.push("spec.externalIPs is ignored when spec.clusterIP is set to \"None\"".to_owned());
        }
        if text(spec, "sessionAffinity") == "ClientIP" {
            out.push("spec.SessionAffinity is ignored for headless services".to_owned());
        }
    }
    for (field, many) in [("clusterIPs", true), ("externalIPs", true), ("loadBalancerIP", false)] {
        if many {
            for (i, address) in texts(spec, field).into_iter().enumerate().filter(|(_, a)| *a != "None") {
                out.extend(ip::warnings(&format!("spec.{field}[{i}]"), address));
            }
        } else if !text(spec, field).is_empty() {
            out.extend(ip::warnings(&format!("spec.{field}"), text(spec, field)));
        }
    }
    for (i, range) in texts(spec, "loadBalancerSourceRanges").into_iter().enumerate() {
        out.extend(ip::cidr_warnings(&format!("spec.loadBalancerSourceRanges[{i}]"), range));
    }
    if text(spec, "trafficDistribution") == "PreferClose" {
        out.push("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\" instead".to_owned());
    }
    out
}
