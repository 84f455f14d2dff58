//! Ingresses, ingress classes, network policies and ranges of service addresses.

use super::pod_spec::labels::label_selector;
use super::ports::number_or_name;
use super::rules::{Generation, Kind};
use super::tree::*;
use orc_core::validation::{FieldErrors, FieldPath, ip, names};
use serde_json::Value;

const SPEC: FieldPath<'static> = FieldPath::new("spec");

/// The rules of `ingresses.networking.k8s.io`.
pub(super) static INGRESS: Kind = Kind {
    default: |_| {},
    validate: ingress,
    validate_update: |new, _, e| ingress(new, e),
    ..Kind::NAMESPACED.with_status()
};

/// The rules of `ingressclasses.networking.k8s.io`.
pub(super) static INGRESS_CLASS: Kind = Kind {
    default: |class| {
        if let Some(parameters) = child_at(class, "spec.parameters") {
            put_default(parameters, "scope", "Cluster");
        }
    },
    validate: class,
    validate_update: |new, old, e| {
        let path = SPEC.child("controller");
        e.immutable(&path, at(new, "spec.controller"), at(old, "spec.controller"));
        class(new, e);
    },
    ..Kind::CLUSTER.with_generation(Generation::Spec)
};

/// The rules of `networkpolicies.networking.k8s.io`.
pub(super) static POLICY: Kind = Kind {
    default: policy_default,
    validate: policy,
    validate_update: |new, _, e| policy(new, e),
    ..Kind::NAMESPACED.with_generation(Generation::Spec)
};

/// The rules of `servicecidrs.networking.k8s.io`.
pub(super) static SERVICE_CIDR: Kind = Kind {
    validate: ranges,
    validate_update: |new, old, e| {
        let path = SPEC.child("cidrs");
        e.immutable(&path, at(new, "spec.cidrs"), at(old, "spec.cidrs"));
    },
    status: true,
    ..Kind::CLUSTER
};

/// A path like `example.com/name`.
pub(super) fn domain_path(value: &str, path: &FieldPath<'_>, e: &mut FieldErrors) {
    const RULE: &str = "must be a domain-prefixed path (such as \"acme.io/foo\")";
    if value.is_empty() {
        return e.required(path, "");
    }
    match value.split_once('/') {
        Some((host, rest)) if !host.is_empty() && !rest.is_empty() => {
            e.each(path, host, names::dns1123_subdomain(host));
            let fine = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b);
            if !rest.bytes().all(fine) {
                let text = names::regex_text("Invalid path", r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", &[]);
                e.invalid(path, rest, text);
            }
        }
        _ => e.invalid(path, value, RULE),
    }
}

fn ingress(object: &Value, e: &mut FieldErrors) {
    let spec = get(object, "spec");
    let rules = list(spec, "rules");
    if rules.is_empty() && !has(spec, "defaultBackend") {
        e.invalid(&SPEC, &Value::Null, "either `defaultBackend` or `rules` must be specified");
    }
    if has(spec, "defaultBackend") {
        backend(get(spec, "defaultBackend"), &SPEC.child("defaultBackend"), e);
    }
    let all = SPEC.child("rules");
    for (i, rule) in rules.iter().enumerate() {
        ingress_rule(rule, &all.index(i), e);
    }
    let all = SPEC.child("tls");
    for (i, tls) in list(spec, "tls").iter().enumerate() {
        let at = all.index(i);
        let hosts = at.child("hosts");
        for (j, host) in texts(tls, "hosts").into_iter().enumerate() {
            let rule = if host.contains('*') { names::wildcard_dns1123_subdomain } else { names::dns1123_subdomain };
            e.each(&hosts.index(j), host, rule(host));
        }
        let secret = text(tls, "secretName");
        if !secret.is_empty() {
            e.each(&at.child("secretName"), secret, names::dns1123_subdomain(secret));
        }
    }
    if has(spec, "ingressClassName") {
        let name = text(spec, "ingressClassName");
        e.each(&SPEC.child("ingressClassName"), name, names::dns1123_subdomain(name));
    }
}

fn ingress_rule(rule: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let host = text(rule, "host");
    if !host.is_empty() {
        let at = path.child("host");
        if host.parse::<std::net::IpAddr>().is_ok() {
            e.invalid(&at, host, "must be a DNS name, not an IP address");
        }
        let rule = if host.contains('*') { names::wildcard_dns1123_subdomain } else { names::dns1123_subdomain };
        e.each(&at, host, rule(host));
    }
    if !has(rule, "http") {
        return;
    }
    let http = path.child("http");
    let all = http.child("paths");
    let paths = list(get(rule, "http"), "paths");
    if paths.is_empty() {
        e.required(&all, "");
    }
    for (i, entry) in paths.iter().enumerate() {
        http_path(entry, &all.index(i), e);
    }
}

fn http_path(entry: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let (value, at) = (text(entry, "path"), path.child("path"));
    if !has(entry, "pathType") {
        return e.required(&path.child("pathType"), "pathType must be specified");
    }
    match text(entry, "pathType") {
        "Exact" | "Prefix" => {
            if !value.starts_with('/') {
                e.invalid(&at, value, "must be an absolute path");
            }
            if !value.is_empty() {
                for part in ["//", "/./", "/../", "%2f", "%2F"].iter().filter(|p| value.contains(**p)) {
                    e.invalid(&at, value, format!("must not contain '{part}'"));
                }
                for end in ["/..", "/."].iter().filter(|s| value.ends_with(**s)) {
                    e.invalid(&at, value, format!("cannot end with '{end}'"));
                }
            }
        }
        "ImplementationSpecific" => {
            if !value.is_empty() && !value.starts_with('/') {
                e.invalid(&at, value, "must be an absolute path");
            }
        }
        other => e.supported(&path.child("pathType"), other, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
    backend(get(entry, "backend"), &path.child("backend"), e);
}

fn backend(value: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let (service, resource) = (has(value, "service"), has(value, "resource"));
    if resource && service {
        return e.invalid(path, "", "cannot set both resource and service backends");
    }
    if resource {
        let at = path.child("resource");
        for field in ["kind", "name"] {
            if text(get(value, "resource"), field).is_empty() {
                e.required(&at.child(field), "");
            }
        }
        return;
    }
    let at = path.child("service");
    let inner = get(value, "service");
    let name = text(inner, "name");
    if name.is_empty() {
        e.required(&at.child("name"), "");
    } else {
        e.each(&at.child("name"), name, names::dns1123_label(name));
    }
    let port = get(inner, "port");
    let (label, number) = (text(port, "name"), int(port, "number").unwrap_or(0));
    let here = at.child("port");
    if !label.is_empty() && number != 0 {
        e.invalid(&here, "", "cannot set both port name & port number");
    } else if !label.is_empty() {
        e.each(&here.child("name"), label, names::port_name(label));
    } else if number != 0 {
        for rule in names::port_number(number) {
            e.invalid(&here.child("number"), number, rule);
        }
    } else if service {
        e.required(&here, "port name or number is required");
    }
}

fn class(object: &Value, e: &mut FieldErrors) {
    let spec = get(object, "spec");
    let controller = text(spec, "controller");
    let path = SPEC.child("controller");
    if controller.len() > 250 {
        e.add(orc_core::validation::FieldError::too_long(&path, 250));
    }
    domain_path(controller, &path, e);
    if !has(spec, "parameters") {
        return;
    }
    let (parameters, path) = (get(spec, "parameters"), SPEC.child("parameters"));
    for field in ["kind", "name"] {
        if text(parameters, field).is_empty() {
            e.required(&path.child(field), "");
        }
    }
    let namespace = text(parameters, "namespace");
    match text(parameters, "scope") {
        "" => e.required(&path.child("scope"), ""),
        "Cluster" if has(parameters, "namespace") => {
            e.forbidden(&path.child("namespace"), "`parameters.scope` is set to 'Cluster'");
        }
        "Namespace" if namespace.is_empty() => {
            e.required(&path.child("namespace"), "`parameters.scope` is set to 'Namespace'");
        }
        scope => e.supported(&path.child("scope"), scope, &["Cluster", "Namespace"]),
    }
}

fn policy_default(object: &mut Value) {
    let spec = ensure(object, "spec");
    for side in ["ingress", "egress"] {
        for rule in items(spec, side) {
            for port in items(rule, "ports") {
                put_default(port, "protocol", "TCP");
            }
        }
    }
    if list(spec, "policyTypes").is_empty() {
        let types: &[&str] = if list(spec, "egress").is_empty() { &["Ingress"] } else { &["Ingress", "Egress"] };
        put(spec, "policyTypes", types.to_vec());
    }
}

fn policy(object: &Value, e: &mut FieldErrors) {
    let spec = get(object, "spec");
    label_selector(get(spec, "podSelector"), &SPEC.child("podSelector"), e);
    for (side, peers) in [("ingress", "from"), ("egress", "to")] {
        let all = SPEC.child(side);
        for (i, rule) in list(spec, side).iter().enumerate() {
            let at = all.index(i);
            let ports = at.child("ports");
            for (j, port) in list(rule, "ports").iter().enumerate() {
                policy_port(port, &ports.index(j), e);
            }
            let targets = at.child(peers);
            for (j, peer) in list(rule, peers).iter().enumerate() {
                policy_peer(peer, &targets.index(j), e);
            }
        }
    }
    let types = texts(spec, "policyTypes");
    let path = SPEC.child("policyTypes");
    if types.len() > 2 {
        return e.invalid(&path, get(spec, "policyTypes"), "may not specify more than two policyTypes");
    }
    for (i, kind) in types.into_iter().enumerate() {
        e.supported(&path.index(i), kind, &["Egress", "Ingress"]);
    }
}

fn policy_port(port: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if has(port, "protocol") {
        e.supported(&path.child("protocol"), text(port, "protocol"), &["SCTP", "TCP", "UDP"]);
    }
    let end = int(port, "endPort");
    match get(port, "port") {
        Value::Null => {
            if let Some(end) = end {
                e.invalid(&path.child("endPort"), end, "may not be specified when `port` is not specified");
            }
        }
        number if number.is_i64() || number.is_u64() => {
            number_or_name(number, &path.child("port"), e);
            let first = number.as_i64().unwrap_or(0);
            if let Some(end) = end {
                if end < first {
                    e.invalid(&path.child("endPort"), first, "must be greater than or equal to `port`");
                }
                for rule in names::port_number(end) {
                    e.invalid(&path.child("endPort"), end, rule);
                }
            }
        }
        named => {
            if let Some(end) = end {
                e.invalid(&path.child("endPort"), end, "may not be specified when `port` is non-numeric");
            }
            number_or_name(named, &path.child("port"), e);
        }
    }
}

fn policy_peer(peer: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let mut peers = 0;
    for field in ["podSelector", "namespaceSelector"] {
        if has(peer, field) {
            peers += 1;
            label_selector(get(peer, field), &path.child(field), e);
        }
    }
    if has(peer, "ipBlock") {
        peers += 1;
        block(get(peer, "ipBlock"), &path.child("ipBlock"), e);
    }
    if peers == 0 {
        e.required(path, "must specify a peer");
    } else if peers > 1 && has(peer, "ipBlock") {
        e.forbidden(path, "may not specify both ipBlock and another peer");
    }
}

fn block(value: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let range = text(value, "cidr");
    if range.is_empty() {
        return e.required(&path.child("cidr"), "");
    }
    let broken = ip::cidr(range);
    if !broken.is_empty() {
        return e.each(&path.child("cidr"), range, broken);
    }
    let Some((base, size)) = ip::parse_cidr_sloppy(range) else { return };
    let all = path.child("except");
    for (i, inner) in texts(value, "except").into_iter().enumerate() {
        let at = all.index(i);
        let Some((address, length)) = ip::parse_cidr_sloppy(inner) else {
            e.each(&at, inner, ip::cidr(inner));
            continue;
        };
        let within = address.is_ipv4() == base.is_ipv4()
            && length > size
            && ip::network(address, size) == ip::network(base, size);
        if !within {
            e.invalid(&at, inner, "must be a strict subset of `cidr`");
        }
    }
}

fn ranges(object: &Value, e: &mut FieldErrors) {
    let spec = get(object, "spec");
    let (all, path) = (texts(spec, "cidrs"), SPEC.child("cidrs"));
    if all.is_empty() {
        return e.required(&path, "at least one CIDR required");
    }
    if all.len() > 2 {
        return e.invalid(&path, get(spec, "cidrs"), "may only hold up to 2 values");
    }
    let before = e.len();
    let mut families = Vec::new();
    for (i, range) in all.iter().enumerate() {
        e.each(&path.index(i), range, ip::cidr_strict(range));
        families.extend(ip::parse_cidr_sloppy(range).map(|(a, _)| ip::is_v4(a)));
    }
    if e.len() == before && families.len() == 2 && families[0] == families[1] {
        let rule = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        e.invalid(&path, get(spec, "cidrs"), rule);
    }
}
