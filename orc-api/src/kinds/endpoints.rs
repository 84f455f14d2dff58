//! Endpoints and endpoint slices.

use super::rules::{Generation, Kind};
use super::tree::*;
use orc_core::validation::{FieldError, FieldErrors, FieldPath, ip, names};
use serde_json::Value;
use std::collections::BTreeSet;

/// The rules of `endpoints`.
pub(super) static ENDPOINTS: Kind = Kind {
    create_on_update: true,
    default,
    validate,
    validate_update: |new, _, e| validate(new, e),
    warnings,
    ..Kind::NAMESPACED
};

/// The rules of `endpointslices.discovery.k8s.io`.
pub(super) static SLICE: Kind = Kind {
    default: slice_default,
    generation: Generation::Content,
    validate: slice,
    validate_update: slice_update,
    ..Kind::NAMESPACED
};

fn default(endpoints: &mut Value) {
    for subset in items(endpoints, "subsets") {
        for port in items(subset, "ports") {
            put_text(port, "protocol", "TCP");
        }
    }
}

fn warnings(_new: &Value, _old: Option<&Value>) -> Vec<String> {
    vec!["v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".to_owned()]
}

fn validate(endpoints: &Value, e: &mut FieldErrors) {
    let path = FieldPath::new("subsets");
    for (i, subset) in list(endpoints, "subsets").iter().enumerate() {
        let here = path.index(i);
        if list(subset, "addresses").is_empty() && list(subset, "notReadyAddresses").is_empty() {
            e.required(&here, "must specify `addresses` or `notReadyAddresses`");
        }
        for field in ["addresses", "notReadyAddresses"] {
            let all = here.child(field);
            for (j, address) in list(subset, field).iter().enumerate() {
                endpoint_address(address, &all.index(j), e);
            }
        }
        let ports = list(subset, "ports");
        let all = here.child("ports");
        for (j, port) in ports.iter().enumerate() {
            endpoint_port(port, ports.len() > 1, &all.index(j), e);
        }
    }
}

fn endpoint_address(address: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let value = text(address, "ip");
    let broken = ip::ip(value);
    let fine = broken.is_empty();
    e.each(&path.child("ip"), value, broken);
    let host = text(address, "hostname");
    if !host.is_empty() {
        e.each(&path.child("hostname"), host, names::dns1123_label(host));
    }
    let node = text(address, "nodeName");
    if has(address, "nodeName") {
        for rule in names::dns1123_subdomain(node) {
            e.invalid(&path.child("nodeName"), node, rule);
        }
    }
    if fine {
        super::ports::special_ip(value, &path.child("ip"), e);
    }
}

fn endpoint_port(port: &Value, named: bool, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let name = text(port, "name");
    if name.is_empty() {
        if named {
            e.required(&path.child("name"), "");
        }
    } else {
        e.each(&path.child("name"), name, names::dns1123_label(name));
    }
    let number = int(port, "port").unwrap_or(0);
    for rule in names::port_number(number) {
        e.invalid(&path.child("port"), number, rule);
    }
    match text(port, "protocol") {
        "" => e.required(&path.child("protocol"), ""),
        protocol => e.supported(&path.child("protocol"), protocol, &["SCTP", "TCP", "UDP"]),
    }
    let protocol = text(port, "appProtocol");
    if has(port, "appProtocol") {
        e.each(&path.child("appProtocol"), protocol, names::qualified_name(protocol));
    }
}

fn slice_default(slice: &mut Value) {
    for port in items(slice, "ports") {
        put_default(port, "name", "");
        put_default(port, "protocol", "TCP");
    }
}

fn slice(slice: &Value, e: &mut FieldErrors) {
    let kind = text(slice, "addressType");
    match kind {
        "" => e.required(&FieldPath::new("addressType"), ""),
        other => e.supported(&FieldPath::new("addressType"), other, &["FQDN", "IPv4", "IPv6"]),
    }
    slice_endpoints(slice, kind, e);
    slice_ports(slice, e);
}

fn slice_endpoints(slice: &Value, kind: &str, e: &mut FieldErrors) {
    let path = FieldPath::new("endpoints");
    let all = list(slice, "endpoints");
    if all.len() > 1000 {
        return e.add(FieldError::too_many(&path, all.len(), 1000));
    }
    for (i, endpoint) in all.iter().enumerate() {
        let here = path.index(i);
        let at = here.child("addresses");
        let addresses = texts(endpoint, "addresses");
        if addresses.is_empty() {
            e.required(&at, "must contain at least 1 address");
        } else if addresses.len() > 100 {
            e.add(FieldError::too_many(&at, addresses.len(), 100));
        }
        for (j, address) in addresses.iter().enumerate() {
            slice_address(address, kind, &at, &at.index(j), e);
        }
        if has(endpoint, "nodeName") {
            let node = text(endpoint, "nodeName");
            e.each(&here.child("nodeName"), node, names::dns1123_subdomain(node));
        }
        topology(endpoint, &here.child("deprecatedTopology"), e);
        if has(endpoint, "hostname") {
            let host = text(endpoint, "hostname");
            e.each(&here.child("hostname"), host, names::dns1123_label(host));
        }
        hints(endpoint, &here, e);
    }
}

fn slice_address(address: &str, kind: &str, all: &FieldPath<'_>, path: &FieldPath<'_>, e: &mut FieldErrors) {
    match kind {
        "IPv4" | "IPv6" => match ip::parse_sloppy(address) {
            Some(parsed) => {
                if ip::is_v4(parsed) != (kind == "IPv4") {
                    e.invalid(all, address, format!("must be an {kind} address"));
                }
                super::ports::special_ip(address, path, e);
            }
            None => e.each(path, address, ip::ip(address)),
        },
        "FQDN" => fqdn(address, path, e),
        _ => {}
    }
}

fn fqdn(name: &str, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if name.is_empty() {
        return e.required(path, "");
    }
    let bare = name.strip_suffix('.').unwrap_or(name);
    let broken = names::dns1123_subdomain(bare);
    if !broken.is_empty() {
        return e.invalid(path, bare, broken.join(","));
    }
    if bare.split('.').count() < 2 {
        return e.invalid(path, bare, "should be a domain with at least two segments separated by dots");
    }
    for label in bare.split('.') {
        let broken = names::dns1123_label(label);
        if !broken.is_empty() {
            return e.invalid(path, label, broken.join(","));
        }
    }
}

fn topology(endpoint: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let count = entries(endpoint, "deprecatedTopology").count();
    if count > 16 {
        e.add(FieldError::too_many(path, count, 16));
    }
    super::meta::labels(get(endpoint, "deprecatedTopology"), path, e);
    if has(get(endpoint, "deprecatedTopology"), "kubernetes.io/hostname") && has(endpoint, "nodeName") {
        e.invalid(&path.key("kubernetes.io/hostname"), "", "may not be set together with nodeName");
    }
}

fn hints(endpoint: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if !has(endpoint, "hints") {
        return;
    }
    let here = path.child("hints");
    for (field, limit) in [("forZones", 8), ("forNodes", 8)] {
        let at = here.child(field);
        let all = list(get(endpoint, "hints"), field);
        if all.len() > limit {
            e.add(FieldError::too_many(&at, all.len(), limit));
            continue;
        }
        let mut seen = BTreeSet::new();
        for (i, entry) in all.iter().enumerate() {
            let name = text(entry, "name");
            let sub = at.index(i);
            if !seen.insert(name) {
                e.duplicate(&sub.child("name"), name);
            }
            if name.is_empty() {
                e.required(&sub.child("name"), "");
            } else if field == "forZones" {
                e.each(&sub.child("name"), name, names::label_value(name));
            } else {
                e.each(&sub.child("name"), name, names::dns1123_subdomain(name));
            }
        }
    }
}

fn slice_ports(slice: &Value, e: &mut FieldErrors) {
    let path = FieldPath::new("ports");
    let all = list(slice, "ports");
    if all.len() > 20_000 {
        return e.add(FieldError::too_many(&path, all.len(), 20_000));
    }
    let mut seen = BTreeSet::new();
    for (i, port) in all.iter().enumerate() {
        let here = path.index(i);
        let name = text(port, "name");
        if !name.is_empty() {
            e.each(&here.child("name"), name, names::dns1123_label(name));
        }
        if !seen.insert(name) {
            e.duplicate(&here.child("name"), name);
        }
        match text(port, "protocol") {
            "" => e.required(&here.child("protocol"), ""),
            protocol => e.supported(&here.child("protocol"), protocol, &["SCTP", "TCP", "UDP"]),
        }
        let protocol = text(port, "appProtocol");
        if has(port, "appProtocol") {
            e.each(&here.child("appProtocol"), protocol, names::qualified_name(protocol));
        }
    }
}

fn slice_update(new: &Value, old: &Value, e: &mut FieldErrors) {
    slice(new, e);
    let path = FieldPath::new("addressType");
    e.immutable(&path, get(new, "addressType"), get(old, "addressType"));
}
