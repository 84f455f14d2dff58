//! What a Service needs, and which numbers seem free.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use orc_core::validation::{FieldError, FieldPath};
use orc_core::{ApiError, Doc};
use serde_json::{Value, json};

use super::held::Held;
use super::{Number, record};
use crate::registry::Registry;

/// What one write has to claim, and what it lets go.
#[derive(Default)]
pub(in crate::registry) struct Plan {
    pub(super) wants: Vec<Want>,
    pub(super) freed: Held,
}

/// One number and where in the document it stands.
pub(super) struct Want {
    pub(super) slot: Slot,
    pub(super) number: Number,
    /// The number was our choice, so another will do.
    pub(super) ours: bool,
}

/// A place in a Service's document.
pub(super) enum Slot {
    Address,
    HealthCheck,
    Port(usize),
}

impl Slot {
    /// Writes a number into its place.
    pub(super) fn write(&self, doc: &mut Doc, number: Number) {
        match (self, number) {
            (Self::Address, Number::Address(address)) => {
                let text = Ipv4Addr::from(address).to_string();
                doc.set(&["spec", "clusterIP"], text.as_str());
                doc.set(&["spec", "clusterIPs"], vec![text]);
            }
            (Self::HealthCheck, Number::Port(port)) => doc.set(&["spec", "healthCheckNodePort"], port),
            (Self::Port(at), Number::Port(port)) => {
                if let Some(value) = doc.value_mut().pointer_mut(&format!("/spec/ports/{at}")) {
                    value["nodePort"] = port.into();
                }
            }
            (Self::Address, Number::Port(_)) | (Self::HealthCheck | Self::Port(_), Number::Address(_)) => {}
        }
    }

    /// An error of a port's `nodePort`.
    pub(super) fn port_error(&self, at: usize, value: Value, why: impl Into<String>) -> FieldError {
        let spec = FieldPath::new("spec");
        let ports = spec.child("ports");
        let port = ports.index(at);
        FieldError::invalid(&port.child("nodePort"), value, why.into())
    }
}

/// The error of an address that cannot be had.
pub(super) fn address_refused(address: u32, why: &str) -> Vec<FieldError> {
    let text = Ipv4Addr::from(address).to_string();
    let why = format!("failed to allocate IP {text}: {why}");
    let spec = FieldPath::new("spec");
    vec![FieldError::invalid(&spec.child("clusterIPs"), json!([text]), why)]
}

/// What upstream says of a health check port that is taken.
pub(super) fn health_check_taken(number: Number) -> String {
    let port = if let Number::Port(port) = number { port } else { 0 };
    format!("failed to allocate requested HealthCheck NodePort {port}: provided port is already allocated")
}

fn kind(doc: &Doc) -> &str {
    doc.str_at(&["spec", "type"]).unwrap_or("ClusterIP")
}

impl Registry {
    fn is_free(&self, number: Number) -> bool {
        self.store.peek(&record::key(number)).is_none()
    }

    /// A free number of the kind of `like`. Where to begin is random, so that servers seldom choose the same.
    ///
    /// # Errors
    /// 500 when the range is used up.
    pub(super) fn choose(&self, like: Number, besides: &BTreeSet<Number>) -> Result<Number, ApiError> {
        let free = |number: &Number| !besides.contains(number) && self.is_free(*number);
        let ranges = self.ranges;
        match like {
            Number::Address(_) => {
                // The network's own address and the last one are nobody's, and the first one is the API server's. The lower
                // part of the rest is left to addresses that users choose (KEP-3070), until the upper part is used up.
                let usable = ranges.size - 3;
                let low = (ranges.size / 16).clamp(16, 256).min(usable);
                let (first, upper) = (ranges.base + 2, usable - low.min(usable - 1));
                let number = |offset: u32| Number::Address(first + offset);
                let low = usable - upper;
                let start = self.random(upper);
                let above = (0..upper).map(|step| number(low + (start + step) % upper));
                let found = above.chain((0..low).map(number)).find(free);
                found.ok_or_else(|| ApiError::internal("failed to allocate a serviceIP: range is full"))
            }
            Number::Port(_) => {
                let (first, last) = ranges.ports;
                let count = u32::from(last - first) + 1;
                let start = self.random(count);
                let offset = |step: u32| u16::try_from((start + step) % count).unwrap_or_default();
                let mut all = (0..count).map(|step| Number::Port(first + offset(step)));
                all.find(free).ok_or_else(|| ApiError::internal("failed to allocate a nodePort: range is full"))
            }
        }
    }

    fn random(&self, below: u32) -> u32 {
        u32::try_from(self.system.rng.below(u64::from(below.max(1)))).unwrap_or_default()
    }

    pub(super) fn plan_address(&self, doc: &mut Doc, had: &Held, plan: &mut Plan) -> Result<Vec<FieldError>, ApiError> {
        let given = doc.str_at(&["spec", "clusterIP"]).unwrap_or_default().to_owned();
        if kind(doc) == "ExternalName" || given == "None" {
            return Ok(Vec::new());
        }
        if given.is_empty() {
            let number = self.choose(Number::Address(0), &BTreeSet::new())?;
            Slot::Address.write(doc, number);
            plan.wants.push(Want { slot: Slot::Address, number, ours: true });
            return Ok(Vec::new());
        }
        // What is not an address is refused by the kind's own validation.
        let Ok(address) = given.parse::<Ipv4Addr>().map(u32::from) else { return Ok(Vec::new()) };
        let number = Number::Address(address);
        if had.contains(&number) {
            return Ok(Vec::new());
        }
        if !self.ranges.has(address) {
            return Ok(address_refused(address, "the provided network does not match the current range"));
        }
        if !self.is_free(number) {
            return Ok(address_refused(address, "provided IP is already allocated"));
        }
        plan.wants.push(Want { slot: Slot::Address, number, ours: false });
        Ok(Vec::new())
    }

    pub(super) fn plan_ports(&self, doc: &mut Doc, had: &Held, plan: &mut Plan) -> Result<Vec<FieldError>, ApiError> {
        let wants_ports = match kind(doc) {
            "NodePort" => true,
            "LoadBalancer" => {
                doc.at(&["spec", "allocateLoadBalancerNodePorts"]).and_then(Value::as_bool).unwrap_or(true)
            }
            _ => false,
        };
        self.plan_health_check(doc, had, plan)?;
        let mut mine: BTreeSet<Number> = plan.wants.iter().map(|want| want.number).collect();
        let given: Vec<u64> = doc.at(&["spec", "ports"]).and_then(Value::as_array).map_or_else(Vec::new, |ports| {
            ports.iter().map(|port| port.get("nodePort").and_then(Value::as_u64).unwrap_or_default()).collect()
        });
        let named = given.iter().filter_map(|port| u16::try_from(*port).ok()).filter(|port| *port > 0);
        let besides: BTreeSet<Number> = named.map(Number::Port).chain(mine.iter().copied()).collect();
        let mut errors = Vec::new();
        for (at, given) in given.into_iter().enumerate() {
            let Ok(port) = u16::try_from(given) else { continue };
            let (slot, number) = (Slot::Port(at), Number::Port(port));
            if port == 0 && wants_ports {
                let number = self.choose(number, &besides.union(&mine).copied().collect())?;
                slot.write(doc, number);
                mine.insert(number);
                plan.wants.push(Want { slot, number, ours: true });
            } else if port > 0 && !had.contains(&number) && mine.insert(number) {
                match self.port_trouble(port) {
                    Some(why) => errors.push(slot.port_error(at, json!(port), why)),
                    None => plan.wants.push(Want { slot, number, ours: false }),
                }
            }
        }
        Ok(errors)
    }

    fn port_trouble(&self, port: u16) -> Option<String> {
        let (low, high) = self.ranges.ports;
        if !(low..=high).contains(&port) {
            let range = "provided port is not in the valid range. The range of valid ports is";
            return Some(format!("{range} {low}-{high}"));
        }
        (!self.is_free(Number::Port(port))).then(|| "provided port is already allocated".to_owned())
    }

    fn plan_health_check(&self, doc: &mut Doc, had: &Held, plan: &mut Plan) -> Result<(), ApiError> {
        if kind(doc) != "LoadBalancer" || doc.str_at(&["spec", "externalTrafficPolicy"]) != Some("Local") {
            return Ok(());
        }
        let given = doc.at(&["spec", "healthCheckNodePort"]).and_then(Value::as_u64).unwrap_or_default();
        if given == 0 {
            let number = self.choose(Number::Port(0), &BTreeSet::new())?;
            Slot::HealthCheck.write(doc, number);
            plan.wants.push(Want { slot: Slot::HealthCheck, number, ours: true });
        } else if let Ok(port) = u16::try_from(given)
            && !had.contains(&Number::Port(port))
        {
            let number = Number::Port(port);
            if !self.is_free(number) {
                return Err(ApiError::internal(health_check_taken(number)));
            }
            plan.wants.push(Want { slot: Slot::HealthCheck, number, ours: false });
        }
        Ok(())
    }
}
