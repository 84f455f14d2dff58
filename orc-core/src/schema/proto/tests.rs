//! Tests of transcoding: known bytes, round trips of any message, hostile input.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::table::{Cardinality, Field, MessageRef, Presence, Schema, Shape, Type};
use super::wire::put_bytes;
use super::{ProtoError, from_json, from_text, open, seal, to_json};

fn message(version: &str, kind: &str) -> MessageRef {
    Schema::builtin().message_of_type(version, kind).unwrap()
}

#[test]
fn known_bytes() {
    let config = json!({"metadata": {"name": "x"}, "data": {"a": "b"}});
    let raw = from_json(&config, message("v1", "ConfigMap")).unwrap();
    assert_eq!(raw, b"\x0a\x03\x0a\x01x\x12\x06\x0a\x01a\x12\x01b");
    let sealed = seal("v1", "ConfigMap", &raw);
    assert_eq!(&sealed[..8], b"k8s\0\x0a\x0f\x0a\x02");
    let envelope = open(&sealed).unwrap();
    assert_eq!((envelope.api_version.as_str(), envelope.kind.as_str(), envelope.raw), ("v1", "ConfigMap", &*raw));
    assert_eq!(open(b"{}"), Err(ProtoError::NoMagic));
}

#[test]
fn a_pod_there_and_back() {
    let pod = json!({
        "metadata": {"name": "p", "creationTimestamp": "2024-01-01T00:00:00Z", "labels": {"a": ""},
            "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {}}}]},
        "spec": {"priority": 0, "automountServiceAccountToken": false, "overhead": {"cpu": "100m"},
            "volumes": [{"name": "v", "emptyDir": {}}, {"name": "c", "configMap": {"name": "cm", "optional": true}}],
            "containers": [{"name": "c", "livenessProbe": {"httpGet": {"port": "web"}, "periodSeconds": 3}}]},
        "status": {"startTime": "1970-01-01T00:00:00Z"}});
    let raw = from_json(&pod, message("v1", "Pod")).unwrap();
    assert_eq!(to_json(&raw, message("v1", "Pod")).unwrap(), pod);
}

#[test]
fn text_keeps_exact_numbers_and_any_json() {
    let crd = message("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    let schema = json!({"default": {"a": [1, 2.5e300, null, "\u{1f600}\n"]}, "maximum": 9_007_199_254_740_993_u64});
    let value = json!({"metadata": {"name": "a\"b"}, "spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}});
    let raw = from_text(value.to_string().as_bytes(), crd).unwrap();
    assert_eq!(to_json(&raw, crd).unwrap(), to_json(&from_json(&value, crd).unwrap(), crd).unwrap());
    assert!(from_text(br#"{"metadata": {}} x"#, crd).is_err(), "what follows is told");
    let long = json!({"metadata": {"name": "x".repeat(20_000)}, "data": {}});
    let raw = from_text(long.to_string().as_bytes(), message("v1", "ConfigMap")).unwrap();
    assert_eq!(raw, from_json(&long, message("v1", "ConfigMap")).unwrap(), "a length of three bytes");
}

#[test]
fn zeros_that_go_writes_are_left_out() {
    // Go writes every plain scalar: here `hostname: ""`; field 500 is from a later level.
    let mut spec = Vec::new();
    put_bytes(&mut spec, 16, b"");
    let mut pod = Vec::new();
    put_bytes(&mut pod, 2, &spec);
    put_bytes(&mut pod, 500, b"unknown");
    assert_eq!(to_json(&pod, message("v1", "Pod")).unwrap(), json!({"spec": {}}));
}

#[test]
fn unions_of_schemas() {
    let crd = message("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    let schema = json!({"items": {"type": "string"}, "additionalProperties": false, "default": [1, null],
        "properties": {"a": {"additionalProperties": {"type": "x"}, "items": [{"type": "y"}], "maximum": 1.5}},
        "dependencies": {"d": ["e"]}});
    let value = json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}});
    assert_eq!(to_json(&from_json(&value, crd).unwrap(), crd).unwrap(), value);
}

#[test]
fn nesting_is_bounded() {
    let props =
        Schema::builtin().message("k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps").unwrap();
    let not = props.wire.iter().find(|f| f.json == "not").unwrap().number;
    let (mut deep, mut tree) = (Vec::new(), json!({}));
    for _ in 0..300 {
        let mut outer = Vec::new();
        put_bytes(&mut outer, not, &deep);
        deep = outer;
        tree = json!({ "not": tree });
    }
    assert_eq!(to_json(&deep, props), Err(ProtoError::TooDeep));
    assert_eq!(from_json(&tree, props), Err(ProtoError::TooDeep));
}

#[test]
fn size_is_bounded() {
    let flood = b"\x5a\x00".repeat(super::MAX_VALUES + 1); // metadata.labels, empty entries
    assert_eq!(to_json(&flood, Schema::builtin().object_meta()), Err(ProtoError::TooLarge));
}

#[test]
fn wrong_types_are_named() {
    let error = from_json(&json!({"spec": {"replicas": "x"}}), message("apps/v1", "Deployment")).unwrap_err();
    assert_eq!(error.to_string(), "cannot write string as protobuf field replicas");
}

/// A value of a message, made from a stream of small choices; canonical, so that a round trip gives it back.
fn make(message: MessageRef, depth: usize, choices: &mut dyn FnMut(usize) -> usize) -> Value {
    match message.shape {
        Shape::Object => {
            let mut map = Map::new();
            for field in &message.fields {
                if field.number != 0 && choices(4) == 0 && (depth < 5 || field.message().is_none()) {
                    let value = make_field(field, depth, choices);
                    if !value.is_null() {
                        map.insert(field.json.to_owned(), value);
                    }
                }
            }
            Value::Object(map)
        }
        Shape::Quantity => ["1", "500m", "2Gi"][choices(3)].into(),
        Shape::IntOrString => [json!(-7), json!("50%")][choices(2)].clone(),
        Shape::Time => ["1969-12-31T23:59:59Z", "2024-02-29T01:02:03Z"][choices(2)].into(),
        Shape::MicroTime => "2024-02-29T01:02:03.000045Z".into(),
        Shape::Duration => "1m30s".into(),
        Shape::Json => json!({"any": [1, null, "x"]}),
        Shape::Strings => json!(["a", "b"]),
        Shape::SchemaOrArray => json!([{"type": "string"}]),
        Shape::SchemaOrBool => (choices(2) == 0).into(),
        Shape::SchemaOrStrings => json!(["a"]),
    }
}

fn make_field(field: &Field, depth: usize, choices: &mut dyn FnMut(usize) -> usize) -> Value {
    let may_be_zero = field.presence != Presence::NonZero || field.cardinality != Cardinality::One;
    let value = |choices: &mut dyn FnMut(usize) -> usize| match field.message() {
        Some(message) => make(message, depth + 1, choices),
        None => match (field.kind, may_be_zero && choices(2) == 0) {
            (Type::Bool, zero) => (!zero).into(),
            (Type::Int32 | Type::Int64, true) => 0.into(),
            (Type::Int32, false) => i32::MIN.into(),
            (Type::Int64, false) => i64::MAX.into(),
            (Type::Double, zero) => if zero { 0.0 } else { -1.5 }.into(),
            (Type::String, zero) => if zero { "" } else { "ü" }.into(),
            (Type::Bytes, zero) => if zero { "" } else { "AAH/" }.into(),
            (Type::Message(_), _) => Value::Null,
        },
    };
    match field.cardinality {
        Cardinality::One => value(choices),
        Cardinality::List => (0..=choices(2)).map(|_| value(choices)).collect(),
        Cardinality::Map => Value::Object((0..=choices(2)).map(|i| (format!("k{i}"), value(choices))).collect()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_message_round_trips(at in any::<prop::sample::Index>(), seed in prop::collection::vec(0usize..64, 1..200)) {
        let messages = &Schema::builtin().messages;
        let message = &messages[at.index(messages.len())];
        prop_assume!(!message.name.ends_with("runtime.Unknown"));
        let mut turn = 0;
        let value = make(message, 0, &mut |n| { turn += 1; (seed[turn % seed.len()] + turn / seed.len()) % n });
        let raw = from_json(&value, message).unwrap();
        prop_assert_eq!(&to_json(&raw, message).unwrap(), &value, "{}", message.name);
        // The same from its text, in one pass; the fields may stand in another order.
        let streamed = from_text(value.to_string().as_bytes(), message).unwrap();
        prop_assert_eq!(streamed.len(), raw.len());
        prop_assert_eq!(to_json(&streamed, message).unwrap(), value, "{}", message.name);
    }

    #[test]
    fn text_is_refused_where_its_tree_is(seed in prop::collection::vec(0usize..64, 1..100), at in any::<prop::sample::Index>(), to in 0u8..5) {
        let pod = message("v1", "Pod");
        let mut turn = 0;
        let text = make(pod, 0, &mut |n| { turn += 1; seed[turn % seed.len()] % n }).to_string();
        // One byte is another: often no JSON any more, sometimes another type.
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = b"1\"{[ "[usize::from(to)];
        let tree = serde_json::from_slice::<Value>(&bytes).ok().and_then(|value| from_json(&value, pod).ok());
        prop_assert_eq!(from_text(&bytes, pod).ok().map(|raw| raw.len()), tree.map(|raw| raw.len()));
    }

    #[test]
    fn noise_does_not_panic(at in any::<prop::sample::Index>(), bytes: Vec<u8>) {
        let messages = &Schema::builtin().messages;
        let message = &messages[at.index(messages.len())];
        if let Ok(value) = to_json(&bytes, message) {
            let _ = from_json(&value, message);
        }
        let _ = open(&bytes);
    }

    #[test]
    fn damaged_messages_do_not_panic(seed in prop::collection::vec(0usize..64, 1..100), at in any::<prop::sample::Index>(), byte: u8) {
        let pod = message("v1", "Pod");
        let mut turn = 0;
        let value = make(pod, 0, &mut |n| { turn += 1; seed[turn % seed.len()] % n });
        let mut raw = from_json(&value, pod).unwrap();
        if !raw.is_empty() {
            let at = at.index(raw.len());
            raw[at] = byte;
            let _ = to_json(&raw, pod);
            let _ = to_json(&raw[..at], pod);
        }
    }
}
