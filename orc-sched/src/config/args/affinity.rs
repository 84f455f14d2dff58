//! The affinity that a profile adds to every pod's own.

use k8s_openapi::api::core::v1::{NodeAffinity as Written, NodeSelectorRequirement, NodeSelectorTerm};
use serde::Deserialize;
use serde_json::Value;

use super::{label_name, typed, wrong};
use crate::config::ArgsError;
use crate::plugins::NodeAffinity;
use crate::pod::NodeRule;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct NodeAffinityArgs {
    added_affinity: Option<Value>,
}

pub(super) fn read(args: &Value) -> Result<NodeAffinity, ArgsError> {
    let read: NodeAffinityArgs = typed(args)?;
    let Some(written) = read.added_affinity else { return Ok(NodeAffinity::default()) };
    const FIELD: &str = "addedAffinity";
    let affinity: Written =
        serde_json::from_value(written.clone()).map_err(|error| wrong(FIELD, &format!("Invalid value: {error}")))?;
    // The API's types pass over fields that they do not know.
    let kept = serde_json::to_value(&affinity).unwrap_or_default();
    if let Some(path) = lost(&written, &kept, FIELD.to_owned()) {
        let name = path.rsplit('.').next().unwrap_or_default().to_owned();
        return Err(wrong(&path, &format!("Invalid value: unknown field `{name}`")));
    }
    let required = affinity.required_during_scheduling_ignored_during_execution.as_ref();
    if let Some(required) = required {
        let field = format!("{FIELD}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms");
        if required.node_selector_terms.is_empty() {
            return Err(wrong(&field, "Required value: must have at least one node selector term"));
        }
        for (at, each) in required.node_selector_terms.iter().enumerate() {
            term(&format!("{field}[{at}]"), each)?;
        }
    }
    let preferred = affinity.preferred_during_scheduling_ignored_during_execution.iter().flatten();
    for (at, each) in preferred.enumerate() {
        let field = format!("{FIELD}.preferredDuringSchedulingIgnoredDuringExecution[{at}]");
        if !(1..=100).contains(&each.weight) {
            let reason = format!("Invalid value: {}: must be in the range 1-100", each.weight);
            return Err(wrong(&format!("{field}.weight"), &reason));
        }
        term(&format!("{field}.preference"), &each.preference)?;
    }
    Ok(NodeAffinity { added: NodeRule::of_affinity(&affinity) })
}

/// The path of the first field that is written and was not kept.
fn lost(written: &Value, kept: &Value, at: String) -> Option<String> {
    match (written, kept) {
        (Value::Object(written), kept) => {
            written.iter().filter(|(_, value)| !value.is_null()).find_map(|(name, value)| {
                let path = format!("{at}.{name}");
                match kept.get(name) {
                    None => Some(path),
                    Some(kept) => lost(value, kept, path),
                }
            })
        }
        (Value::Array(written), Value::Array(kept)) => {
            let both = written.iter().zip(kept).enumerate();
            both.into_iter().find_map(|(i, (written, kept))| lost(written, kept, format!("{at}[{i}]")))
        }
        _ => None,
    }
}

/// Checks a term as the API does that of a pod.
fn term(field: &str, term: &NodeSelectorTerm) -> Result<(), ArgsError> {
    for (at, each) in term.match_expressions.iter().flatten().enumerate() {
        let field = format!("{field}.matchExpressions[{at}]");
        let values = each.values.iter().flatten().count();
        operator(&field, each, &["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"])?;
        let reason = match (&*each.operator, values) {
            ("In" | "NotIn", 0) => "Required value: must be specified when `operator` is 'In' or 'NotIn'",
            ("Exists" | "DoesNotExist", 1..) => {
                "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            }
            ("Gt" | "Lt", 0 | 2..) => "Required value: must be specified single value when `operator` is 'Lt' or 'Gt'",
            _ => "",
        };
        if !reason.is_empty() {
            return Err(wrong(&format!("{field}.values"), reason));
        }
        let number = |value: &String| value.parse::<i64>().is_ok();
        if matches!(&*each.operator, "Gt" | "Lt") && !each.values.iter().flatten().all(number) {
            return Err(wrong(
                &format!("{field}.values"),
                "Invalid value: for 'Gt', 'Lt' operators, the value must be an integer",
            ));
        }
        label_name(&format!("{field}.key"), &each.key)?;
    }
    for (at, each) in term.match_fields.iter().flatten().enumerate() {
        let field = format!("{field}.matchFields[{at}]");
        operator(&field, each, &["In", "NotIn"])?;
        if each.values.iter().flatten().count() != 1 {
            let rule = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            return Err(wrong(&format!("{field}.values"), &format!("Required value: {rule}")));
        }
        if each.key != "metadata.name" {
            let reason = format!("Invalid value: \"{}\": not a valid field selector key", each.key);
            return Err(wrong(&format!("{field}.key"), &reason));
        }
    }
    Ok(())
}

fn operator(field: &str, requirement: &NodeSelectorRequirement, known: &[&str]) -> Result<(), ArgsError> {
    match known.contains(&&*requirement.operator) {
        true => Ok(()),
        false => {
            let reason = format!("Invalid value: \"{}\": not a valid selector operator", requirement.operator);
            Err(wrong(&format!("{field}.operator"), &reason))
        }
    }
}
