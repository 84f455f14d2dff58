//! Named formats: `format.dns1123Label().validate(text)` gives the broken rules, or no value when there are none.

use super::{Budget, Opaque, OpaqueValue, Said, Value, opaque, opaque_value};
use crate::custom::structural::format::fits;
use orc_core::validation::names;
use std::sync::Arc;

#[derive(Debug, PartialEq)]
struct Format(&'static str);
opaque_value!(Format, Format);

const NAMES: [&str; 13] = [
    "dns1123Label",
    "dns1123Subdomain",
    "dns1035Label",
    "qualifiedName",
    "dns1123LabelPrefix",
    "dns1123SubdomainPrefix",
    "dns1035LabelPrefix",
    "labelValue",
    "uri",
    "uuid",
    "byte",
    "date",
    "datetime",
];

fn named(name: &str) -> Option<Format> {
    NAMES.iter().find(|known| **known == name).map(|known| Format(known))
}

pub(super) fn call(name: &str, args: &[Value], budget: &mut Budget) -> Said {
    match (name, args) {
        ("format.named", [Value::String(text)]) => {
            Some(Ok(Value::Optional(named(text).map(|format| Arc::new(opaque(format))))))
        }
        ("validate", [format, Value::String(text)]) => {
            let format = super::inside::<Format>(format)?;
            Some(budget.walk(text.len() as u64, 2).map(|()| {
                let broken = broken(format.0, text);
                let broken = Value::list(broken.into_iter().map(Value::string).collect());
                Value::Optional((broken.size() > 0).then(|| Arc::new(broken)))
            }))
        }
        (name, []) => name.strip_prefix("format.").and_then(named).map(|format| Ok(opaque(format))),
        _ => None,
    }
}

fn broken(format: &str, text: &str) -> Vec<String> {
    // A prefix is a name whose end is still open.
    let prefix = || text.strip_suffix('-').map_or_else(|| text.to_owned(), |head| format!("{head}a"));
    let one = |fits: bool, rule: &str| if fits { Vec::new() } else { vec![rule.to_owned()] };
    match format {
        "dns1123Label" => names::dns1123_label(text),
        "dns1123Subdomain" => names::dns1123_subdomain(text),
        "dns1035Label" => names::dns1035_label(text),
        "qualifiedName" => names::qualified_name(text),
        "dns1123LabelPrefix" => names::dns1123_label(&prefix()),
        "dns1123SubdomainPrefix" => names::dns1123_subdomain(&prefix()),
        "dns1035LabelPrefix" => names::dns1035_label(&prefix()),
        "labelValue" => names::label_value(text),
        "uri" => one(fits("uri", text), "invalid URI"),
        "uuid" => one(fits("uuid", text), "does not match the UUID format"),
        "byte" => one(fits("byte", text), "invalid base64"),
        "date" => one(fits("date", text), "invalid date"),
        _ => one(fits("date-time", text), "invalid datetime"),
    }
}
