//! Addresses and node ports of Services.
//!
//! A claim is taken before the commit and given back when the commit does not happen. The sets live in memory and are read
//! from the Services at start: one process owns them (several servers over one store need claims in the store).

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use orc_core::validation::{FieldError, FieldPath};
use orc_core::{ApiError, Doc, ResourceId};
use orc_store::client::{ListOptions, Scope};
use orc_store::{Store, Stored};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// The taken addresses and ports.
pub(super) struct Allocator(Arc<Mutex<Ranges>>);

struct Ranges {
    base: u32,
    size: u32,
    next: u32,
    taken: BTreeSet<u32>,
    ports: (u16, u16),
    taken_ports: BTreeSet<u16>,
}

/// What one write has claimed; given back when dropped without [`Claim::keep`].
pub(super) struct Claim {
    ranges: Arc<Mutex<Ranges>>,
    taken: Held,
    freed: Held,
}

#[derive(Default, Clone, PartialEq, Debug)]
struct Held {
    addresses: BTreeSet<u32>,
    ports: BTreeSet<u16>,
}

impl Claim {
    /// The write happened: what it took stays taken, what it let go is free.
    pub(super) fn keep(mut self) {
        let mut ranges = self.ranges.lock();
        ranges.free(&std::mem::take(&mut self.freed));
        self.taken = Held::default();
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.ranges.lock().free(&self.taken);
    }
}

impl Ranges {
    fn free(&mut self, held: &Held) {
        for address in &held.addresses {
            self.taken.remove(address);
        }
        for port in &held.ports {
            self.taken_ports.remove(port);
        }
    }

    fn take_address(&mut self) -> Option<u32> {
        // Skips the network's own address, and the first one, which is the API server's.
        let usable = self.size.saturating_sub(3);
        let start = self.next;
        let found =
            (0..usable).map(|step| self.base + 2 + (start + step) % usable).find(|a| !self.taken.contains(a))?;
        self.next = (found - self.base - 1) % usable;
        self.taken.insert(found);
        Some(found)
    }

    fn take_port(&mut self) -> Option<u16> {
        let found = (self.ports.0..=self.ports.1).find(|port| !self.taken_ports.contains(port))?;
        self.taken_ports.insert(found);
        Some(found)
    }
}

impl Allocator {
    pub(super) async fn open(store: &Store, cidr: (Ipv4Addr, u8), ports: (u16, u16)) -> Result<Self, ApiError> {
        let (base, bits) = cidr;
        if !(8..=28).contains(&bits) {
            return Err(ApiError::internal(format!(
                "the service network {base}/{bits} must have a prefix of 8 to 28 bits"
            )));
        }
        let size = 1_u32 << (32 - bits);
        let base = u32::from(base) & !(size - 1);
        let mut ranges = Ranges { base, size, next: 0, taken: BTreeSet::new(), ports, taken_ports: BTreeSet::new() };
        let services = store.list(&Scope::all(ResourceId::new("", "services")), &ListOptions::default()).await?;
        for service in services.items {
            let held = held_by(&Doc::from_body(&service.body)?);
            ranges.taken.extend(held.addresses);
            ranges.taken_ports.extend(held.ports);
        }
        Ok(Self(Arc::new(Mutex::new(ranges))))
    }

    /// Claims what a Service needs, and writes it into the document. Other kinds need nothing.
    ///
    /// # Errors
    /// 422 for an address or port that is out of range or taken; 500 when a range is used up.
    pub(super) fn claim(&self, resource: &ResourceId, doc: &mut Doc, old: Option<&Doc>) -> Result<Claim, ApiError> {
        let mut claim = Claim { ranges: self.0.clone(), taken: Held::default(), freed: Held::default() };
        if resource.as_str() != "services" {
            return Ok(claim);
        }
        let had = old.map(held_by).unwrap_or_default();
        let errors = {
            let mut ranges = self.0.lock();
            let mut errors = super::families::init(doc);
            if !errors.is_empty() {
                return Err(ApiError::invalid("", "Service", doc.name(), &errors));
            }
            errors.extend(address(&mut ranges, doc, &had, &mut claim.taken)?);
            errors.extend(node_ports(&mut ranges, doc, &had, &mut claim.taken)?);
            errors
        };
        if !errors.is_empty() {
            return Err(ApiError::invalid("", "Service", doc.name(), &errors));
        }
        let has = held_by(doc);
        claim.freed = Held {
            addresses: had.addresses.difference(&has.addresses).copied().collect(),
            ports: had.ports.difference(&has.ports).copied().collect(),
        };
        Ok(claim)
    }

    /// Gives back what a deleted object held.
    pub(super) fn release(&self, stored: &Stored) {
        if stored.key.resource.as_str() == "services"
            && let Ok(doc) = Doc::from_body(&stored.body)
        {
            self.0.lock().free(&held_by(&doc));
        }
    }
}

fn kind(doc: &Doc) -> &str {
    doc.str_at(&["spec", "type"]).unwrap_or("ClusterIP")
}

/// What a Service holds by its document.
fn held_by(doc: &Doc) -> Held {
    let listed =
        doc.at(&["spec", "clusterIPs"]).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let single = doc.str_at(&["spec", "clusterIP"]);
    let addresses = listed.chain(single).filter_map(|text| text.parse::<Ipv4Addr>().ok()).map(u32::from).collect();
    let ports = doc.at(&["spec", "ports"]).and_then(Value::as_array).into_iter().flatten();
    let number = |value: &Value| value.as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0);
    let mut ports: BTreeSet<u16> = ports.filter_map(|port| number(port.get("nodePort")?)).collect();
    ports.extend(doc.at(&["spec", "healthCheckNodePort"]).and_then(number));
    Held { addresses, ports }
}

fn address(ranges: &mut Ranges, doc: &mut Doc, had: &Held, taken: &mut Held) -> Result<Vec<FieldError>, ApiError> {
    if kind(doc) == "ExternalName" {
        return Ok(Vec::new());
    }
    let given = doc.str_at(&["spec", "clusterIP"]).unwrap_or_default().to_owned();
    match given.as_str() {
        "None" => Ok(Vec::new()),
        "" => {
            let address = ranges
                .take_address()
                .ok_or_else(|| ApiError::internal("failed to allocate a serviceIP: range is full"))?;
            taken.addresses.insert(address);
            let text = Ipv4Addr::from(address).to_string();
            doc.set(&["spec", "clusterIP"], text.as_str());
            doc.set(&["spec", "clusterIPs"], vec![text]);
            Ok(Vec::new())
        }
        text => Ok(given_address(ranges, text, had, taken)),
    }
}

fn given_address(ranges: &mut Ranges, text: &str, had: &Held, taken: &mut Held) -> Vec<FieldError> {
    // What is not an address is refused by the kind's own validation.
    let Ok(address) = text.parse::<Ipv4Addr>().map(u32::from) else { return Vec::new() };
    if had.addresses.contains(&address) {
        return Vec::new();
    }
    let spec = FieldPath::new("spec");
    let path = spec.child("clusterIPs");
    let refuse =
        |why: String| vec![FieldError::invalid(&path, json!([text]), format!("failed to allocate IP {text}: {why}"))];
    if address <= ranges.base || address >= ranges.base + ranges.size - 1 {
        return refuse("the provided network does not match the current range".to_owned());
    }
    if !ranges.taken.insert(address) {
        return refuse("provided IP is already allocated".to_owned());
    }
    taken.addresses.insert(address);
    Vec::new()
}

fn node_ports(ranges: &mut Ranges, doc: &mut Doc, had: &Held, taken: &mut Held) -> Result<Vec<FieldError>, ApiError> {
    let wants = match kind(doc) {
        "NodePort" => true,
        "LoadBalancer" => doc.at(&["spec", "allocateLoadBalancerNodePorts"]).and_then(Value::as_bool).unwrap_or(true),
        _ => false,
    };
    if kind(doc) == "LoadBalancer" && doc.str_at(&["spec", "externalTrafficPolicy"]) == Some("Local") {
        let given = doc.at(&["spec", "healthCheckNodePort"]).and_then(Value::as_u64).unwrap_or_default();
        if given == 0 {
            let free =
                ranges.take_port().ok_or_else(|| ApiError::internal("failed to allocate a nodePort: range is full"))?;
            taken.ports.insert(free);
            doc.set(&["spec", "healthCheckNodePort"], free);
        } else if let Ok(number) = u16::try_from(given)
            && !had.ports.contains(&number)
        {
            if !ranges.taken_ports.insert(number) {
                let why = format!(
                    "failed to allocate requested HealthCheck NodePort {number}: provided port is already allocated"
                );
                return Err(ApiError::internal(why));
            }
            taken.ports.insert(number);
        }
    }
    let Some(ports) = doc.value_mut().pointer_mut("/spec/ports").and_then(Value::as_array_mut) else {
        return Ok(Vec::new());
    };
    let mut errors = Vec::new();
    for (at, port) in ports.iter_mut().enumerate() {
        let given = port.get("nodePort").and_then(Value::as_u64).unwrap_or_default();
        let Ok(number) = u16::try_from(given) else { continue };
        if number == 0 && wants {
            let free =
                ranges.take_port().ok_or_else(|| ApiError::internal("failed to allocate a nodePort: range is full"))?;
            taken.ports.insert(free);
            port["nodePort"] = free.into();
        } else if number > 0 && !had.ports.contains(&number) && !taken.ports.contains(&number) {
            let (spec, at) = (FieldPath::new("spec"), at);
            let ports = spec.child("ports");
            let port = ports.index(at);
            let path = port.child("nodePort");
            let (low, high) = ranges.ports;
            if !(low..=high).contains(&number) {
                let why = format!("provided port is not in the valid range. The range of valid ports is {low}-{high}");
                errors.push(FieldError::invalid(&path, json!(number), why));
            } else if !ranges.taken_ports.insert(number) {
                errors.push(FieldError::invalid(&path, json!(number), "provided port is already allocated"));
            } else {
                taken.ports.insert(number);
            }
        }
    }
    Ok(errors)
}
