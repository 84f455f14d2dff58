//! One item of a limit range as bounds; the texts are upstream's.

use orc_core::quantity::Quantity;
use orc_core::quota::{Usage, amounts};
use serde_json::Value;

/// What may be used, by resource name.
pub(super) struct Bounds {
    min: Usage,
    max: Usage,
    ratio: Usage,
}

impl Bounds {
    /// Reads an item of `spec.limits`.
    pub(super) fn of(limit: &Value) -> Self {
        let read = |field: &str| amounts(limit.get(field));
        Self { min: read("min"), max: read("max"), ratio: read("maxLimitRequestRatio") }
    }
}

/// Collects what is broken by a container or a whole pod.
pub(super) fn check(bounds: &Bounds, kind: &str, requests: &Usage, limits: &Usage, out: &mut Vec<String>) {
    for (name, least) in &bounds.min {
        out.extend(under(name, kind, *least, requests.get(name), limits.get(name)));
    }
    for (name, most) in &bounds.max {
        out.extend(over(name, kind, *most, requests.get(name), limits.get(name)));
    }
    for (name, ratio) in &bounds.ratio {
        out.extend(too_loose(name, kind, *ratio, requests.get(name), limits.get(name)));
    }
}

/// Collects what is broken by a claim, which has requests only.
pub(super) fn check_claim(bounds: &Bounds, requests: &Usage, out: &mut Vec<String>) {
    const KIND: &str = "PersistentVolumeClaim";
    for (name, least) in &bounds.min {
        out.extend(under(name, KIND, *least, requests.get(name), None));
    }
    for (name, most) in &bounds.max {
        let head = format!("maximum {name} usage per {KIND} is {most}");
        match requests.get(name) {
            None => out.push(format!("{head}.  No request is specified")),
            Some(request) if request > most => out.push(format!("{head}, but request is {request}")),
            Some(_) => {}
        }
    }
}

fn under(
    name: &str,
    kind: &str,
    least: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let head = format!("minimum {name} usage per {kind} is {least}");
    match (request, limit) {
        (None, _) => Some(format!("{head}.  No request is specified")),
        (Some(request), _) if *request < least => Some(format!("{head}, but request is {request}")),
        (_, Some(limit)) if *limit < least => Some(format!("{head}, but limit is {limit}")),
        _ => None,
    }
}

fn over(
    name: &str,
    kind: &str,
    most: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let head = format!("maximum {name} usage per {kind} is {most}");
    match (limit, request) {
        (None, _) => Some(format!("{head}.  No limit is specified")),
        (Some(limit), _) if *limit > most => Some(format!("{head}, but limit is {limit}")),
        (_, Some(request)) if *request > most => Some(format!("{head}, but request is {request}")),
        _ => None,
    }
}

fn too_loose(
    name: &str,
    kind: &str,
    most: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let head = format!("{name} max limit to request ratio per {kind} is {most}");
    let some = |amount: Option<&Quantity>| amount.copied().filter(|amount| !amount.is_zero());
    let Some(request) = some(request) else {
        return Some(format!("{head}, but no request is specified or request is 0"));
    };
    let Some(limit) = some(limit) else { return Some(format!("{head}, but no limit is specified or limit is 0")) };
    let ratio = limit.as_f64() / request.as_f64();
    (ratio > most.as_f64()).then(|| format!("{head}, but provided ratio is {ratio:.6}"))
}
