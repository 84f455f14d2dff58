//! That every value stands in the field it was meant for.
//!
//! A round trip does not notice two texts that are exchanged. So each value is made from its field's name, and looked for in the
//! field of that name in what the peer read.

use orc_core::fuzzing::{Values, sample};
use orc_core::schema::{Field, MessageRef, Type, proto};
use serde_json::Value;

use super::messages::{has, message};
use super::peers::PEERS;

/// The name without what differs between JSON and Rust.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// A number of a name (FNV-1a); another one in each round.
fn number(name: &str, round: u64) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = plain(name).bytes().fold(0xcbf2_9ce4_8422_2325 ^ round, step);
    (hash ^ (hash >> 32)) % 1_000_000 + 256
}

fn flag(name: &str, round: u64) -> bool {
    number(name, round).count_ones().is_multiple_of(2)
}

fn byte(name: &str, round: u64) -> u8 {
    (number(name, round) % 200) as u8
}

/// Every field, with a value of its name.
struct Named(u64);

impl Values for Named {
    fn keep(&mut self, message: MessageRef, field: &Field, depth: usize) -> bool {
        // A schema holds schemas in a dozen of its fields.
        let deepest = if message.name.ends_with(".JSONSchemaProps") { 5 } else { 9 };
        has(message, field) && (depth < deepest || field.message().is_none())
    }
    fn count(&mut self, _: &Field) -> usize {
        1
    }
    fn scalar(&mut self, field: &Field) -> Value {
        match field.kind {
            Type::Bool => flag(field.json, self.0).into(),
            Type::Int32 | Type::Int64 => number(field.json, self.0).into(),
            Type::Double => (number(field.json, self.0) as f64).into(),
            Type::String => format!("is {}", plain(field.json)).into(),
            Type::Bytes => {
                use base64::Engine as _;
                base64::engine::general_purpose::STANDARD.encode([byte(field.json, self.0)]).into()
            }
            Type::Message(_) => Value::Null,
        }
    }
    fn choose(&mut self, _: usize) -> usize {
        0
    }
}

/// Messages whose fields are not ours to fill.
const SHAPED: &[&str] = &[
    "Quantity",
    "IntOrString",
    "Time",
    "MicroTime",
    "Duration",
    "Json",
    "FieldsV1",
    "RawExtension",
    "JsonSchemaPropsOrBool",
];

/// The values in a message's text, each with its field's name. Values of [`SHAPED`] messages are left out.
fn leaves(shown: &str) -> Vec<(&str, &str)> {
    let (mut found, mut rest, mut field) = (Vec::new(), shown, "");
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let end = rest[1..].find('"').expect("our texts have no quotes") + 2;
            found.push((field, &rest[..end]));
            rest = &rest[end..];
        } else if first.is_ascii_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_.".contains(c)).unwrap_or(rest.len());
            let (word, tail) = rest.split_at(end);
            rest = tail;
            if tail.starts_with(": ") {
                field = word;
            } else if SHAPED.contains(&word) && tail.starts_with(" {") {
                rest = &tail[tail.find('}').expect("it ends") + 1..];
            } else if matches!(word, "true" | "false") || word.starts_with(|c: char| c.is_ascii_digit()) {
                found.push((field, word));
            }
        } else {
            rest = &rest[first.len_utf8()..];
        }
    }
    found
}

/// Whether a value is of the field it stands in. Keys of maps, and texts of lists that are messages of their own, are nobody's.
fn belongs(field: &str, value: &str, round: u64) -> bool {
    match value {
        "true" | "false" => (value == "true") == flag(field, round),
        text if text.starts_with('"') => {
            text.strip_prefix("\"is ").is_none_or(|name| name.trim_end_matches('"') == plain(field))
        }
        digits => {
            let value: f64 = digits.parse().expect("a number");
            value == number(field, round) as f64 || value == f64::from(byte(field, round))
        }
    }
}

#[test]
fn every_value_is_in_the_field_of_its_name() {
    let mut checked = 0;
    for (name, decode) in PEERS {
        // A flag has two values only: in eight rounds two of them differ at least once.
        for round in 0..8 {
            let object = sample(message(name), &mut Named(round));
            let raw = proto::from_json(&object, message(name)).unwrap();
            let (_, shown) = decode(&raw).unwrap();
            let values = leaves(&shown);
            let wrong: Vec<_> = values.iter().filter(|(field, value)| !belongs(field, value, round)).collect();
            assert!(wrong.is_empty(), "{name}: {wrong:?}");
            checked += values.len();
        }
    }
    assert!(checked > 100_000, "{checked}");
}

#[test]
fn an_exchange_would_be_noticed() {
    let pod = message("k8s.io.api.core.v1.Pod");
    let raw = proto::from_json(&serde_json::json!({"spec": {"hostname": "is nodename", "priority": 5}}), pod).unwrap();
    let decode = PEERS.iter().find(|(name, _)| *name == pod.name).unwrap().1;
    let shown = decode(&raw).unwrap().1;
    let wrong: Vec<_> = leaves(&shown).into_iter().filter(|(field, value)| !belongs(field, value, 0)).collect();
    assert_eq!(wrong, [("hostname", "\"is nodename\""), ("priority", "5")]);
}
