//! Constraints for pods that have none.

use orc_core::Name;
use serde::Deserialize;
use serde_json::Value;

use super::{label_name, typed, wrong};
use crate::config::ArgsError;
use crate::plugins::{PodTopologySpread, SpreadDefault, SpreadDefaults};

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct SpreadArgs {
    defaulting_type: Option<String>,
    default_constraints: Vec<Constraint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Constraint {
    max_skew: i64,
    topology_key: String,
    when_unsatisfiable: String,
    label_selector: Option<Value>,
}

pub(super) fn read(args: &Value) -> Result<PodTopologySpread, ArgsError> {
    let read: SpreadArgs = typed(args)?;
    match read.defaulting_type.as_deref().filter(|written| !written.is_empty()) {
        None | Some("System") if !read.default_constraints.is_empty() => {
            Err(wrong("defaultingType", "Invalid value: \"System\": when .defaultConstraints are not empty"))
        }
        None | Some("System") => Ok(PodTopologySpread::default()),
        Some("List") => {
            let mut all: Vec<SpreadDefault> = Vec::new();
            for (at, written) in read.default_constraints.iter().enumerate() {
                let made = constraint(at, written)?;
                if all.iter().any(|other| other.topology_key == made.topology_key && other.hard == made.hard) {
                    let pair = format!("{{{}, {}}}", written.topology_key, written.when_unsatisfiable);
                    return Err(wrong(&format!("defaultConstraints[{at}]"), &format!("Duplicate value: \"{pair}\"")));
                }
                all.push(made);
            }
            Ok(PodTopologySpread { defaults: SpreadDefaults::List(all) })
        }
        Some(other) => Err(wrong(
            "defaultingType",
            &format!("Unsupported value: \"{other}\": supported values: \"List\", \"System\""),
        )),
    }
}

fn constraint(at: usize, written: &Constraint) -> Result<SpreadDefault, ArgsError> {
    let field = |name: &str| format!("defaultConstraints[{at}].{name}");
    if written.max_skew < 1 {
        let reason = format!("Invalid value: {}: not in valid range (0, inf)", written.max_skew);
        return Err(wrong(&field("maxSkew"), &reason));
    }
    if written.topology_key.is_empty() {
        return Err(wrong(&field("topologyKey"), "Required value: can not be empty"));
    }
    label_name(&field("topologyKey"), &written.topology_key)?;
    if written.label_selector.is_some() {
        let reason = "Forbidden: constraint must not define a selector, as they deduced for each pod";
        return Err(wrong(&field("labelSelector"), reason));
    }
    let hard = match &*written.when_unsatisfiable {
        "DoNotSchedule" => true,
        "ScheduleAnyway" => false,
        "" => return Err(wrong(&field("whenUnsatisfiable"), "Required value: can not be empty")),
        other => {
            let known = "\"DoNotSchedule\", \"ScheduleAnyway\"";
            let reason = format!("Unsupported value: \"{other}\": supported values: {known}");
            return Err(wrong(&field("whenUnsatisfiable"), &reason));
        }
    };
    Ok(SpreadDefault { max_skew: written.max_skew, topology_key: Name::new(&written.topology_key), hard })
}
