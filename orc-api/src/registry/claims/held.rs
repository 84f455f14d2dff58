//! What a Service holds by its document.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use orc_core::Doc;
use serde_json::Value;

use super::Number;

/// Numbers of one Service.
pub(super) type Held = BTreeSet<Number>;

/// The addresses and node ports in a Service's document.
pub(super) fn held_by(doc: &Doc) -> Held {
    let listed = doc.at(&["spec", "clusterIPs"]).and_then(Value::as_array).into_iter().flatten();
    let listed = listed.filter_map(Value::as_str).chain(doc.str_at(&["spec", "clusterIP"]));
    let addresses = listed.filter_map(|text| text.parse::<Ipv4Addr>().ok());
    let ports = doc.at(&["spec", "ports"]).and_then(Value::as_array).into_iter().flatten();
    let ports = ports.filter_map(|port| number(port.get("nodePort")?));
    let health = doc.at(&["spec", "healthCheckNodePort"]).and_then(number);
    let addresses = addresses.map(|address| Number::Address(u32::from(address)));
    addresses.chain(ports.chain(health).map(Number::Port)).collect()
}

fn number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0)
}
