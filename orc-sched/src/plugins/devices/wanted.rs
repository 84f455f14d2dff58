//! What a claim asks for, checked and compiled.

use std::sync::Arc;

use k8s_openapi::api::resource::v1::{
    DeviceConstraint, DeviceRequest, DeviceSelector as Written, DeviceToleration, ExactDeviceRequest, ResourceClaim,
};

use super::selector::{DeviceSelector, DeviceSelectors};
use crate::facts::{Fact, FactKey, FactKind, Facts};

/// The most devices of a claim (`AllocationResultsMaxSize`).
pub(super) const MOST_DEVICES: usize = 32;

/// A claim that is to be allocated.
pub(super) struct Wanted {
    pub(super) key: FactKey,
    /// What stands for its name in messages: pods that are alike share them, and not the names of their claims.
    pub(super) label: String,
    pub(super) claim: ResourceClaim,
    pub(super) requests: Vec<Request>,
    pub(super) constraints: Vec<Constraint>,
}

/// A request: the first of its choices that can be had.
pub(super) struct Request {
    pub(super) name: String,
    pub(super) choices: Vec<Choice>,
}

/// One way to satisfy a request.
pub(super) struct Choice {
    /// The name in results: the request's, or `request/subrequest`.
    pub(super) name: String,
    pub(super) class: String,
    pub(super) selectors: Vec<Selector>,
    /// How many devices; `None` for all that match.
    pub(super) count: Option<usize>,
    pub(super) admin: bool,
    pub(super) tolerations: Vec<DeviceToleration>,
    /// Told apart from all other choices of the pod.
    pub(super) id: usize,
}

/// A compiled selector with what its errors begin with.
pub(super) struct Selector {
    pub(super) of: String,
    pub(super) compiled: Arc<dyn DeviceSelector>,
}

/// Devices of these requests (none: of all) must have one value of an attribute.
pub(super) struct Constraint {
    pub(super) requests: Vec<String>,
    pub(super) attribute: String,
}

impl Constraint {
    /// Whether it is about a request, by its name or by that of the choice within it.
    pub(super) fn concerns(&self, request: &str, choice: &str) -> bool {
        self.requests.is_empty() || self.requests.iter().any(|name| name == request || name == choice)
    }
}

/// Reads claims.
pub(super) struct Reader<'a> {
    pub(super) facts: &'a Facts,
    pub(super) selectors: &'a dyn DeviceSelectors,
    pub(super) choices: usize,
}

impl Reader<'_> {
    /// Reads a claim.
    ///
    /// # Errors
    /// Why it cannot be allocated anywhere.
    pub(super) fn read(&mut self, key: FactKey, label: String, claim: &ResourceClaim) -> Result<Wanted, String> {
        let devices = claim.spec.devices.clone().unwrap_or_default();
        let full = label.as_str();
        let requests = devices.requests.iter().flatten();
        let requests: Vec<Request> = requests.map(|request| self.request(full, request)).collect::<Result<_, _>>()?;
        let least = |request: &Request| request.choices.iter().map(|c| c.count.unwrap_or(0)).min().unwrap_or(0);
        let sum = requests.iter().map(least).fold(0, usize::saturating_add);
        if sum > MOST_DEVICES {
            let limit = format!("number of requested devices {sum} exceeds the claim limit of {MOST_DEVICES}");
            return Err(format!("claim {full}: {limit}"));
        }
        let constraints = devices.constraints.iter().flatten().enumerate();
        let constraints = constraints.map(|(at, written)| constraint(full, at, written)).collect::<Result<_, _>>()?;
        Ok(Wanted { key, label, claim: claim.clone(), requests, constraints })
    }

    fn request(&mut self, claim: &str, request: &DeviceRequest) -> Result<Request, String> {
        let name = request.name.clone();
        if let Some(exactly) = &request.exactly {
            let choice = self.choice(claim, name.clone(), exactly)?;
            return Ok(Request { name, choices: vec![choice] });
        }
        let subs = request.first_available.iter().flatten();
        let choices = subs.map(|sub| {
            let exactly = ExactDeviceRequest {
                admin_access: None,
                allocation_mode: sub.allocation_mode.clone(),
                capacity: sub.capacity.clone(),
                count: sub.count,
                device_class_name: sub.device_class_name.clone(),
                selectors: sub.selectors.clone(),
                tolerations: sub.tolerations.clone(),
            };
            self.choice(claim, format!("{name}/{}", sub.name), &exactly)
        });
        let choices: Vec<Choice> = choices.collect::<Result<_, _>>()?;
        if choices.is_empty() {
            return Err(format!("claim {claim}, request {name}: unknown request type"));
        }
        Ok(Request { name, choices })
    }

    fn choice(&mut self, claim: &str, name: String, from: &ExactDeviceRequest) -> Result<Choice, String> {
        let at = format!("claim {claim}, request {name}");
        if from.capacity.as_ref().is_some_and(|capacity| capacity.requests.iter().flatten().next().is_some()) {
            return Err(format!("{at}: shares of a device's capacity are not built"));
        }
        let mut selectors = self.of_class(&name, &from.device_class_name)?;
        selectors.extend(self.compile(&format!("claim {claim}"), from.selectors.iter().flatten())?);
        let count = match from.allocation_mode.as_deref() {
            None | Some("" | "ExactCount") => Some(usize::try_from(from.count.unwrap_or(1)).unwrap_or(usize::MAX)),
            Some("All") => None,
            Some(other) => return Err(format!("{at}: unsupported count mode {other}")),
        };
        self.choices += 1;
        Ok(Choice {
            name,
            class: from.device_class_name.clone(),
            selectors,
            count,
            admin: from.admin_access == Some(true),
            tolerations: from.tolerations.clone().unwrap_or_default(),
            id: self.choices,
        })
    }

    /// The selectors of a class.
    fn of_class(&self, request: &str, name: &str) -> Result<Vec<Selector>, String> {
        let class = match self.facts.get(&FactKey::new(FactKind::DeviceClass, "", name)).map(|fact| &**fact) {
            Some(Fact::DeviceClass(class)) => class,
            _ => return Err(format!("request {request}: device class {name} does not exist")),
        };
        self.compile(&format!("class {name}"), class.spec.selectors.iter().flatten())
    }

    fn compile<'a>(&self, of: &str, all: impl Iterator<Item = &'a Written>) -> Result<Vec<Selector>, String> {
        let one = |(at, written): (usize, &Written)| {
            let of = format!("{of}: selector #{at}");
            let Some(cel) = &written.cel else {
                return Err(format!("{of}: CEL expression empty (unsupported selector type?)"));
            };
            let compiled = self.selectors.compile(&cel.expression);
            let compiled = compiled.map_err(|error| format!("{of}: CEL compile error: {error}"))?;
            Ok(Selector { of, compiled })
        };
        all.enumerate().map(one).collect()
    }
}

fn constraint(claim: &str, at: usize, written: &DeviceConstraint) -> Result<Constraint, String> {
    let unknown = || format!("claim {claim}, constraint #{at}: empty constraint (unsupported constraint type?)");
    let attribute = written.match_attribute.clone().ok_or_else(unknown)?;
    Ok(Constraint { requests: written.requests.clone().unwrap_or_default(), attribute })
}
