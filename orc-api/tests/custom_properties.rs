//! What holds for any schema and any object.

use orc_api::custom::definition::check_schemas;
use orc_api::custom::structural::{Schema, default, prune, validate};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-d]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Schemas that are structural, with defaults that fit.
fn schema() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(json!({"type": "string"})),
        Just(json!({"type": "string", "default": "x", "maxLength": 3})),
        Just(json!({"type": "integer", "default": 1, "minimum": 0})),
        Just(json!({"type": "boolean", "nullable": true, "default": true})),
        Just(json!({"x-kubernetes-int-or-string": true})),
        Just(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})),
    ];
    let inner = scalar.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|items| json!({"type": "array", "items": items})),
            inner.clone().prop_map(|values| json!({"type": "object", "additionalProperties": values})),
            (prop::collection::btree_map("[a-d]", inner, 0..4), any::<bool>()).prop_map(|(fields, preset)| {
                let mut schema = json!({"type": "object", "properties": fields});
                if preset {
                    schema["default"] = json!({});
                }
                schema
            }),
        ]
    });
    inner.prop_map(|spec| json!({"type": "object", "properties": {"spec": spec}}))
}

/// Objects that fit a schema, nulls and unknown fields included where these are allowed.
fn fitting(schema: &Value) -> BoxedStrategy<Value> {
    if schema["x-kubernetes-int-or-string"] == true {
        return prop_oneof![Just(json!("7")), Just(json!(7))].boxed();
    }
    let plain = match schema["type"].as_str().unwrap_or_default() {
        "string" => "[a-z]{0,3}".prop_map(Value::from).boxed(),
        "integer" => (0..1000).prop_map(Value::from).boxed(),
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "array" => prop::collection::vec(fitting(&schema["items"]), 0..3).prop_map(Value::from).boxed(),
        _ if !schema["additionalProperties"].is_null() => {
            let entries = prop::collection::btree_map("[a-d]", fitting(&schema["additionalProperties"]), 0..3);
            entries.prop_map(|map| Value::Object(map.into_iter().collect())).boxed()
        }
        _ => fields(schema["properties"].as_object().cloned().unwrap_or_default()),
    };
    if schema["nullable"] == true { prop_oneof![plain, Just(Value::Null)].boxed() } else { plain }
}

/// Some of the fields, and now and then one that is not described.
fn fields(properties: Map<String, Value>) -> BoxedStrategy<Value> {
    let start = prop_oneof![Just(json!({})), Just(json!({"unknown": {"x": 1}}))].boxed();
    properties.into_iter().fold(start, |so_far, (name, schema)| {
        (so_far, prop::option::of(fitting(&schema)))
            .prop_map(move |(mut object, value)| {
                if let Some(value) = value {
                    object[&name] = value;
                }
                object
            })
            .boxed()
    })
}

/// A schema and an object that fits it.
fn pair() -> impl Strategy<Value = (Value, Value)> {
    schema().prop_flat_map(|schema| {
        let object = fitting(&schema);
        (Just(schema), object)
    })
}

/// Words of schemas with anything inside: what a hostile definition may hold.
fn almost_schema() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "type",
        "properties",
        "items",
        "additionalProperties",
        "default",
        "allOf",
        "anyOf",
        "not",
        "nullable",
        "enum",
        "pattern",
        "maxLength",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-validations",
        "rule",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-embedded-resource",
        "spec",
        "metadata",
    ]);
    let leaf = prop_oneof![
        Just(json!("object")),
        Just(json!("array")),
        Just(json!("string")),
        Just(json!("map")),
        Just(json!(true)),
        Just(json!(7)),
        Just(Value::Null),
        Just(json!("self.spec.all(x, x > 1)")),
        Just(json!("[(")),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(word.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Map<_, _>>())),
        ]
    })
}

fn settled(object: &mut Value, schema: &Schema) {
    prune::prune(object, schema, true);
    default::drop_nulls(object, schema);
    default::default(object, schema);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, rng_seed: prop::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn pruning_and_defaulting_settle(schema in schema(), spec in any_json()) {
        let tree = Schema::parse(&schema).unwrap();
        let mut once = json!({"spec": spec});
        settled(&mut once, &tree);
        let mut pruned = once.clone();
        prop_assert!(prune::prune(&mut pruned, &tree, true).is_empty());
        prop_assert_eq!(&pruned, &once);
        let mut defaulted = once.clone();
        default::default(&mut defaulted, &tree);
        prop_assert_eq!(&defaulted, &once);
    }

    #[test]
    fn a_valid_object_stays_valid((schema, object) in pair()) {
        let tree = Schema::parse(&schema).unwrap();
        let mut object = object;
        prop_assert_eq!(validate::validate(&object, &tree, None), vec![]);
        settled(&mut object, &tree);
        prop_assert_eq!(validate::validate(&object, &tree, None), vec![]);
    }

    #[test]
    fn nothing_panics(schema in almost_schema(), object in any_json()) {
        let version = json!({"name": "v1", "schema": {"openAPIV3Schema": schema}});
        check_schemas(&json!({"spec": {"versions": [version]}}));
        if let Ok(tree) = Schema::parse(&schema) {
            let mut object = object;
            validate::validate(&object, &tree, None);
            validate::validate_lists(&object, &tree, None);
            validate::validate_embedded(&object, &tree, None);
            if let Some(rules) = orc_api::custom::rules::Validator::compile(&tree, true) {
                rules.validate(&object, Some(&object), &tree);
            }
            settled(&mut object, &tree);
        }
    }
}
