//! Services, endpoints, ingresses and their like.

use serde_json::Value;

use super::{Row, join, none_if_empty, pairs};

pub(super) fn cell(id: &str, column: &str, row: &Row<'_>) -> Option<Value> {
    Some(match (id, column) {
        ("services", "Type") => row.text("/spec/type").into(),
        ("services", "Cluster-IP") => row.text_or("/spec/clusterIP", "<none>").into(),
        ("services", "External-IP") => external(row).into(),
        ("services", "Port(s)") => service_ports(row).into(),
        ("services", "Selector") => pairs(row.get("/spec/selector")).into(),
        ("endpoints", "Endpoints") => endpoints(row).into(),
        ("endpointslices.discovery.k8s.io", "AddressType") => row.text("/addressType").into(),
        ("endpointslices.discovery.k8s.io", "Ports") => slice_ports(row).into(),
        ("endpointslices.discovery.k8s.io", "Endpoints") => slice_endpoints(row).into(),
        ("ingresses.networking.k8s.io", "Class") => row.text_or("/spec/ingressClassName", "<none>").into(),
        ("ingresses.networking.k8s.io", "Hosts") => hosts(row).into(),
        ("ingresses.networking.k8s.io", "Address") => ingress_points(row).into(),
        ("ingresses.networking.k8s.io", "Ports") => if row.len("/spec/tls") > 0 { "80, 443" } else { "80" }.into(),
        ("ingressclasses.networking.k8s.io", "Controller") => row.text("/spec/controller").into(),
        ("ingressclasses.networking.k8s.io", "Parameters") => parameters(row).into(),
        ("networkpolicies.networking.k8s.io", "Pod-Selector") => row.selector("/spec/podSelector").into(),
        ("servicecidrs.networking.k8s.io", "CIDRs") => texts(row, "/spec/cidrs").into(),
        ("ipaddresses.networking.k8s.io", "ParentRef") => parent(row).into(),
        _ => return None,
    })
}

fn texts(row: &Row<'_>, pointer: &str) -> String {
    join(row.list(pointer).iter().filter_map(Value::as_str), ",")
}

fn ingress_points(row: &Row<'_>) -> String {
    let point = |p: &Value| p.get("ip").or(p.get("hostname")).and_then(Value::as_str).unwrap_or_default().to_owned();
    join(row.list("/status/loadBalancer/ingress").iter().map(point), ",")
}

fn external(row: &Row<'_>) -> String {
    let ips = texts(row, "/spec/externalIPs");
    match row.text("/spec/type") {
        "ExternalName" => row.text("/spec/externalName").to_owned(),
        "LoadBalancer" => {
            let points = ingress_points(row);
            let both = [points, ips].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(",");
            if both.is_empty() { "<pending>".to_owned() } else { both }
        }
        _ => none_if_empty(ips),
    }
}

fn service_ports(row: &Row<'_>) -> String {
    let port = |port: &Value| {
        let number = |name: &str| port.get(name).and_then(Value::as_i64).unwrap_or_default();
        let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
        match number("nodePort") {
            0 => format!("{}/{protocol}", number("port")),
            node => format!("{}:{node}/{protocol}", number("port")),
        }
    };
    none_if_empty(join(row.list("/spec/ports").iter().map(port), ","))
}

/// The first three, and how many more there are.
fn first_three(all: &[String]) -> String {
    match all {
        [] => "<none>".to_owned(),
        [a, b, c, rest @ ..] if !rest.is_empty() => format!("{a},{b},{c} + {} more...", rest.len()),
        few => few.join(","),
    }
}

fn endpoints(row: &Row<'_>) -> String {
    let mut all = Vec::new();
    for subset in row.list("/subsets") {
        let ips = subset["addresses"].as_array().into_iter().flatten().filter_map(|a| a["ip"].as_str());
        let ports: Vec<i64> =
            subset["ports"].as_array().into_iter().flatten().filter_map(|p| p["port"].as_i64()).collect();
        if ports.is_empty() {
            all.extend(ips.map(str::to_owned));
        } else {
            let ips: Vec<&str> = ips.collect();
            all.extend(ports.iter().flat_map(|port| ips.iter().map(move |ip| format!("{ip}:{port}"))));
        }
    }
    first_three(&all)
}

fn slice_ports(row: &Row<'_>) -> String {
    let ports: Vec<String> = row
        .list("/ports")
        .iter()
        .map(|p| p["port"].as_i64().map_or_else(|| p["name"].as_str().unwrap_or("*").to_owned(), |n| n.to_string()))
        .collect();
    if ports.is_empty() { "<unset>".to_owned() } else { first_three(&ports) }
}

fn slice_endpoints(row: &Row<'_>) -> String {
    let addresses = row.list("/endpoints").iter().flat_map(|e| e["addresses"].as_array().into_iter().flatten());
    let all: Vec<String> = addresses.filter_map(Value::as_str).map(str::to_owned).collect();
    if all.is_empty() { "<unset>".to_owned() } else { first_three(&all) }
}

fn hosts(row: &Row<'_>) -> String {
    let hosts: Vec<String> =
        row.list("/spec/rules").iter().filter_map(|r| r["host"].as_str()).map(str::to_owned).collect();
    if hosts.is_empty() { "*".to_owned() } else { first_three(&hosts) }
}

fn parameters(row: &Row<'_>) -> String {
    let text = |name: &str| row.text(&format!("/spec/parameters/{name}"));
    match (text("kind"), text("apiGroup")) {
        ("", _) => "<none>".to_owned(),
        (kind, "") => format!("{kind}/{}", text("name")),
        (kind, group) => format!("{kind}.{group}/{}", text("name")),
    }
}

fn parent(row: &Row<'_>) -> String {
    let text = |name: &str| row.text(&format!("/spec/parentRef/{name}"));
    let parts = [text("group"), text("resource"), text("namespace"), text("name")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/").to_ascii_lowercase()
}
