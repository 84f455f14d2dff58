//! What objects use of a ResourceQuota: pure, and shared by admission and by the controller that recounts.
//!
//! Follows `pkg/quota/v1` of upstream: an object's usage by resource name (`pods`, `requests.cpu`, `count/configmaps`), and
//! whether a quota's scopes select it.

pub mod pod;
mod scope;
mod usage;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::key::ResourceId;
use crate::quantity::Quantity;

pub use scope::selects;
pub use usage::{usage, usage_names};

/// Amounts by resource name.
pub type Usage = BTreeMap<String, Quantity>;

/// Reads a map of quantities; entries that do not read are left out (validation refuses them before).
pub fn amounts(value: Option<&Value>) -> Usage {
    let map = value.and_then(Value::as_object);
    map.into_iter().flatten().filter_map(|(name, v)| Some((name.clone(), quantity(v)?))).collect()
}

/// A quantity in its JSON form: a text or a bare number.
pub fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(n) => Quantity::parse(&n.to_string()).ok(),
        _ => None,
    }
}

/// The JSON form of amounts.
pub fn show(usage: &Usage) -> Value {
    usage.iter().map(|(name, amount)| (name.clone(), Value::from(amount.to_string()))).collect()
}

/// Adds `more` to `sum`.
pub fn add(sum: &mut Usage, more: &Usage) {
    for (name, amount) in more {
        sum.entry(name.clone()).and_modify(|have| *have = *have + *amount).or_insert(*amount);
    }
}

/// `a - b`, over the names of both.
pub fn subtract(a: &Usage, b: &Usage) -> Usage {
    let mut out = a.clone();
    for (name, amount) in b {
        let had = out.get(name).copied().unwrap_or_else(|| Quantity::ZERO.with_format(amount.format()));
        out.insert(name.clone(), had - *amount);
    }
    out
}

/// Only the names that `wanted` has.
pub fn mask(usage: &Usage, wanted: impl Fn(&str) -> bool) -> Usage {
    usage.iter().filter(|(name, _)| wanted(name)).map(|(name, amount)| (name.clone(), *amount)).collect()
}

/// The names of a quota's hard limits that objects of a resource count towards.
pub fn concerned(hard: &Usage, resource: &ResourceId) -> Vec<String> {
    hard.keys().filter(|name| usage::concerns(resource, name)).cloned().collect()
}

/// Why a pod cannot be charged to a quota: what each container must say and does not.
///
/// # Errors
/// `must specify limits.cpu for: a,b; requests.cpu for: a`
pub fn constraints(hard: &[String], resource: &ResourceId, object: &Value) -> Result<(), String> {
    if resource.as_str() == "pods" { pod::constraints(hard, object) } else { Ok(()) }
}
